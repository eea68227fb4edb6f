//! Our own objects: from what is there to what should be.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::change::{Change, Phase};
use crate::failover::LANE_KEY_PREFIX;
use crate::observed::Object;
use crate::rules::marker;

type ByName<'a> = HashMap<(String, String), &'a Object>;

fn ours(objects: &[Object]) -> ByName<'_> {
    let ours = objects.iter().filter(|object| object.is_ours());
    ours.map(|object| ((object.namespace().into(), object.name().into()), object)).collect()
}

fn take<'a>(found: &mut ByName<'a>, body: &Value) -> Option<&'a Object> {
    let text = |key: &str| body["metadata"][key].as_str().unwrap_or_default().to_owned();
    found.remove(&(text("namespace"), text("name")))
}

/// Plans our VirtualServices. What they lead to is there already, and what they led to stays for now.
pub(super) fn plan_services(observed: &[Object], wanted: Vec<Value>, changes: &mut Vec<Change>) {
    let mut found = ours(observed);
    for body in wanted {
        match take(&mut found, &body) {
            None => changes.extend(Change::create(Phase::Routes, body, Vec::new())),
            Some(object) => {
                let goal = keeping_metadata(object, &body);
                changes.extend(Change::update(Phase::Routes, object, goal, Vec::new()));
            }
        }
    }
    changes.extend(found.into_values().map(|object| Change::delete(Phase::Routes, object, Vec::new())));
}

/// Plans our DestinationRules: a subset that goes is kept until routes have left it.
pub(super) fn plan_rules(observed: &[Object], wanted: Vec<Value>, changes: &mut Vec<Change>) {
    let mut found = ours(observed);
    for body in wanted {
        let Some(object) = take(&mut found, &body) else {
            let notes = names(&body).map(|name| format!("+ subset {name}")).collect();
            changes.extend(Change::create(Phase::Subsets, body, notes));
            continue;
        };
        plan_rule(object, body, changes);
    }
    changes.extend(found.into_values().map(|object| Change::delete(Phase::Collect, object, Vec::new())));
}

