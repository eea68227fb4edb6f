//! The correlation map's pure part: which tags are live under a correlation id.
//!
//! Owns one *bucket* of the map: its bytes, and what a flow's begin and end do to them. Refuses to
//! know where buckets are kept, how they are locked and what an id is made of: the caller reads the
//! bytes, asks, writes the bytes.
//!
//! A flow is *live* from its begin until [`Limits::linger_s`] after its end, so that calls made after
//! the response still find their tag. An id with one live tag has that tag; with two it is ambiguous.
//! A bucket that runs out of room forgets *tags*, never *conflicts*: the ids it dropped stay behind as
//! bits in a small Bloom filter and read as ambiguous for as long as they would have been live.

mod count;
mod dropped;
mod entry;
#[cfg(test)]
mod tests;

use crate::correlation::FlowId;
use crate::name::LaneCode;
use count::Count;
use dropped::Dropped;
use entry::Entry;

/// Ids that one bucket holds at a time.
pub const WAYS: usize = 4;

/// Length of an encoded bucket, in bytes.
pub const BUCKET_BYTES: usize = HEAD_BYTES + Dropped::BYTES + WAYS * Entry::BYTES;

/// Layout version and padding.
const HEAD_BYTES: usize = 4;

/// First byte of an encoded bucket. A bucket of another version reads as empty, so raise it together
/// with the key prefix that buckets are stored under.
const LAYOUT: u8 = 1;

/// How long a flow counts as live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Seconds after its end during which a flow still counts: calls made after the response.
    pub linger_s: u32,
    /// Seconds after its begin at which a flow that never ended is given up.
    pub stream_life_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { linger_s: 30, stream_life_s: 24 * 60 * 60 }
    }
}

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

/// Where a flow was counted; its stream keeps it for [`Bucket::end`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    place: Place,
    began_s: u32,
    evicted: bool,
}

impl Admission {
    /// Whether another id, no longer in flight, lost its place to this flow.
    pub fn evicted(self) -> bool {
        self.evicted
    }

    /// Whether there was no room: this id reads as ambiguous while the flow is live.
    pub fn refused(self) -> bool {
        self.place == Place::Refused
    }
}

/// Which count of a bucket a flow is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Tag(LaneCode),
    Others,
    Refused,
}

/// One bucket of the map: up to [`WAYS`] ids with their live tags, and a trace of those it dropped.
///
/// Times are seconds of any clock that all users of the map share; a second or two of skew between
/// them shortens or lengthens a linger by as much and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    dropped: Dropped,
    entries: [Entry; WAYS],
}

impl Bucket {
    /// Reads a bucket; anything that [`Bucket::encode`] of this version did not write is an empty one.
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((&[LAYOUT, _, _, _], rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Self::default();
        };
        let Some((dropped, rest)) = rest.split_first_chunk() else { return Self::default() };
        let (ways, []) = rest.as_chunks() else { return Self::default() };
        let Ok(ways) = <&[_; WAYS]>::try_from(ways) else { return Self::default() };
        Self { dropped: Dropped::decode(*dropped), entries: ways.map(Entry::decode) }
    }

    /// Writes the bucket down.
    pub fn encode(&self) -> [u8; BUCKET_BYTES] {
        let mut bytes = [0; BUCKET_BYTES];
        if let Some((head, rest)) = bytes.split_first_chunk_mut::<HEAD_BYTES>() {
            *head = [LAYOUT, 0, 0, 0];
            if let Some((dropped, rest)) = rest.split_first_chunk_mut() {
                *dropped = self.dropped.encode();
                for (way, entry) in rest.as_chunks_mut().0.iter_mut().zip(&self.entries) {
                    *way = entry.encode();
                }
            }
        }
        bytes
    }

    /// Counts a flow in. The answer belongs to its stream, for [`Bucket::end`].
    pub fn begin(&mut self, id: FlowId, code: LaneCode, now_s: u32, limits: &Limits) -> Admission {
        let (place, evicted) = match self.make_room(id, now_s) {
            Some(Room { entry, evicted }) => (entry.enter(code, now_s, limits), evicted),
            None => {
                self.dropped.refuse(id, now_s, limits);
                (Place::Refused, false)
            }
        };
        Admission { place, began_s: now_s, evicted }
    }

    /// Counts a flow out, under the id it began with; its linger begins.
    ///
    /// A flow that outlived [`Limits::stream_life_s`] was given up already and changes nothing.
    pub fn end(&mut self, id: FlowId, admission: Admission, now_s: u32, limits: &Limits) {
        if now_s.saturating_sub(admission.began_s) >= limits.stream_life_s {
            return;
        }
        if admission.place == Place::Refused {
            self.dropped.release(id, now_s, limits);
        } else if let Some(entry) = self.entries.iter_mut().find(|entry| entry.holds(id, now_s)) {
            entry.leave(admission.place, now_s, limits);
        }
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

    /// The entry of this id: its own, a free one, or that of the idle id closest to its expiry.
    fn make_room(&mut self, id: FlowId, now_s: u32) -> Option<Room<'_>> {
        let own = self.entries.iter().position(|entry| entry.holds(id, now_s));
        let free = || self.entries.iter().position(|entry| !entry.is_live(now_s));
        if let Some(way) = own.or_else(free) {
            let entry = self.entries.get_mut(way)?;
            if own.is_none() {
                *entry = Entry::empty(id);
            }
            return Some(Room { entry, evicted: false });
        }
        let idle = self.entries.iter_mut().filter(|entry| !entry.is_in_flight(now_s));
        let entry = idle.min_by_key(|entry| entry.expires_s())?;
        self.dropped.evict(entry.id(), entry.expires_s(), now_s);
        *entry = Entry::empty(id);
        Some(Room { entry, evicted: true })
    }
}

/// An entry made ready for an id, and whether another id went for it.
struct Room<'a> {
    entry: &'a mut Entry,
    evicted: bool,
}
