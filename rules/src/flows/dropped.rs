//! The ids a bucket had no room for: bits that say "maybe", so that dropping never invents a tag.

use super::{Count, Limits};
use crate::correlation::FlowId;

/// Ids evicted or refused while they were live.
///
/// Evicted ids go into the young one of two generations of bits; when the old one's time is over the
/// young one takes its place. So under lasting pressure a bit lives for two lingers at most, and the
/// filter does not fill up for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Dropped {
    refused: Refused,
    young: Generation,
    old: Generation,
}

/// Flows in flight that found every way of the bucket in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Refused {
    count: Count,
    bits: u64,
}

/// Ids that read as ambiguous until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Generation {
    until_s: u32,
    bits: u64,
}

impl Dropped {
    pub(super) const BYTES: usize = Refused::BYTES + 2 * Generation::BYTES;

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let parts = bytes.split_first_chunk().and_then(|(refused, rest)| {
            let (young, rest) = rest.split_first_chunk()?;
            Some((refused, young, rest.first_chunk()?))
        });
        parts.map_or_else(Self::default, |(refused, young, old)| Self {
            refused: Refused::decode(*refused),
            young: Generation::decode(*young),
            old: Generation::decode(*old),
        })
    }

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Some((refused, rest)) = bytes.split_first_chunk_mut() {
            *refused = self.refused.encode();
            let generations = rest.as_chunks_mut().0;
            for (bytes, generation) in generations.iter_mut().zip([self.young, self.old]) {
                *bytes = generation.encode();
            }
        }
        bytes
    }

    pub(super) fn may_hold(&self, id: FlowId, now_s: u32) -> bool {
        let mask = mask(id);
        let within = |bits: u64| bits & mask == mask;
        (self.refused.count.is_live(now_s) && within(self.refused.bits))
            || (self.young.is_live(now_s) && within(self.young.bits))
            || (self.old.is_live(now_s) && within(self.old.bits))
    }

    /// Remembers an id that lost its place while it would have been live until `until_s`.
    pub(super) fn evict(&mut self, id: FlowId, until_s: u32, now_s: u32) {
        if !self.old.is_live(now_s) {
            self.old = core::mem::take(&mut self.young);
        } else if !self.young.is_live(now_s) {
            self.young = Generation::default();
        }
        self.young.until_s = self.young.until_s.max(until_s);
        self.young.bits |= mask(id);
    }

    /// Remembers an id that got no place, until [`Dropped::release`].
    pub(super) fn refuse(&mut self, id: FlowId, now_s: u32, limits: &Limits) {
        if !self.refused.count.is_live(now_s) {
            self.refused = Refused::default();
        }
        self.refused.count.enter(now_s, limits);
        self.refused.bits |= mask(id);
    }

    /// A refused flow has ended: its linger goes to the generations, and the bits of the refused go
    /// with the last one.
    pub(super) fn release(&mut self, id: FlowId, now_s: u32, limits: &Limits) {
        if !self.refused.count.is_in_flight(now_s) {
            return;
        }
        self.evict(id, now_s.saturating_add(limits.linger_s), now_s);
        if self.refused.count.leave(now_s, limits) {
            self.refused = Refused::default();
        }
    }
}

impl Refused {
    const BYTES: usize = Count::BYTES + 8;

    fn decode([a, b, c, d, e, f, bits @ ..]: [u8; Self::BYTES]) -> Self {
        Self { count: Count::decode([a, b, c, d, e, f]), bits: u64::from_le_bytes(bits) }
    }

    fn encode(&self) -> [u8; Self::BYTES] {
        let [a, b, c, d, e, f] = self.count.encode();
        let [g, h, i, j, k, l, m, n] = self.bits.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n]
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
}

/// Three of 64 bits: with the handful of ids a bucket drops within a linger, fewest false "maybe"s.
///
/// Taken from the top of the id; its bottom chose the bucket.
fn mask(FlowId(id): FlowId) -> u64 {
    let bit = |shift: u32| 1_u64.wrapping_shl((id >> shift) as u32);
    bit(58) | bit(52) | bit(46)
}