fn plan_rule(object: &Object, mut body: Value, changes: &mut Vec<Change>) {
    if says_already(object, &body) {
        return;
    }
    let new = names(&body).filter(|name| !names(object.value()).any(|old| old == *name));
    let added: Vec<String> = new.map(|name| format!("+ subset {name}")).collect();
    let fresh = body["spec"]["subsets"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let (union, goal, stale) = merged_subsets(object, fresh);
    let mut last = keeping_metadata(object, &body);
    if stale.is_empty() {
        set_subsets(&mut last, goal);
        changes.extend(Change::update(Phase::Subsets, object, last, added));
        return;
    }
    let mut between = last.clone();
    keep_lanes(&mut between, object);
    set_subsets(&mut between, union);
    set_subsets(&mut last, goal);
    let removed: Vec<String> = stale.iter().map(|name| format!("- subset {name}")).collect();
    let up = Change::update(Phase::Subsets, object, between.clone(), added);
    let is_touched = up.is_some();
    changes.extend(up);
    let Ok(between) = Object::new(between) else { return };
    let down = Change::update(Phase::Collect, &between, last, removed);
    changes.extend(down.map(|down| if is_touched { down.planned() } else { down }));
}

/// Whether a rule says what is wanted, whatever the order of its subsets; most do, most of the time.
fn says_already(object: &Object, body: &Value) -> bool {
    let is = object.value();
    fields(is) == fields(body)
        && subsets(is) == subsets(body)
        && lane_labels(is) == lane_labels(body)
        && owners(is).eq(owners(body))
}

fn fields(rule: &Value) -> BTreeMap<&str, &Value> {
    let spec = rule["spec"].as_object().into_iter().flatten();
    spec.filter(|(key, _)| *key != "subsets").map(|(key, value)| (key.as_str(), value)).collect()
}

/// The subsets by name, without markers.
fn subsets(rule: &Value) -> Vec<(&str, &Value)> {
    let all = rule["spec"]["subsets"].as_array().into_iter().flatten();
    let named = all.map(|subset| (subset["name"].as_str().unwrap_or_default(), subset));
    let mut named: Vec<_> = named.filter(|(_, subset)| !marker::is_marker(subset)).collect();
    named.sort_by_key(|(name, _)| *name);
    named
}

fn lane_labels(object: &Value) -> BTreeMap<&str, &Value> {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels
        .filter(|(key, _)| key.starts_with(LANE_KEY_PREFIX))
        .map(|(key, value)| (key.as_str(), value))
        .collect()
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    let all = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    all.filter(|reference| reference["kind"] == canary_rules::lane::KIND)
}

/// The subsets of a rule on the way and at the goal, and the names of those that go. Subsets keep their
/// places, so that order alone is never a change; markers of the arrival barrier stay.
fn merged_subsets(object: &Object, mut fresh: Vec<Value>) -> (Vec<Value>, Vec<Value>, Vec<String>) {
    let mut union = Vec::new();
    let mut goal = Vec::new();
    let mut stale = Vec::new();
    for old in object.spec()["subsets"].as_array().into_iter().flatten() {
        let kept = match fresh.iter().position(|new| new["name"] == old["name"]) {
            Some(at) => Some(fresh.remove(at)),
            None => marker::is_marker(old).then(|| old.clone()),
        };
        match kept {
            Some(kept) => {
                union.push(kept.clone());
                goal.push(kept);
            }
            None => {
                stale.push(old["name"].as_str().unwrap_or_default().to_owned());
                union.push(old.clone());
            }
        }
    }
    union.extend(fresh.iter().cloned());
    goal.append(&mut fresh);
    (union, goal, stale)
}

/// Lets a rule still say the lanes that it said, as long as it serves them.
fn keep_lanes(between: &mut Value, object: &Object) {
    let old = &object.value()["metadata"];
    let mut labels = old["labels"].as_object().cloned().unwrap_or_default();
    labels.extend(between["metadata"]["labels"].as_object().cloned().unwrap_or_default());
    between["metadata"]["labels"] = labels.into();
    let list = |of: &Value| of["ownerReferences"].as_array().cloned().unwrap_or_default();
    let mut references = list(old);
    references.extend(list(&between["metadata"]).into_iter().filter(|new| !list(old).contains(new)));
    if !references.is_empty() {
        between["metadata"]["ownerReferences"] = references.into();
    }
}

fn set_subsets(rule: &mut Value, subsets: Vec<Value>) {
    if let Some(spec) = rule["spec"].as_object_mut() {
        match subsets.is_empty() {
            true => drop(spec.shift_remove("subsets")),
            false => drop(spec.insert("subsets".into(), subsets.into())),
        }
    }
}

fn names(rule: &Value) -> impl Iterator<Item = &str> {
    let subsets = rule["spec"]["subsets"].as_array().into_iter().flatten();
    subsets.filter(|subset| !marker::is_marker(subset)).filter_map(|subset| subset["name"].as_str())
}

/// The wanted object with what the API server, and others, keep on the one that is there.
pub(super) fn keeping_metadata(object: &Object, wanted: &Value) -> Value {
    let mut goal = object.value().clone();
    goal["spec"] = wanted["spec"].clone();
    let metadata = &wanted["metadata"];
    let mut labels: Map<String, Value> = goal["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.retain(|key, _| !key.starts_with(LANE_KEY_PREFIX));
    labels.extend(metadata["labels"].as_object().cloned().unwrap_or_default());
    if !labels.is_empty() {
        goal["metadata"]["labels"] = labels.into();
    }
    let is_lane = |reference: &&Value| reference["kind"] == canary_rules::lane::KIND;
    let list = |of: &Value| of["ownerReferences"].as_array().cloned().unwrap_or_default();
    let others = list(&goal["metadata"]).into_iter().filter(|reference| !is_lane(&reference));
    let references: Vec<Value> = others.chain(list(metadata)).collect();
    match references.is_empty() {
        true => goal["metadata"].as_object_mut().and_then(|fields| fields.shift_remove("ownerReferences")),
        false => goal["metadata"]
            .as_object_mut()
            .and_then(|fields| fields.insert("ownerReferences".into(), references.into())),
    };
    goal
}
