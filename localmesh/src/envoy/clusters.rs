//! The plan's subsets as clusters whose endpoints have priorities: the fallback order.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use canary_istio::{HostPlan, RoutingPlan, Tier};
use serde_json::{Value, json};

use crate::envoy::{cluster_name, type_url};
use crate::spec::Upstream;

/// What Istio sets instead of Envoy's circuit breaker limits.
const UNLIMITED: u32 = u32::MAX;

/// Every outbound cluster of the mesh; `addresses` holds the inbound listener of each workload.
pub(crate) fn outbound(
    plan: &RoutingPlan,
    addresses: &BTreeMap<String, SocketAddr>,
    upstream: Upstream,
) -> BTreeMap<String, Value> {
    let mut clusters = BTreeMap::new();
    for host in &plan.hosts {
        for route in &host.http {
            let Some(name) = cluster_name(host, &route.to) else { continue };
            let tiers = tiers(host, &route.to);
            clusters.insert(name.clone(), cluster(&name, &endpoints(&tiers, addresses), &protocol(upstream)));
        }
    }
    clusters
}

/// A cluster of one address: an app behind its own sidecar.
pub(crate) fn local_app(name: &str, address: SocketAddr, upstream: Upstream) -> Value {
    let mut cluster = cluster(name, &[json!({ "lb_endpoints": [endpoint(address)] })], &protocol(upstream));
    // There is no other to turn to: an app that comes back is back at once.
    cluster["outlier_detection"] = Value::Null;
    cluster
}

/// An address as Envoy writes it.
pub(crate) fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn tiers<'a>(host: &'a HostPlan, to: &canary_istio::Destination) -> Vec<&'a Tier> {
    match to {
        canary_istio::Destination::Subset(name) => {
            host.subset(name).map_or_else(Vec::new, |subset| subset.failover.iter().collect())
        }
        _ => vec![&host.baseline],
    }
}

fn endpoints(tiers: &[&Tier], addresses: &BTreeMap<String, SocketAddr>) -> Vec<Value> {
    let tier = |(priority, tier): (usize, &&Tier)| {
        let workloads = tier.workloads.iter().filter_map(|workload| addresses.get(workload));
        let endpoints: Vec<Value> = workloads.map(|address| endpoint(*address)).collect();
        json!({ "priority": priority, "lb_endpoints": endpoints })
    };
    tiers.iter().enumerate().map(tier).collect()
}

fn endpoint(address: SocketAddr) -> Value {
    json!({ "endpoint": { "address": socket_address(address) } })
}

fn cluster(name: &str, endpoints: &[Value], protocol: &Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": endpoints },
        "circuit_breakers": { "thresholds": [{
            "max_connections": UNLIMITED,
            "max_pending_requests": UNLIMITED,
            "max_requests": UNLIMITED,
            "max_retries": UNLIMITED,
        }]},
        // Only hosts that cannot be connected to are left out; what an app answers ejects nobody.
        "outlier_detection": {
            "split_external_local_origin_errors": true,
            "consecutive_local_origin_failure": 2,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
            "enforcing_success_rate": 0,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "5s",
            "max_ejection_percent": 100,
        },
        // Like Istio: a cluster without healthy hosts is empty, not all of them at once.
        "common_lb_config": { "healthy_panic_threshold": { "value": 0 } },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol,
        },
    })
}

fn protocol(upstream: Upstream) -> Value {
    let mut options = match upstream {
        Upstream::AsReceived => json!({ "use_downstream_protocol_config": {
            "http_protocol_options": {},
            "http2_protocol_options": { "allow_connect": true },
        }}),
        Upstream::Http1 => json!({ "explicit_http_config": { "http_protocol_options": {} }}),
        Upstream::H2c => json!({ "explicit_http_config": {
            "http2_protocol_options": { "allow_connect": true },
        }}),
    };
    options["@type"] = type_url("envoy.extensions.upstreams.http.v3.HttpProtocolOptions").into();
    options
}
