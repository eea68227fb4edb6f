//! The Secret by which a cluster's proxies tell of marked requests: there while somebody traces.
//!
//! It holds one key, and for each run that traces the time until which it wants the key in force, and the lane that it
//! watches. Who may write it may trace, and nobody else: the controller gives the key to proxies for as long as a run
//! wants it. After that time no proxy believes it, whoever died meanwhile.

mod turn;
mod watch;

use std::collections::BTreeMap;

use canary_rules::trace::{Sample, TraceKey, Tracing};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

pub use turn::Turn;
pub(crate) use turn::remove;
pub use watch::Watch;

/// Annotation by which the controller says until when every proxy believes the key (Unix, in seconds).
pub const IN_FORCE: &str = "canaryctl.io/in-force-until";
/// Annotation by which the controller says what keeps the key from every proxy.
pub const TROUBLE: &str = "canaryctl.io/trouble";

/// The entry of the key.
const KEY: &str = "key";
/// An entry of a run, before its name.
const RUN: &str = "run.";
/// The entry of what it watches, before its name.
const WATCH: &str = "watch.";
/// Most runs that watch at a time.
const WATCHES_MAX: usize = 16;

/// What a Secret asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Makes and proves marks.
    pub key: TraceKey,
    /// Until when each run wants it (Unix, in seconds).
    runs: BTreeMap<String, u64>,
    /// What runs watch.
    watches: BTreeMap<String, Watch>,
}

impl Asked {
    /// Reads it; none where the Secret holds no key.
    #[must_use]
    pub fn read(secret: &Secret) -> Option<Self> {
        let data = secret.data.as_ref()?;
        let text = |value: &ByteString| String::from_utf8(value.0.clone()).ok();
        let key = TraceKey::parse(&text(data.get(KEY)?)?).ok()?;
        let run = |(name, value): (&String, &ByteString)| {
            Some((name.strip_prefix(RUN)?.to_owned(), text(value)?.parse().ok()?))
        };
        let watch = |(name, value): (&String, &ByteString)| {
            Some((name.strip_prefix(WATCH)?.to_owned(), Watch::read(&text(value)?)?))
        };
        let runs = data.iter().filter_map(run).collect();
        Some(Self { key, runs, watches: data.iter().filter_map(watch).collect() })
    }

    /// What proxies are to be told at this time (Unix, in seconds); none once no run wants it.
    #[must_use]
    pub fn tracing(&self, now_unix_s: u64) -> Option<Tracing> {
        let under_way = || self.runs.iter().filter(|(_, until)| **until > now_unix_s);
        let expires_unix_s = *under_way().map(|(_, until)| until).max()?;
        let sample = |(run, _): (&String, &u64)| {
            let Watch { lane, every_s } = self.watches.get(run)?.clone();
            Some(Sample { lane, every_s, watcher: watcher(run)? }.to_string())
        };
        let samples = under_way().filter_map(sample).take(WATCHES_MAX).collect();
        Some(Tracing { key: self.key, expires_unix_s, samples })
    }
}

/// The number of a run that watches, by its name.
fn watcher(run: &str) -> Option<u32> {
    u32::from_str_radix(run.get(..8)?, 16).ok().filter(|number| *number != 0)
}

/// Until when every proxy believes the key of a Secret, as the controller says.
#[must_use]
pub fn in_force_until(secret: &Secret) -> Option<u64> {
    secret.metadata.annotations.as_ref()?.get(IN_FORCE)?.parse().ok()
}

/// The time by this machine's clock (Unix, in seconds).
pub(crate) fn now_unix_s() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HEX: &str = "61206b657920666f7220747261636573";

    fn asked(data: &[(&str, &str)]) -> Option<Asked> {
        let data: BTreeMap<_, _> =
            data.iter().map(|(name, text)| (*name, ByteString((*text).into()))).collect();
        let secret: Value = json!({"metadata": {}, "data": data});
        Asked::read(&serde_json::from_value(secret).expect("a Secret"))
    }

    #[test]
    fn a_key_is_in_force_until_the_last_run_that_wants_it() {
        let asked = asked(&[("key", HEX), ("run.a", "110"), ("run.b", "130"), ("other", "900")]);
        let asked = asked.expect("a key");
        let expires = |now| asked.tracing(now).map(|tracing| tracing.expires_unix_s);
        assert_eq!(expires(100), Some(130));
        assert_eq!(expires(129), Some(130));
        assert_eq!(expires(130), None);
    }

    #[test]
    fn a_run_that_is_under_way_may_watch_a_lane() {
        let data = [
            ("key", HEX),
            ("run.000000ab00000001", "110"),
            ("watch.000000ab00000001", "gray 5"),
            ("run.000000ac00000001", "130"),
            ("watch.000000ac00000001", "blue 1"),
            ("watch.000000ad00000001", "gray 1"),
        ];
        let asked = asked(&data).expect("a key");
        let watched = |now| asked.tracing(now).map(|tracing| tracing.samples);
        assert_eq!(watched(100), Some(vec!["gray 5 171".into(), "blue 1 172".into()]));
        assert_eq!(watched(110), Some(vec!["blue 1 172".into()]));
        assert_eq!(watched(130), None);
    }

    #[test]
    fn what_is_no_lane_and_time_watches_nothing() {
        for watch in ["gray", "gray soon", "Gray 5", "gray 0", " 5", ""] {
            let data = [("key", HEX), ("run.000000ab00000001", "110"), ("watch.000000ab00000001", watch)];
            let tracing = asked(&data).expect("a key").tracing(0).expect("a run");
            assert_eq!(tracing.samples, [""; 0], "{watch}");
        }
    }

    #[test]
    fn what_is_no_key_or_no_time_turns_nothing_on() {
        assert_eq!(asked(&[("run.a", "110")]), None);
        assert_eq!(asked(&[("key", "short"), ("run.a", "110")]), None);
        for run in ["soon", "", "-1"] {
            let asked = asked(&[("key", HEX), ("run.a", run)]).expect("a key");
            assert_eq!(asked.tracing(0), None, "{run}");
        }
    }
}
