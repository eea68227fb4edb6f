//! Percentages: which share of a layer's users belongs to which lane.
//!
//! A layer has [`BUCKETS`] buckets. A user falls in one of them by a hash that the layer's name salts;
//! a lane holds some of them. Each bucket has at most one lane, so lanes of one layer never share a user.
//! A lane takes buckets in an order of its own, so that two lanes' first percents are different users,
//! and keeps what it holds: growing takes free buckets only and shrinking gives back the latest first.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::base64;
use crate::name::LaneName;

/// Buckets in a layer: steps of 0.01 %.
pub const BUCKETS: u16 = 10_000;

/// A bucket of a layer, below [`BUCKETS`].
pub type Bucket = u16;

/// What one lane wants of a layer, and what it holds already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The lane.
    pub lane: LaneName,
    /// How many buckets it wants.
    pub share: u16,
    /// The buckets it holds, in the order it took them.
    pub held: Vec<Bucket>,
}

/// A layer whose lanes want more than there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the percentages of layer `{layer}` add up to {}.{:02} %, more than 100 %", total / 100, total % 100)]
pub struct Overcommitted {
    /// The layer.
    pub layer: String,
    /// What its lanes want together, in hundredths of a percent.
    pub total: u32,
}

/// The bucket a user falls in.
#[must_use]
pub fn bucket(layer: &str, user: &[u8]) -> Bucket {
    let hash = hash(layer.as_bytes(), user);
    u16::try_from(hash.checked_rem(BUCKETS.into()).unwrap_or(0)).unwrap_or(0)
}

/// Gives every lane the buckets it wants: first what it holds, then free ones in the lane's own order.
///
/// # Errors
/// [`Overcommitted`] when there are not enough; nothing is changed then.
pub fn allocate(layer: &str, claims: &mut [Claim]) -> Result<(), Overcommitted> {
    let total: u32 = claims.iter().map(|claim| u32::from(claim.share)).sum();
    if total > u32::from(BUCKETS) {
        return Err(Overcommitted { layer: layer.into(), total });
    }
    let mut taken = alloc::vec![false; usize::from(BUCKETS)];
    for claim in claims.iter_mut() {
        claim.held.truncate(usize::from(claim.share));
        claim.held.retain(|bucket| match taken.get_mut(usize::from(*bucket)) {
            Some(taken) => !core::mem::replace(taken, true),
            None => false,
        });
    }
    for claim in claims.iter_mut() {
        let missing = usize::from(claim.share).saturating_sub(claim.held.len());
        if missing == 0 {
            continue;
        }
        let free = (0..BUCKETS).filter(|bucket| taken.get(usize::from(*bucket)) == Some(&false));
        let mut free: Vec<Bucket> = free.collect();
        free.sort_by_cached_key(|bucket| hash(claim.lane.as_bytes(), &bucket.to_be_bytes()));
        for bucket in free.into_iter().take(missing) {
            if let Some(taken) = taken.get_mut(usize::from(bucket)) {
                *taken = true;
            }
            claim.held.push(bucket);
        }
    }
    Ok(())
}

/// Buckets on the wire: two bytes each, big-endian, in base64url.
#[must_use]
pub fn encode(buckets: &[Bucket]) -> String {
    let bytes: Vec<u8> = buckets.iter().flat_map(|bucket| bucket.to_be_bytes()).collect();
    base64::encode(&bytes, base64::URL)
}

/// Buckets from the wire; none when the text is not what [`encode`] writes.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<Bucket>> {
    let bytes = base64::decode(text.as_bytes(), base64::URL)?;
    let (pairs, rest) = bytes.as_chunks::<2>();
    let buckets: Vec<Bucket> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let valid = rest.is_empty() && buckets.iter().all(|bucket| *bucket < BUCKETS);
    valid.then_some(buckets)
}

/// SipHash-1-3 with a fixed key: stable across versions, proxies and key rotation.
fn hash(salt: &[u8], value: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6361_6e61_7279, 0x6c61_7965_7273);
    hasher.write(salt);
    hasher.write(&[0xff]);
    hasher.write(value);
    hasher.finish()
}
