//! The lane of a release, step by step.

use std::collections::BTreeMap;

use canary_rules::lane::{self, API_VERSION, KIND, Lane};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::document::{By, Release};

/// Label of what a release made, with the release's name.
pub const RELEASE_LABEL: &str = "canaryctl.io/release";
/// What the rule of the share is called.
const SHARE: &str = "share";

/// The layer of shares of requests: what tells users apart in it tells requests apart.
const LAYER_OF_REQUESTS: &str = "requests";
/// What tells requests apart. A gateway gives each one.
const REQUEST_ID: &str = "x-request-id";

/// Whom a lane takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Who {
    /// Nobody yet.
    Nobody,
    /// Those of the rules, this share of all users, and copies of this much of the rest, in percent.
    Share { share: f64, mirror: f64 },
}

/// The lane that takes these.
pub(crate) fn document(release: &Release, who: Who) -> Value {
    let rules = match who {
        Who::Nobody => Vec::new(),
        Who::Share { share, .. } => {
            let mut rule = json!({"name": SHARE, "percent": share});
            if release.spec.by == By::Requests {
                // Who sent one that was in the lane sends the next one as anybody does.
                rule["sticky"] = false.into();
            }
            release.spec.rules.iter().cloned().chain((share > 0.0).then_some(rule)).collect()
        }
    };
    let mut spec = json!({"rules": rules});
    if let Who::Share { mirror, .. } = who
        && mirror > 0.0
    {
        spec["mirror"] = mirror.into();
    }
    if release.spec.by == By::Requests {
        spec["key"] = json!([{"header": REQUEST_ID}]);
        spec["layer"] = LAYER_OF_REQUESTS.into();
    } else if !release.spec.key.is_empty() {
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

/// What keeps a lane from being beside those that are there: they would be without users, or it would.
pub(crate) fn fault(wanted: &Value, lanes: &BTreeMap<String, Value>) -> Option<String> {
    let own = match Lane::deserialize(wanted) {
        Ok(lane) => lane,
        Err(error) => return Some(error.to_string()),
    };
    let is_own = |lane: &Lane| lane.metadata.name == own.metadata.name;
    let others = lanes.values().filter(|lane| lane["metadata"]["deletionTimestamp"].is_null());
    let mut all: Vec<Lane> = others.filter_map(|lane| Lane::deserialize(lane).ok()).collect();
    // A lane that is refused already is nobody's loss.
    while let Err(problems) = lane::compile(&all) {
        let faulty = problems.0.first().map(|problem| problem.scope.document).filter(|at| *at < all.len());
        let at = faulty?;
        all.remove(at);
    }
    // What the API server keeps of it between steps is kept.
    let before = all.iter().find(|lane| is_own(lane)).and_then(|lane| lane.status.clone());
    all.retain(|lane| !is_own(lane));
    all.push(Lane { status: before, ..own });
    let problems = lane::compile(&all).err()?;
    problems.0.first().map(|problem| match problem.scope.text() {
        place if place.is_empty() => problem.message.clone(),
        place => format!("{place}: {}", problem.message),
    })
}

/// Whether a lane is this release's.
pub(crate) fn is_of(lane: &Value, release: &Release) -> bool {
    lane["metadata"]["labels"][RELEASE_LABEL] == release.metadata.name.as_str()
}

/// Whether a lane says what is wanted; numbers are compared as such.
pub(crate) fn says(lane: &Value, wanted: &Value) -> bool {
    ["rules", "key", "layer", "mirror"].iter().all(|field| same(&lane["spec"][field], &wanted["spec"][field]))
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

/// Whether a lane as it is has been refused, and why.
pub(crate) fn refused(lane: &Value) -> Option<String> {
    let accepted = condition(lane, "Accepted")?;
    let is_current = accepted["observedGeneration"] == lane["metadata"]["generation"];
    (is_current && accepted["status"] == "False")
        .then(|| accepted["message"].as_str().unwrap_or_default().to_owned())
}

/// What is said of a lane's way into proxies, or out of them.
pub(crate) fn progress(lane: &Value) -> String {
    let message = condition(lane, "Programmed").and_then(|condition| condition["message"].as_str());
    message.unwrap_or_default().to_owned()
}

fn condition<'a>(lane: &'a Value, kind: &str) -> Option<&'a Value> {
    lane["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Whether every proxy has the lane as it is, or else what is said of it.
pub(crate) fn programmed(lane: &Value) -> Result<(), String> {
    let Some(condition) = condition(lane, "Programmed") else {
        return Err("the controller has not seen it yet".into());
    };
    let is_current = condition["observedGeneration"] == lane["metadata"]["generation"];
    match (is_current, condition["status"] == "True") {
        (true, true) => Ok(()),
        (true, false) => Err(condition["message"].as_str().unwrap_or_default().into()),
        (false, _) => Err("the controller has not seen it yet".into()),
    }
}
