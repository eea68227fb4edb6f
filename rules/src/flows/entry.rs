//! One id's live tags.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use super::Lookup;
use crate::correlation::FlowId;
use crate::name::LaneCode;

/// Tags told apart per id. With two live the id is ambiguous whatever a third is, so for more it is
/// enough to know until when there are any.
const TAGS: usize = 2;

/// The tags of one id, each with the second it lives until; dead ones read as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    fingerprint: U64,
    tags: [Tag; TAGS],
    others_until_s: U32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Tag {
    code: U16,
    until_s: U32,
}

impl Entry {
    pub(super) fn empty(id: FlowId) -> Self {
        Self { fingerprint: id.0.into(), ..Self::default() }
    }

    pub(super) fn id(&self) -> FlowId {
        FlowId(self.fingerprint.get())
    }

    pub(super) fn holds(&self, id: FlowId, now_s: u32) -> bool {
        self.fingerprint == id.0 && self.is_live(now_s)
    }

    pub(super) fn is_live(&self, now_s: u32) -> bool {
        now_s < self.expires_s()
    }

    /// When the last of the tags dies.
    pub(super) fn expires_s(&self) -> u32 {
        self.tags.iter().fold(self.others_until_s.get(), |latest, tag| latest.max(tag.until_s.get()))
    }

    pub(super) fn lookup(&self, now_s: u32) -> Lookup {
        let mut live = self.tags.iter().filter(|tag| tag.is_live(now_s));
        match (live.next(), live.next(), now_s < self.others_until_s.get()) {
            (None, None, false) => Lookup::Unknown,
            (Some(tag), None, false) => Lookup::Tag(LaneCode(tag.code.get())),
            _ => Lookup::Ambiguous,
        }
    }

    pub(super) fn hold(&mut self, code: LaneCode, until_s: u32, now_s: u32) {
        let own = self.tags.iter().position(|tag| tag.code == code.0 && tag.is_live(now_s));
        let free = || self.tags.iter().position(|tag| !tag.is_live(now_s));
        match own.or_else(free).and_then(|at| self.tags.get_mut(at)) {
            Some(tag) => {
                *tag = Tag { code: code.0.into(), until_s: tag.until_s.get().max(until_s).into() };
            }
            None => self.others_until_s = self.others_until_s.get().max(until_s).into(),
        }
    }
}

impl Tag {
    fn is_live(self, now_s: u32) -> bool {
        now_s < self.until_s.get()
    }
}
