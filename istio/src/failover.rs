//! Who comes first: the keys by which Istio ranks the endpoints of a subset, and the labels that they read.
//!
//! Fallback order is Istio's `failoverPriority`, which ranks an endpoint by how many leading keys it matches.
//! One label holds one value, so each lane has a key of its own: first the absence of every other lane, then
//! the lane's ancestors from the eldest, last the lane. Members of a child lane carry their ancestors' keys too.

use std::collections::{BTreeMap, BTreeSet};

use canary_rules::name::LaneName;
use serde::Serialize;
use serde_json::Value;

use crate::lane::{EXCHANGE, LANE_LABEL};
use crate::plan::{HostPlan, Subset, TierOf};
use crate::service::{Host, Labels};

#[cfg(test)]
mod tests;

/// What a lane's own label key starts with: `lane.canaryctl.io/gray`.
pub const LANE_KEY_PREFIX: &str = "lane.canaryctl.io/";
/// Value of a lane's own label key on its members.
const MEMBER: &str = "member";

/// A running pod's annotation that lists the labels put on it, with commas: they go again, and those that its
/// owner wrote stay.
pub const LABELLED_ANNOTATION: &str = "canaryctl.io/labelled";

/// Labels that the pods of a workload must carry for the rules to find them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodLabels {
    /// The service.
    pub host: Host,
    /// The workload.
    pub workload: String,
    /// The labels, all of them ours.
    pub labels: Labels,
}

/// The labels that were put on a running pod, as its annotation lists them.
pub fn labelled(pod: &Value) -> impl Iterator<Item = &str> {
    let listed = pod["metadata"]["annotations"][LABELLED_ANNOTATION].as_str().unwrap_or_default();
    listed.split(',').filter(|key| !key.is_empty())
}

/// The lane's own label key, e.g. `lane.canaryctl.io/gray`.
#[must_use]
pub fn lane_key(lane: &str) -> String {
    format!("{LANE_KEY_PREFIX}{lane}")
}

/// Whether a key of a `failoverPriority` is one of ours.
pub(crate) fn is_ours(key: &str) -> bool {
    key.starts_with(LANE_KEY_PREFIX) || key.strip_prefix(LANE_LABEL).is_some_and(|rest| rest.starts_with('='))
}

/// What puts the baseline before every lane. It depends on no lane, so it holds for pods that nobody has
/// seen yet and for lanes that come and go.
pub(crate) fn baseline_keys() -> Vec<String> {
    vec![absent(LANE_LABEL)]
}

/// What ranks a lane's endpoints, or `None` for a lane that may not fall back: it selects its own.
pub(crate) fn lane_keys(subset: &Subset, lanes_here: &BTreeSet<&str>) -> Option<Vec<String>> {
    if !subset.failover.iter().any(|tier| !is_lane(&tier.of, subset.lane.as_str())) {
        return None;
    }
    let served_by: Vec<&str> = tier_lanes(subset).collect();
    let mut keys = Vec::with_capacity(lanes_here.len());
    for lane in lanes_here.iter().filter(|lane| !served_by.contains(lane)) {
        keys.push(absent_lane(lane));
    }
    keys.extend(served_by.iter().rev().map(|lane| member_of(lane)));
    Some(keys)
}

/// What ranks the endpoints of an exchange: its own before the baseline, and lanes' behind both.
pub(crate) fn exchange_keys(lanes_here: &BTreeSet<&str>) -> Vec<String> {
    let others = lanes_here.iter().filter(|lane| **lane != EXCHANGE);
    others.map(|lane| absent_lane(lane)).chain([member_of(EXCHANGE)]).collect()
}

/// Whether a key of a `failoverPriority` puts an exchange first.
pub(crate) fn is_of_exchange(key: &str) -> bool {
    key == member_of(EXCHANGE)
}

/// The label that a lane's members share.
pub(crate) fn own_labels(lane: &LaneName) -> Labels {
    Labels::from([(LANE_LABEL.into(), lane.as_str().into())])
}

/// Lanes with a workload of this host, whether they exist or are only labelled, and the exchange as one of them.
pub(crate) fn lanes_here(host: &HostPlan) -> BTreeSet<&str> {
    let members = host.subsets.iter().flat_map(tier_lanes);
    let exchange = host.exchange.iter().map(|_| EXCHANGE);
    members.chain(host.idle.iter().map(|idle| idle.lane.as_str())).chain(exchange).collect()
}

/// Names of the workloads that no untagged request may reach.
pub(crate) fn lane_workloads(host: &HostPlan) -> BTreeSet<&str> {
    let tiers = host.subsets.iter().flat_map(|subset| &subset.failover);
    let lanes = tiers.filter(|tier| matches!(tier.of, TierOf::Lane(_)));
    let members = lanes.flat_map(|tier| tier.workloads.iter().map(String::as_str));
    let exchange = host.exchange.iter().flat_map(|exchange| exchange.workloads.iter().map(String::as_str));
    members.chain(host.idle.iter().map(|idle| idle.workload.as_str())).chain(exchange).collect()
}

/// Which labels the pods of members, and of idle workloads, must carry.
#[must_use]
pub fn pod_labels(host: &HostPlan) -> Vec<PodLabels> {
    let mut wanted: BTreeMap<&str, Labels> = BTreeMap::new();
    for idle in &host.idle {
        wanted.entry(&idle.workload).or_default().insert(lane_key(&idle.lane), MEMBER.into());
    }
    for subset in &host.subsets {
        let Some(own) = subset.failover.first().filter(|tier| is_lane(&tier.of, subset.lane.as_str())) else {
            continue;
        };
        for workload in &own.workloads {
            let labels = wanted.entry(workload).or_default();
            labels.insert(LANE_LABEL.into(), subset.lane.as_str().into());
            labels.extend(tier_lanes(subset).map(|lane| (lane_key(lane), MEMBER.to_owned())));
        }
    }
    let entry = |(workload, labels): (&str, Labels)| PodLabels {
        host: host.host.clone(),
        workload: workload.into(),
        labels,
    };
    wanted.into_iter().map(entry).collect()
}

fn tier_lanes(subset: &Subset) -> impl Iterator<Item = &str> {
    subset.failover.iter().filter_map(|tier| match &tier.of {
        TierOf::Lane(lane) => Some(lane.as_str()),
        TierOf::Baseline => None,
    })
}

fn is_lane(of: &TierOf, name: &str) -> bool {
    matches!(of, TierOf::Lane(lane) if lane.as_str() == name)
}

/// An empty value matches pods without the label.
fn absent(key: &str) -> String {
    format!("{key}=")
}

fn member_of(lane: &str) -> String {
    format!("{LANE_KEY_PREFIX}{lane}={MEMBER}")
}

fn absent_lane(lane: &str) -> String {
    format!("{LANE_KEY_PREFIX}{lane}=")
}
