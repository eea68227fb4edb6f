//! One layer of percentages, ready to look a user up.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::EdgeRule;
use crate::facts::Facts;
use crate::layers::{self, BUCKETS};
use crate::wire::{Subject, WireError, WireKeySource, WireLane, WireLayer};

/// Who holds which bucket of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    name: Box<str>,
    key: Box<[WireKeySource]>,
    /// Per bucket the holder and the bucket's rank among the holder's; empty when nobody holds any.
    buckets: Box<[Option<(u16, u16)>]>,
}

impl Layer {
    /// `lanes` in the order that [`Layer::holder`] counts them in.
    pub(super) fn new(layer: &WireLayer, lanes: &[&WireLane]) -> Result<Self, WireError> {
        let mut buckets = alloc::vec![None; usize::from(BUCKETS)];
        let members = lanes.iter().enumerate().filter(|(_, lane)| lane.layer == layer.name);
        let mut held = false;
        for (index, lane) in members {
            let malformed = || WireError::Buckets { lane: lane.name.clone() };
            let index = u16::try_from(index).map_err(|_| malformed())?;
            for (rank, bucket) in layers::decode(&lane.buckets).ok_or_else(malformed)?.iter().enumerate() {
                let rank = u16::try_from(rank).map_err(|_| malformed())?;
                let holder = buckets.get_mut(usize::from(*bucket)).ok_or_else(malformed)?;
                if holder.replace((index, rank)).is_some() {
                    return Err(malformed());
                }
                held = true;
            }
        }
        if !held {
            buckets = Vec::new();
        }
        Ok(Self {
            name: layer.name.as_str().into(),
            key: layer.key.iter().cloned().collect(),
            buckets: buckets.into(),
        })
    }

    /// The lane that holds this user's bucket, and the bucket's rank.
    pub(super) fn holder(&self, facts: &Facts<'_>, uid: &mut dyn FnMut() -> Vec<u8>) -> Option<(usize, u16)> {
        if self.buckets.is_empty() {
            return None;
        }
        let user = self.key.iter().find_map(|source| user(source, facts)).unwrap_or_else(uid);
        let bucket = layers::bucket(&self.name, &user);
        let (lane, rank) = (*self.buckets.get(usize::from(bucket))?)?;
        Some((usize::from(lane), rank))
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
