//! One id's live tags.

use super::Lookup;
use crate::correlation::FlowId;
use crate::name::LaneCode;

/// Tags told apart per id. With two live the id is ambiguous whatever a third is, so for more it is
/// enough to know until when there are any.
const TAGS: usize = 2;

/// The tags of one id, each with the second it lives until; dead ones read as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    fingerprint: u64,
    tags: [Tag; TAGS],
    others_until_s: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag {
    code: LaneCode,
    until_s: u32,
}

impl Default for Tag {
    fn default() -> Self {
        Self { code: LaneCode::BASELINE, until_s: 0 }
    }
}

impl Entry {
    pub(super) const BYTES: usize = 8 + TAGS * Tag::BYTES + 4;

    pub(super) fn empty(id: FlowId) -> Self {
        Self { fingerprint: id.0, ..Self::default() }
    }

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let mut entry = Self::default();
        if let Some((fingerprint, rest)) = bytes.split_first_chunk() {
            entry.fingerprint = u64::from_le_bytes(*fingerprint);
            let (tags, others) = rest.as_chunks();
            for (tag, bytes) in entry.tags.iter_mut().zip(tags) {
                *tag = Tag::decode(*bytes);
            }
            entry.others_until_s = others.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        }
        entry
    }

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Some((fingerprint, rest)) = bytes.split_first_chunk_mut() {
            *fingerprint = self.fingerprint.to_le_bytes();
            let (tags, others) = rest.as_chunks_mut();
            for (bytes, tag) in tags.iter_mut().zip(self.tags) {
                *bytes = tag.encode();
            }
            if let Some(bytes) = others.first_chunk_mut() {
                *bytes = self.others_until_s.to_le_bytes();
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
        now_s < self.expires_s()
    }

    /// When the last of the tags dies.
    pub(super) fn expires_s(&self) -> u32 {
        self.tags.iter().fold(self.others_until_s, |latest, tag| latest.max(tag.until_s))
    }

    pub(super) fn lookup(&self, now_s: u32) -> Lookup {
        let mut live = self.tags.iter().filter(|tag| tag.is_live(now_s));
        match (live.next(), live.next(), now_s < self.others_until_s) {
            (None, None, false) => Lookup::Unknown,
            (Some(tag), None, false) => Lookup::Tag(tag.code),
            _ => Lookup::Ambiguous,
        }
    }

    pub(super) fn hold(&mut self, code: LaneCode, until_s: u32, now_s: u32) {
        let own = self.tags.iter().position(|tag| tag.code == code && tag.is_live(now_s));
        let free = || self.tags.iter().position(|tag| !tag.is_live(now_s));
        match own.or_else(free).and_then(|at| self.tags.get_mut(at)) {
            Some(tag) => *tag = Tag { code, until_s: tag.until_s.max(until_s) },
            None => self.others_until_s = self.others_until_s.max(until_s),
        }
    }
}

impl Tag {
    const BYTES: usize = 6;

    fn decode([a, b, until @ ..]: [u8; Self::BYTES]) -> Self {
        Self { code: LaneCode(u16::from_le_bytes([a, b])), until_s: u32::from_le_bytes(until) }
    }

    fn encode(self) -> [u8; Self::BYTES] {
        let [a, b] = self.code.0.to_le_bytes();
        let [c, d, e, f] = self.until_s.to_le_bytes();
        [a, b, c, d, e, f]
    }

    fn is_live(self, now_s: u32) -> bool {
        now_s < self.until_s
    }
}
