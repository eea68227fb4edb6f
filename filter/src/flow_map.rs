//! The correlation map where the proxy keeps it: one shared-data key per bucket.
//!
//! Owns keys, versions and retries. The proxy's shared data has no delete and no limit, so the keys
//! are a fixed set: [`BUCKETS`] of them, about 6 MB with the proxy's own bookkeeping once all are used,
//! whatever the traffic; and one that holds the key by which flow ids are made.

use canary_rules::correlation::FlowId;
use canary_rules::flows::{Bucket, Held, Lookup};
use canary_rules::name::LaneCode;

use crate::host::{CAS_ABSENT, Host, SetError};
use crate::metrics::{Event, Metrics};

/// Buckets of the map; a power of two. Part of the layout: flows recorded under another number are not
/// found, so raise the key prefix with it.
pub const BUCKETS: u64 = 16_384;

/// Most attempts to write a bucket that other workers keep writing. Each failure means that one of
/// them got through.
pub const CAS_ATTEMPTS_MAX: u32 = 64;

/// Where the map's own key of flow ids is kept, beside its buckets.
const ID_KEY: [u8; 4] = *b"cl1k";

/// All plugins of a proxy share one namespace, and all versions of this one: this says whose a key is,
/// and the layout's version.
const KEY_PREFIX: [u8; 3] = *b"cl1";

/// The key by which this proxy makes flow ids: drawn by the first plugin that asks, kept as long as the map.
///
/// It outlives every configuration, so that what one recorded the next one finds, also with other signing keys.
/// None where the proxy keeps nothing.
pub fn id_key<H: Host>(host: &H) -> Option<[u8; 16]> {
    for _ in 0..CAS_ATTEMPTS_MAX {
        let shared = host.shared(&ID_KEY);
        if let Some(key) = shared.as_ref().and_then(|shared| shared.value.as_slice().try_into().ok()) {
            return Some(key);
        }
        let key = host.entropy();
        match host.set_shared(&ID_KEY, &key, shared.map_or(CAS_ABSENT, |shared| shared.cas)) {
            Ok(()) => return Some(key),
            Err(SetError::CasMismatch) => {}
            Err(SetError::Refused) => return None,
        }
    }
    None
}

/// A flow holds an id until a time.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// The id.
    pub id: FlowId,
    /// The flow's tag.
    pub code: LaneCode,
    /// Seconds of the map's clock.
    pub until_s: u32,
}

/// Records a flow under an id.
pub fn hold<H: Host>(host: &H, metrics: &Metrics, hold: Hold, now_s: u32) {
    let key = key(hold.id);
    for _ in 0..CAS_ATTEMPTS_MAX {
        let (mut bucket, cas) = match host.shared(&key) {
            Some(shared) => (Bucket::read(&shared.value), shared.cas),
            None => (Bucket::default(), CAS_ABSENT),
        };
        let held = bucket.hold(hold.id, hold.code, hold.until_s, now_s);
        match host.set_shared(&key, bucket.bytes(), cas) {
            Ok(()) => {
                match held {
                    Held::Kept => {}
                    Held::Evicted => metrics.event(Event::MapEvicted),
                    Held::Refused => metrics.event(Event::MapRefused),
                }
                return;
            }
            Err(SetError::CasMismatch) => {}
            Err(SetError::Refused) => {
                metrics.event(Event::HostRefused);
                return;
            }
        }
    }
    metrics.event(Event::MapCasExhausted);
}

/// What the map says of an id.
pub fn lookup<H: Host>(host: &H, id: FlowId, now_s: u32) -> Lookup {
    host.shared(&key(id)).map_or(Lookup::Unknown, |shared| Bucket::read(&shared.value).lookup(id, now_s))
}

/// A bucket's key: short enough that the proxy's string needs no allocation.
fn key(FlowId(id): FlowId) -> [u8; 5] {
    let [low, high, ..] = (id & BUCKETS.wrapping_sub(1)).to_le_bytes();
    let [a, b, c] = KEY_PREFIX;
    [a, b, c, low, high]
}
