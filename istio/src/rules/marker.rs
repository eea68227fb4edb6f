//! The marker of the arrival barrier: a subset without meaning, by which a proxy shows that it has a rule.

use serde_json::{Value, json};

/// What a marker's name starts with; digits follow.
const PREFIX: char = 'm';

/// How long a marker stays beside later ones, in milliseconds: others may still wait for it.
const STAYS_MS: u64 = 120_000;
/// How many markers a rule holds: each is a cluster in every proxy that has the rule.
const KEPT_MAX: usize = 8;

/// A rule of ours with this marker, named after a time in milliseconds. Others' markers stay for two minutes, the
/// latest seven of them: whoever waits for one is not made to wait for nothing.
#[must_use]
pub fn with_marker(rule: &Value, epoch: u64) -> Value {
    let mut marked = rule.clone();
    let subsets = marked["spec"]["subsets"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let mut epochs: Vec<u64> = subsets.iter().filter_map(epoch_of).collect();
    epochs.retain(|before| *before != epoch && before.abs_diff(epoch) < STAYS_MS);
    epochs.sort_unstable();
    let oldest = epochs.len().saturating_sub(KEPT_MAX - 1);
    let kept = subsets.into_iter().filter(|subset| !is_marker(subset));
    let markers = epochs.drain(oldest..).chain([epoch]).map(|epoch| json!({"name": marker_name(epoch)}));
    marked["spec"]["subsets"] = kept.chain(markers).collect();
    marked
}

/// The name of an epoch's marker, e.g. `m17`.
#[must_use]
pub fn marker_name(epoch: u64) -> String {
    format!("{PREFIX}{epoch}")
}

/// Whether a subset of a rule of ours is a marker.
#[must_use]
pub fn is_marker(subset: &Value) -> bool {
    let digits = digits(subset);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn epoch_of(subset: &Value) -> Option<u64> {
    digits(subset).filter(|_| is_marker(subset))?.parse().ok()
}

fn digits(subset: &Value) -> Option<&str> {
    subset["name"].as_str()?.strip_prefix(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &[&str], epoch: u64, want: &[&str]) {
        let subsets: Vec<Value> = before.iter().map(|name| json!({"name": name})).collect();
        let marked = with_marker(&json!({"spec": {"host": "web", "subsets": subsets}}), epoch);
        let names = marked["spec"]["subsets"].as_array().into_iter().flatten();
        assert_eq!(names.filter_map(|subset| subset["name"].as_str()).collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_marker_comes_beside_those_of_the_last_minutes() {
        check(&["canary-gray", "m100000"], 100_001, &["canary-gray", "m100000", "m100001"]);
        check(&["m100000"], 220_000, &["m220000"]);
        check(&["m100000"], 219_999, &["m100000", "m219999"]);
        check(&["m100000", "canary-gray"], 100_000, &["canary-gray", "m100000"]);
        check(&[], 7, &["m7"]);
    }

    #[test]
    fn the_latest_stay_when_there_are_many() {
        let many = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"];
        check(&many, 9, &["m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"]);
        // Clocks differ: one may be ahead of the newcomer's.
        check(&["m9", "m8"], 5, &["m8", "m9", "m5"]);
    }
}
