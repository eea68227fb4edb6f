//! The ids a bucket had no room for: bits that say "maybe", so that dropping never invents a tag.

use crate::correlation::FlowId;

/// Ids that lost their place while they were live.
///
/// New ones go into the young one of two generations of bits; when the old one's time is over the
/// young one takes its place. So under lasting pressure a bit lives little longer than two leases, and
/// the filter does not fill up for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Dropped {
    young: Generation,
    old: Generation,
}

/// Ids that read as ambiguous before a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Generation {
    until_s: u32,
    bits: u64,
}

impl Dropped {
    pub(super) const BYTES: usize = 2 * Generation::BYTES;

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        match bytes.as_chunks() {
            (&[young, old], _) => Self { young: Generation::decode(young), old: Generation::decode(old) },
            _ => Self::default(),
        }
    }

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let generations = bytes.as_chunks_mut().0;
        for (bytes, generation) in generations.iter_mut().zip([self.young, self.old]) {
            *bytes = generation.encode();
        }
        bytes
    }

    pub(super) fn may_hold(&self, id: FlowId, now_s: u32) -> bool {
        self.young.may_hold(id, now_s) || self.old.may_hold(id, now_s)
    }

    /// Remembers an id that would have been live until `until_s`.
    pub(super) fn add(&mut self, id: FlowId, until_s: u32, now_s: u32) {
        if !self.old.is_live(now_s) {
            self.old = core::mem::take(&mut self.young);
        } else if !self.young.is_live(now_s) {
            self.young = Generation::default();
        }
        self.young.until_s = self.young.until_s.max(until_s);
        self.young.bits |= mask(id);
    }
}

impl Generation {
    const BYTES: usize = 12;

    fn decode([a, b, c, d, bits @ ..]: [u8; Self::BYTES]) -> Self {
        Self { until_s: u32::from_le_bytes([a, b, c, d]), bits: u64::from_le_bytes(bits) }
    }

    fn encode(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.until_s.to_le_bytes();
        let [e, f, g, h, i, j, k, l] = self.bits.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    fn is_live(&self, now_s: u32) -> bool {
        now_s < self.until_s
    }

    fn may_hold(&self, id: FlowId, now_s: u32) -> bool {
        let mask = mask(id);
        self.is_live(now_s) && self.bits & mask == mask
    }
}

/// Three of 64 bits: with the handful of ids a bucket drops within a lease, fewest false "maybe"s.
///
/// Taken from the top of the id; its bottom chose the bucket.
fn mask(FlowId(id): FlowId) -> u64 {
    let bit = |shift: u32| 1_u64.wrapping_shl((id >> shift) as u32);
    bit(58) | bit(52) | bit(46)
}
