//! The plan as VirtualServices and DestinationRules, for hosts that have none of their own.
//!
//! Only transcribes: every decision is in the plan. Knows nothing of objects that users already have.
//!
//! Fallback order is Istio's `failoverPriority`, which ranks an endpoint by how many leading keys it matches.
//! One label holds one value, so each lane has a key of its own: first the absence of every other lane, then
//! the lane's ancestors from the eldest, last the lane. Members of a child lane carry their ancestors' keys too.

use std::collections::{BTreeMap, BTreeSet};

use canary_rules::name::HeaderName;
use serde::Serialize;

use crate::lane::LANE_LABEL;
use crate::plan::{Destination, HostPlan, HttpRoute, REFUSAL_HEADER, RoutingPlan, Subset, TierOf};
use crate::service::{Host, Labels};

#[cfg(test)]
mod tests;

/// What a lane's own label key starts with: `lane.canaryctl.io/gray`.
const LANE_KEY_PREFIX: &str = "lane.canaryctl.io/";
/// Value of a lane's own label key on its members.
const MEMBER: &str = "member";

/// Everything that a plan asks of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objects {
    /// One per host that a lane touches.
    pub virtual_services: Vec<VirtualService>,
    /// One per host that a lane touches.
    pub destination_rules: Vec<DestinationRule>,
    /// Labels that pods must carry for the rules to find them.
    pub pod_labels: Vec<PodLabels>,
}

/// Labels that the pods of a workload must carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodLabels {
    /// The service.
    pub host: Host,
    /// The workload.
    pub workload: String,
    /// The labels, all of them ours.
    pub labels: Labels,
}

/// A `networking.istio.io/v1` VirtualService, as far as the plan speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualService {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: VirtualServiceSpec,
}

