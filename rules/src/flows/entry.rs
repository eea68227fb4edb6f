//! One id's live tags.

use super::{Count, Limits, Lookup, Place};
use crate::correlation::FlowId;
use crate::name::LaneCode;

/// Tags told apart per id. With two live the id is ambiguous whatever a third is, so more only need
/// to be counted.
const TAGS: usize = 2;

/// The flows of one id, counted by tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    fingerprint: u64,
    tags: [Tagged; TAGS],
    others: Count,
}

/// The flows of one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tagged {
    code: LaneCode,
    count: Count,
}

impl Default for Tagged {
    fn default() -> Self {
        Self { code: LaneCode::BASELINE, count: Count::default() }
    }
}

impl Entry {
    pub(super) const BYTES: usize = 8 + TAGS * Tagged::BYTES + Count::BYTES;

    pub(super) fn empty(id: FlowId) -> Self {
        Self { fingerprint: id.0, ..Self::default() }
    }

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let mut entry = Self::default();
        if let Some((fingerprint, rest)) = bytes.split_first_chunk() {
            entry.fingerprint = u64::from_le_bytes(*fingerprint);
            let (tags, others) = rest.as_chunks();
            for (tag, bytes) in entry.tags.iter_mut().zip(tags) {
                *tag = Tagged::decode(*bytes);
            }
            entry.others = others.first_chunk().map_or_else(Count::default, |bytes| Count::decode(*bytes));
        }
        entry
    }

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Some((fingerprint, rest)) = bytes.split_first_chunk_mut() {
            *fingerprint = self.fingerprint.to_le_bytes();
            let (tags, others) = rest.as_chunks_mut();
            for (bytes, tag) in tags.iter_mut().zip(&self.tags) {
                *bytes = tag.encode();
            }
            if let Some(bytes) = others.first_chunk_mut() {
                *bytes = self.others.encode();
            }
        }
        bytes
    }

    pub(super) fn id(&self) -> FlowId {
        FlowId(self.fingerprint)
    }

    pub(super) fn holds(&self, id: FlowId, now_s: u32) -> bool {
        self.fingerprint == id.0 && self.is_live(now_s)
    }

    pub(super) fn is_live(&self, now_s: u32) -> bool {
        self.counts().any(|count| count.is_live(now_s))
    }

    pub(super) fn is_in_flight(&self, now_s: u32) -> bool {
        self.counts().any(|count| count.is_in_flight(now_s))
    }

    /// When the last of the counts dies.
    pub(super) fn expires_s(&self) -> u32 {
        self.counts().map(Count::expires_s).max().unwrap_or_default()
    }

    pub(super) fn lookup(&self, now_s: u32) -> Lookup {
        let mut live = self.tags.iter().filter(|tag| tag.count.is_live(now_s));
        match (live.next(), live.next(), self.others.is_live(now_s)) {
            (None, None, false) => Lookup::Unknown,
            (Some(tag), None, false) => Lookup::Tag(tag.code),
            _ => Lookup::Ambiguous,
        }
    }

    pub(super) fn enter(&mut self, code: LaneCode, now_s: u32, limits: &Limits) -> Place {
        let own = self.tags.iter().position(|tag| tag.code == code && tag.count.is_live(now_s));
        let free = || self.tags.iter().position(|tag| !tag.count.is_live(now_s));
        match own.or_else(free).and_then(|way| self.tags.get_mut(way)) {
            Some(tag) => {
                tag.code = code;
                tag.count.enter(now_s, limits);
                Place::Tag(code)
            }
            None => {
                self.others.enter(now_s, limits);
                Place::Others
            }
        }
    }

    pub(super) fn leave(&mut self, place: Place, now_s: u32, limits: &Limits) {
        match place {
            Place::Tag(code) => {
                let own = self.tags.iter_mut().find(|tag| tag.code == code && tag.count.is_live(now_s));
                if let Some(tag) = own {
                    tag.count.leave(now_s, limits);
                }
            }
            Place::Others => {
                self.others.leave(now_s, limits);
            }
            Place::Refused => {}
        }
    }

    fn counts(&self) -> impl Iterator<Item = Count> {
        self.tags.iter().map(|tag| tag.count).chain([self.others])
    }
}

impl Tagged {
    const BYTES: usize = 2 + Count::BYTES;

    fn decode([a, b, count @ ..]: [u8; Self::BYTES]) -> Self {
        Self { code: LaneCode(u16::from_le_bytes([a, b])), count: Count::decode(count) }
    }

    fn encode(&self) -> [u8; Self::BYTES] {
        let [a, b] = self.code.0.to_le_bytes();
        let [c, d, e, f, g, h] = self.count.encode();
        [a, b, c, d, e, f, g, h]
    }
}
