//! The lane of a release, step by step.

use canary_rules::lane::{API_VERSION, KIND};
use serde_json::{Value, json};

use crate::document::Release;

/// Label of what a release made, with the release's name.
pub const RELEASE_LABEL: &str = "canaryctl.io/release";
/// What the rule of the share is called.
const SHARE: &str = "share";

/// The lane with this share of users, in percent; none: only those of the rules.
pub(crate) fn document(release: &Release, share: f64) -> Value {
    let mut rules = serde_json::to_value(&release.spec.rules).unwrap_or_else(|_| json!([]));
    if share > 0.0
        && let Value::Array(rules) = &mut rules
    {
        rules.push(json!({"name": SHARE, "percent": share}));
    }
    let mut spec = json!({"rules": rules});
    if !release.spec.key.is_empty() {
        spec["key"] = json!(release.spec.key);
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": release.lane().as_str(),
            "labels": {RELEASE_LABEL: release.metadata.name.as_str()},
        },
        "spec": spec,
    })
}

/// Whether a lane is this release's.
pub(crate) fn is_of(lane: &Value, release: &Release) -> bool {
    lane["metadata"]["labels"][RELEASE_LABEL] == release.metadata.name.as_str()
}

/// Whether a lane says what is wanted; numbers are compared as such.
pub(crate) fn says(lane: &Value, wanted: &Value) -> bool {
    same(&lane["spec"]["rules"], &wanted["spec"]["rules"])
        && same(&lane["spec"]["key"], &wanted["spec"]["key"])
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|b| same(value, b)))
        }
        (Value::Null, Value::Array(list)) | (Value::Array(list), Value::Null) => list.is_empty(),
        _ => a == b,
    }
}

/// Whether every proxy has the lane as it is, or else what is said of it.
pub(crate) fn programmed(lane: &Value) -> Result<(), String> {
    let conditions = lane["status"]["conditions"].as_array();
    let programmed = conditions.into_iter().flatten().find(|condition| condition["type"] == "Programmed");
    let Some(condition) = programmed else { return Err("the controller has not seen it yet".into()) };
    let is_current = condition["observedGeneration"] == lane["metadata"]["generation"];
    match (is_current, condition["status"] == "True") {
        (true, true) => Ok(()),
        (true, false) => Err(condition["message"].as_str().unwrap_or_default().into()),
        (false, _) => Err("the controller has not seen it yet".into()),
    }
}