/// A `networking.istio.io/v1` DestinationRule, as far as the plan speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRule {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: DestinationRuleSpec,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Metadata {
    name: String,
    namespace: String,
    labels: Labels,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct VirtualServiceSpec {
    hosts: Vec<String>,
    http: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    name: String,
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    matches: Vec<Match>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    route: Vec<RouteDestination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_response: Option<DirectResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<HeaderOperations>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Match {
    headers: BTreeMap<String, Exact>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Exact {
    exact: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RouteDestination {
    destination: HostSubset,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HostSubset {
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subset: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DirectResponse {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HeaderOperations {
    response: SetHeaders,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SetHeaders {
    set: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct DestinationRuleSpec {
    host: String,
    traffic_policy: TrafficPolicy,
    subsets: Vec<RuleSubset>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleSubset {
    name: String,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic_policy: Option<TrafficPolicy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrafficPolicy {
    load_balancer: LoadBalancer,
    outlier_detection: OutlierDetection,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBalancer {
    locality_lb_setting: LocalityLbSetting,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalityLbSetting {
    enabled: bool,
    failover_priority: Vec<String>,
}

/// Istio honours `failoverPriority` only where outlier detection is on; 0 errors means that nobody is ejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct OutlierDetection {
    #[serde(rename = "consecutive5xxErrors")]
    consecutive_5xx_errors: u32,
}

/// Renders the hosts of a plan that a lane touches.
#[must_use]
pub fn render(plan: &RoutingPlan) -> Objects {
    let touched = || plan.hosts.iter().filter(|host| !host.is_plain());
    Objects {
        virtual_services: touched().map(|host| virtual_service(host, &plan.tag_header)).collect(),
        destination_rules: touched().map(destination_rule).collect(),
        pod_labels: touched().flat_map(pod_labels).collect(),
    }
}

fn metadata(host: &HostPlan) -> Metadata {
    Metadata {
        name: format!("canaryctl-{}", host.host.name()),
        namespace: host.host.namespace().into(),
        labels: Labels::from([("app.kubernetes.io/managed-by".into(), "canaryctl".into())]),
    }
}

fn virtual_service(host: &HostPlan, tag_header: &HeaderName) -> VirtualService {
    VirtualService {
        api_version: "networking.istio.io/v1",
        kind: "VirtualService",
        metadata: metadata(host),
        spec: VirtualServiceSpec {
            hosts: vec![host.host.fqdn()],
            http: host.http.iter().map(|route| http_route(host, route, tag_header)).collect(),
        },
    }
}

fn http_route(host: &HostPlan, route: &HttpRoute, tag_header: &HeaderName) -> Route {
    let to = |subset: Option<String>| {
        vec![RouteDestination { destination: HostSubset { host: host.host.fqdn(), subset } }]
    };
    let (destinations, refusal) = match &route.to {
        Destination::Baseline => (to(None), None),
        Destination::Subset(name) => (to(Some(name.as_str().into())), None),
        Destination::Refuse { status, reason } => (Vec::new(), Some((status, reason))),
    };
    let exact = |tag: &str| Match {
        headers: BTreeMap::from([(tag_header.as_str().into(), Exact { exact: tag.into() })]),
    };
    Route {
        name: route.name.clone(),
        matches: route.tag.iter().map(|tag| exact(tag.as_str())).collect(),
        route: destinations,
        direct_response: refusal.map(|(status, _)| DirectResponse { status: status.get() }),
        headers: refusal.map(|(_, reason)| HeaderOperations {
            response: SetHeaders { set: BTreeMap::from([(REFUSAL_HEADER.into(), reason.clone())]) },
        }),
    }
}

fn destination_rule(host: &HostPlan) -> DestinationRule {
    DestinationRule {
        api_version: "networking.istio.io/v1",
        kind: "DestinationRule",
        metadata: metadata(host),
        spec: DestinationRuleSpec {
            host: host.host.fqdn(),
            traffic_policy: prefer(vec![absent(LANE_LABEL)]),
            subsets: host.subsets.iter().map(|subset| rule_subset(host, subset)).collect(),
        },
    }
}

fn rule_subset(host: &HostPlan, subset: &Subset) -> RuleSubset {
    let name = subset.name.as_str().into();
    // A lane that may not fall back selects its own; the others rank everyone.
    if !falls_back(subset) {
        let own = Labels::from([(LANE_LABEL.into(), subset.lane.as_str().into())]);
        return RuleSubset { name, labels: own, traffic_policy: None };
    }
    let served_by: BTreeSet<&str> = tier_lanes(subset).collect();
    let others = lanes_here(host).into_iter().filter(|lane| !served_by.contains(lane));
    let mut keys: Vec<String> = others.map(|lane| absent(&lane_key(lane))).collect();
    let mut own: Vec<String> =
        tier_lanes(subset).map(|lane| format!("{}={MEMBER}", lane_key(lane))).collect();
    own.reverse();
    keys.append(&mut own);
    RuleSubset { name, labels: Labels::new(), traffic_policy: Some(prefer(keys)) }
}

/// Which labels the pods of members, and of idle workloads, must carry.
fn pod_labels(host: &HostPlan) -> Vec<PodLabels> {
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

/// Lanes with a workload of this host, whether they exist or are only labelled.
fn lanes_here(host: &HostPlan) -> BTreeSet<&str> {
    let members = host.subsets.iter().flat_map(tier_lanes);
    members.chain(host.idle.iter().map(|idle| idle.lane.as_str())).collect()
}

fn tier_lanes(subset: &Subset) -> impl Iterator<Item = &str> {
    subset.failover.iter().filter_map(|tier| match &tier.of {
        TierOf::Lane(lane) => Some(lane.as_str()),
        TierOf::Baseline => None,
    })
}

fn falls_back(subset: &Subset) -> bool {
    subset.failover.iter().any(|tier| !is_lane(&tier.of, subset.lane.as_str()))
}

fn is_lane(of: &TierOf, name: &str) -> bool {
    matches!(of, TierOf::Lane(lane) if lane.as_str() == name)
}

fn prefer(keys: Vec<String>) -> TrafficPolicy {
    TrafficPolicy {
        load_balancer: LoadBalancer {
            locality_lb_setting: LocalityLbSetting { enabled: true, failover_priority: keys },
        },
        outlier_detection: OutlierDetection { consecutive_5xx_errors: 0 },
    }
}

/// The label key that says membership of one lane only, so that several can be ranked.
fn lane_key(lane: &str) -> String {
    format!("{LANE_KEY_PREFIX}{lane}")
}

/// An empty value matches pods without the label.
fn absent(key: &str) -> String {
    format!("{key}=")
}
