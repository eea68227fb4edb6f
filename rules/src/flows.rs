//! The correlation map's pure part: which tags are live under a correlation id.
//!
//! Owns one *bucket* of the map: its bytes, and what a flow does to them. Refuses to know where
//! buckets are kept, how they are locked and what an id is made of: the caller reads the bytes, asks,
//! writes the bytes.
//!
//! A flow is *live* while it is in flight and for [`Limits::linger_s`] longer, so that calls made
//! after the response still find their tag. It holds its id by a [`Lease`] that its stream renews
//! while it is open; so the end of a stream costs nothing, and what a crash leaves behind expires. An
//! id with one live tag has that tag; with two it is ambiguous. A bucket that runs out of room forgets
//! *tags*, never *conflicts*: the ids it dropped stay behind as bits in a small Bloom filter and read
//! as ambiguous for as long as they would have been live.

mod dropped;
mod entry;
mod lease;
#[cfg(test)]
mod tests;

pub use lease::{LEASE_S_MAX, LEASE_S_MIN, Lease, Limits, RENEWAL_SLACK_S};

use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::correlation::FlowId;
use crate::name::LaneCode;
use dropped::Dropped;
use entry::Entry;

/// Ids that one bucket holds at a time.
pub const WAYS: usize = 8;

/// Length of a bucket, in bytes.
pub const BUCKET_BYTES: usize = size_of::<Bucket>();

/// How a bucket begins. One of another version reads as empty, so raise it together
/// with the key prefix that buckets are stored under.
const LAYOUT: [u8; 4] = [1, 0, 0, 0];

/// What the map says of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// No live flow has this id.
    Unknown,
    /// Every live flow with this id has this tag; the baseline is a tag like any other.
    Tag(LaneCode),
    /// Live flows with this id differ in their tag, or the map had no room to tell.
    Ambiguous,
}

/// What holding an id did to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// There was room.
    Kept,
    /// Another id, the one closest to its expiry, lost its place and reads as ambiguous.
    Evicted,
    /// Every other id in the bucket lives longer: this one lost its place and reads as ambiguous.
    Refused,
}

/// One bucket of the map: up to [`WAYS`] ids with their live tags, and a trace of those it dropped.
///
/// Times are seconds of any clock that all users of the map share; a second or two of skew between
/// them shortens or lengthens a linger by as much and nothing else.
///
/// Kept as its bytes: most of a bucket is only passed through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub struct Bucket {
    layout: [u8; 4],
    dropped: Dropped,
    entries: [Entry; WAYS],
}

impl Default for Bucket {
    fn default() -> Self {
        Self { layout: LAYOUT, dropped: Dropped::default(), entries: [Entry::default(); WAYS] }
    }
}

impl Bucket {
    /// Reads a bucket; anything that is not the [`Bucket::bytes`] of one of this version is an empty one.
    pub fn read(bytes: &[u8]) -> Self {
        let bucket = Self::read_from_bytes(bytes).ok();
        bucket.filter(|bucket| bucket.layout == LAYOUT).unwrap_or_default()
    }

    /// The bucket as it is stored.
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    /// A flow with this tag holds the id until `until_s`: at its begin, and again with each renewal.
    pub fn hold(&mut self, id: FlowId, code: LaneCode, until_s: u32, now_s: u32) -> Held {
        let own = self.entries.iter_mut().find(|entry| entry.holds(id, now_s));
        if let Some(entry) = own {
            entry.hold(code, until_s, now_s);
            return Held::Kept;
        }
        // A free entry's expiry has passed, so it comes before every live one's.
        let Some(first) = self.entries.iter_mut().min_by_key(|entry| entry.expires_s()) else {
            return Held::Refused;
        };
        let is_free = !first.is_live(now_s);
        if !is_free && first.expires_s() > until_s {
            self.dropped.add(id, until_s, now_s);
            return Held::Refused;
        }
        if !is_free {
            self.dropped.add(first.id(), first.expires_s(), now_s);
        }
        *first = Entry::empty(id);
        first.hold(code, until_s, now_s);
        if is_free { Held::Kept } else { Held::Evicted }
    }

    /// What the live flows with this id say.
    pub fn lookup(&self, id: FlowId, now_s: u32) -> Lookup {
        if self.dropped.may_hold(id, now_s) {
            return Lookup::Ambiguous;
        }
        self.entries
            .iter()
            .find(|entry| entry.holds(id, now_s))
            .map_or(Lookup::Unknown, |entry| entry.lookup(now_s))
    }
}
