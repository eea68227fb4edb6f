//! One layer of percentages, ready to look a user up.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::EdgeRule;
use crate::facts::Facts;
use crate::layers::{self, BUCKETS, Bucket};
use crate::wire::{Subject, WireError, WireKeySource, WireLane, WireLayer};

/// Who holds which bucket of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    name: Box<str>,
    key: Box<[WireKeySource]>,
    /// The lanes that hold buckets, by precedence.
    pub(super) lanes: Box<[usize]>,
    /// By bucket; buckets that nobody holds are left out.
    held: Box<[Held]>,
}

/// A bucket with its holder.
#[derive(Debug, Clone, Copy)]
struct Held {
    bucket: Bucket,
    lane: u16,
    /// The bucket's place among the lane's.
    rank: u16,
}

impl Layer {
    /// `lanes` in the order that [`Layer::holder`] counts them in.
    pub(super) fn new(layer: &WireLayer, lanes: &[&WireLane]) -> Result<Self, WireError> {
        let mut held: Vec<Option<Held>> = alloc::vec![None; usize::from(BUCKETS)];
        let mut holders = Vec::new();
        for (index, lane) in lanes.iter().enumerate().filter(|(_, lane)| lane.layer == layer.name) {
            let malformed = || WireError::Buckets { lane: lane.name.clone() };
            let number = u16::try_from(index).map_err(|_| malformed())?;
            let buckets = layers::decode(&lane.buckets).ok_or_else(malformed)?;
            if buckets.len() > usize::from(BUCKETS) {
                return Err(malformed());
            }
            if !buckets.is_empty() {
                holders.push(index);
            }
            for (rank, bucket) in (0_u16..).zip(buckets) {
                let free = held.get_mut(usize::from(bucket)).filter(|place| place.is_none());
                *free.ok_or_else(malformed)? = Some(Held { bucket, lane: number, rank });
            }
        }
        Ok(Self {
            name: layer.name.as_str().into(),
            key: layer.key.iter().cloned().collect(),
            lanes: holders.into(),
            held: held.into_iter().flatten().collect(),
        })
    }

    /// The user by the first key source that the request has.
    pub(super) fn user(&self, facts: &Facts<'_>) -> Option<Vec<u8>> {
        self.key.iter().find_map(|source| user(source, facts))
    }

    /// The lane that holds this user's bucket, and the bucket's rank.
    pub(super) fn holder(&self, user: &[u8]) -> Option<(usize, u16)> {
        let bucket = layers::bucket(&self.name, user);
        let at = self.held.binary_search_by_key(&bucket, |held| held.bucket).ok()?;
        self.held.get(at).map(|held| (usize::from(held.lane), held.rank))
    }

    /// The lane that holds every bucket, and the last one's rank: whoever the user is, that is their lane.
    pub(super) fn sole_holder(&self) -> Option<(usize, u16)> {
        let [lane] = *self.lanes else { return None };
        (self.held.len() == usize::from(BUCKETS)).then_some((lane, BUCKETS.saturating_sub(1)))
    }
}

/// A user's key as one source has it; an empty value identifies nobody.
fn user(source: &WireKeySource, facts: &Facts<'_>) -> Option<Vec<u8>> {
    let value = match source.subject {
        Subject::HeaderClaim | Subject::CookieClaim => facts
            .claims(source.subject, &source.name, &source.claim)
            .into_iter()
            .next()
            .map(|text| text.into_bytes()),
        subject => facts.value(subject, &source.name).map(|value| value.into_owned()),
    };
    value.filter(|value| !value.is_empty())
}

impl EdgeRule {
    /// Whether this percentage covers a bucket of this rank.
    pub(super) fn covers(&self, rank: u16) -> bool {
        self.share.is_some_and(|share| rank < share)
    }
}
