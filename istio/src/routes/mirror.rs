//! Copies of requests of no lane: what a route of the user's does besides, for lanes and services that get them.
//!
//! Source: `MirrorPercent`, `MirrorPercentByPolicy` in pilot/pkg/networking/core/route, `MergeHTTPRoutes` in
//! pilot/pkg/model.

use serde_json::{Map, Value, json};

use super::{RootTerms, Target};
use crate::hosts::service_named;
use crate::plan::{Mirror, MirrorTo};

/// Steps of a percentage that Envoy tells apart.
const STEPS_PER_PERCENT: u32 = 10_000;
/// Fields that say how much is copied to `mirror`; the first that is there counts.
const PERCENTAGES: [&str; 3] = ["mirrorPercentage", "mirrorPercent", "mirror_percent"];

/// Where copies of a route's requests go: one entry per receiver, service and port, however many destinations lead there.
pub(super) fn mirrors(original: &Map<String, Value>, targets: &[Target]) -> Vec<Value> {
    let destinations = original.get("route").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let port = |index: usize| destinations.get(index).map(|weighted| &weighted["destination"]["port"]);
    let mut mirrors = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        let is_same = |other: &&Target| other.name == target.name && port(other.index) == port(target.index);
        if target.host.mirrors.is_empty() || targets.iter().take(at).any(|other| is_same(&other)) {
            continue;
        }
        let part: f64 = targets.iter().filter(is_same).map(|one| part(destinations, one.index)).sum();
        let Some(destination) = destinations.get(target.index).map(|weighted| &weighted["destination"])
        else {
            continue;
        };
        mirrors.extend(target.host.mirrors.iter().map(|mirror| entry(destination, mirror, part)));
    }
    mirrors
}

/// Copies to one receiver, where this part of a route's requests is the service's.
pub(crate) fn entry(destination: &Value, mirror: &Mirror, part: f64) -> Value {
    let mut destination = destination.clone();
    match &mirror.to {
        MirrorTo::Lane { subset, .. } => destination["subset"] = subset.as_str().into(),
        MirrorTo::Service(host) => {
            destination["host"] = host.fqdn().into();
            if let Some(destination) = destination.as_object_mut() {
                destination.shift_remove("subset");
            }
        }
    }
    json!({"destination": destination, "percentage": {"value": percentage(mirror.share, part)}})
}

/// The part of a route's requests that goes to one of its destinations.
fn part(destinations: &[Value], index: usize) -> f64 {
    if destinations.len() == 1 {
        return 1.0;
    }
    let weight = |weighted: &Value| weighted["weight"].as_f64().unwrap_or_default();
    destinations.get(index).map_or(0.0, weight) / destinations.iter().map(weight).sum::<f64>()
}

/// A whole number is written as one: an API server gives it back so.
fn percentage(hundredths: u16, part: f64) -> Value {
    let steps = f64::from(hundredths) * part * f64::from(STEPS_PER_PERCENT) / 100.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1,000,000, whole")]
    let steps = steps.round().clamp(1.0, f64::from(100 * STEPS_PER_PERCENT)) as u32;
    match steps % STEPS_PER_PERCENT {
        0 => (steps / STEPS_PER_PERCENT).into(),
        _ => (f64::from(steps) / f64::from(STEPS_PER_PERCENT)).into(),
    }
}

/// How much of a service's requests a route copies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copied {
    /// Of how many, in hundredths of a percent. [`percentage`] makes of it what the route says.
    pub(crate) share: u16,
    /// The part of the route's requests that is the service's: the larger, the more exact is the share.
    pub(crate) part: f64,
}

/// What an entry of ours in a route's `mirrors` says.
pub(crate) fn copied(route: &Value, mirror: &Value, namespace: &str) -> Option<Copied> {
    let destinations = route["route"].as_array()?;
    let to = |one: &Value| {
        let destination = &one["destination"];
        let name = service_named(destination["host"].as_str()?, namespace)?;
        Some((name.namespace.to_owned(), name.name.to_owned(), destination["port"].clone()))
    };
    let is_it = |index: &usize| destinations.get(*index).is_some_and(|one| to(one) == to(mirror));
    let part: f64 = (0..destinations.len()).filter(is_it).map(|index| part(destinations, index)).sum();
    let percent = mirror["percentage"]["value"].as_f64().filter(|_| part > 0.0)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10,000, whole")]
    let share = (percent * 100.0 / part).round().clamp(1.0, 10_000.0) as u16;
    Some(Copied { share, part })
}

/// What a delegate's route would inherit in `mirrors`, if all of its roots agree on what its copies do.
pub(super) fn inherited(original: &Map<String, Value>, roots: &[RootTerms]) -> Option<Vec<Value>> {
    let has_own = |key: &str| original.get(key).is_some_and(|value| !value.is_null());
    // Its own `mirror` becomes one of `mirrors`, and the root's would come in its place.
    if has_own("mirror") && roots.iter().any(|root| root.mirrors_once) {
        return None;
    }
    let mut lists = roots.iter().map(|root| root.mirrors.as_str());
    let Some(first) = lists.next().filter(|_| !has_own("mirrors")) else { return Some(Vec::new()) };
    if lists.any(|list| list != first) {
        return None;
    }
    Some(serde_json::from_str(first).unwrap_or_default())
}

/// What a route copies by itself: its `mirror`, as an entry of `mirrors` says it, and then those.
pub(crate) fn listed(route: &Value) -> Vec<Value> {
    let once = Some(&route["mirror"]).filter(|mirror| !mirror.is_null()).map(|destination| {
        let mut own = json!({"destination": destination});
        match PERCENTAGES.map(|key| route.get(key).filter(|percentage| !percentage.is_null())) {
            [Some(percentage), ..] => own["percentage"] = percentage.clone(),
            [None, Some(whole), _] | [None, None, Some(whole)] => own["percentage"] = json!({"value": whole}),
            [None, None, None] => {}
        }
        own
    });
    once.into_iter().chain(route["mirrors"].as_array().into_iter().flatten().cloned()).collect()
}

/// Adds copies to a route. Istio takes no `mirror` beside `mirrors`.
pub(super) fn add(route: &mut Value, mirrors: &[Value]) {
    let all = [listed(route).as_slice(), mirrors].concat();
    let Some(route) = route.as_object_mut() else { return };
    if route.shift_remove("mirror").is_some_and(|mirror| !mirror.is_null()) {
        PERCENTAGES.iter().for_each(|key| drop(route.shift_remove(*key)));
    }
    route.insert("mirrors".into(), all.into());
}
