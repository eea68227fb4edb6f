//! The ids a bucket had no room for: bits that say "maybe", so that dropping never invents a tag.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::correlation::FlowId;

/// Ids that lost their place while they were live.
///
/// New ones go into the young one of two generations of bits; when the old one's time is over the
/// young one takes its place. So under lasting pressure a bit lives little longer than two leases, and
/// the filter does not fill up for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Dropped {
    young: Generation,
    old: Generation,
}

/// Ids that read as ambiguous before a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Generation {
    until_s: U32,
    bits: U64,
}

impl Dropped {
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
        self.young.until_s = self.young.until_s.get().max(until_s).into();
        self.young.bits |= mask(id);
    }
}

impl Generation {
    fn is_live(&self, now_s: u32) -> bool {
        now_s < self.until_s.get()
    }

    fn may_hold(&self, id: FlowId, now_s: u32) -> bool {
        let mask = mask(id);
        self.is_live(now_s) && self.bits.get() & mask == mask
    }
}

/// Three of 64 bits: with the handful of ids a bucket drops within a lease, fewest false "maybe"s.
///
/// Taken from the top of the id; its bottom chose the bucket.
fn mask(FlowId(id): FlowId) -> u64 {
    let bit = |shift: u32| 1_u64.wrapping_shl((id >> shift) as u32);
    bit(58) | bit(52) | bit(46)
}
