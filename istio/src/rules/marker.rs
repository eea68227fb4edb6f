//! The marker of the arrival barrier: a subset without meaning, by which a proxy shows that it has a rule.

use serde_json::{Value, json};

/// What a marker's name starts with; digits follow.
const PREFIX: char = 'm';

/// A rule of ours with this epoch's marker and no other.
#[must_use]
pub fn with_marker(rule: &Value, epoch: u64) -> Value {
    let mut marked = rule.clone();
    let name = marker_name(epoch);
    let subsets = marked["spec"]["subsets"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let kept = subsets.into_iter().filter(|subset| !is_marker(subset));
    marked["spec"]["subsets"] = kept.chain([json!({"name": name})]).collect();
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
    let digits = subset["name"].as_str().and_then(|name| name.strip_prefix(PREFIX));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}
