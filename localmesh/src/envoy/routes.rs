//! The plan's HTTP routes as route configurations.

use std::collections::BTreeMap;

use canary_istio::plan::REFUSAL_HEADER;
use canary_istio::{Destination, Host, HostPlan, HttpRoute, RoutingPlan};
use serde_json::{Value, json};

use crate::envoy::{GATEWAY_ROUTES, MESH_ROUTES, UNREACHABLE_HEADER, cluster_name, type_url};

/// The routes of every sidecar's outbound listener.
pub(crate) fn mesh(plan: &RoutingPlan) -> Value {
    configuration(MESH_ROUTES, plan, None)
}

/// The routes of the gateway: those of the mesh, and whatever else is asked for goes to the entry service.
pub(crate) fn gateway(plan: &RoutingPlan, entry: &Host) -> Value {
    configuration(GATEWAY_ROUTES, plan, Some(entry))
}

/// What an inbound listener does: everything goes to the app, gRPC by HTTP/2.
pub(crate) fn inbound(app: &str, app_grpc: &str) -> Value {
    let route = |name: &str, cluster: &str, grpc: bool| {
        let mut matches = json!({ "prefix": "/" });
        if grpc {
            matches["grpc"] = json!({});
        }
        json!({ "name": name, "match": matches, "route": { "cluster": cluster, "timeout": "0s" } })
    };
    json!({
        "name": "inbound",
        "validate_clusters": false,
        "virtual_hosts": [{
            "name": "inbound",
            "domains": ["*"],
            "routes": [route("grpc", app_grpc, true), route("default", app, false)],
        }],
    })
}

fn configuration(name: &str, plan: &RoutingPlan, entry: Option<&Host>) -> Value {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for host in &plan.hosts {
        *names.entry(host.host.name()).or_default() += 1;
    }
    let virtual_host = |host: &HostPlan| {
        let mut domains = domains(&host.host);
        if names.get(host.host.name()) == Some(&1) {
            domains.push(host.host.name().into());
        }
        if entry == Some(&host.host) {
            domains.push("*".into());
        }
        let routes: Vec<Value> = host.http.iter().map(|route| http_route(plan, host, route)).collect();
        json!({ "name": host.host.fqdn(), "domains": domains, "routes": routes })
    };
    json!({
        "@type": type_url("envoy.config.route.v3.RouteConfiguration"),
        "name": name,
        "ignore_port_in_host_matching": true,
        "virtual_hosts": plan.hosts.iter().map(virtual_host).collect::<Vec<_>>(),
    })
}

fn domains(host: &Host) -> Vec<String> {
    vec![host.to_string(), format!("{host}.svc"), host.fqdn()]
}

fn http_route(plan: &RoutingPlan, host: &HostPlan, route: &HttpRoute) -> Value {
    let mut rendered = json!({ "name": route.name, "match": { "prefix": "/" } });
    if let Some(tag) = &route.tag {
        rendered["match"]["headers"] = json!([{
            "name": plan.tag_header.as_str(),
            "string_match": { "exact": tag.as_str() },
        }]);
    }
    if let Destination::Refuse { status, reason } = &route.to {
        rendered["direct_response"] = json!({ "status": status.get(), "body": { "inline_string": reason } });
        rendered["response_headers_to_add"] = json!([set_header(REFUSAL_HEADER, reason)]);
    } else {
        rendered["route"] = json!({
            "cluster": cluster_name(host, &route.to),
            "timeout": "0s",
            "retry_policy": retry_policy(),
        });
    }
    rendered
}

fn set_header(key: &str, value: &str) -> Value {
    json!({ "header": { "key": key, "value": value }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" })
}

/// Tries elsewhere, next in the fallback order, where nothing was done yet.
fn retry_policy() -> Value {
    json!({
        "retry_on": "connect-failure,refused-stream,reset-before-request,retriable-headers",
        "num_retries": 2,
        "retriable_headers": [{ "name": UNREACHABLE_HEADER, "present_match": true }],
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": { "@type": type_url(
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            )},
        }],
        "host_selection_retry_max_attempts": 5,
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": type_url(
                    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
                ),
                "update_frequency": 1,
            },
        },
        "retry_back_off": { "base_interval": "0.005s", "max_interval": "0.020s" },
    })
}
