//! Envoy's configuration.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Listener;
use super::ports::Reserved;
use crate::bench::options::Options;
use crate::bench::requests::REQUEST_ID;
use crate::bench::variants::{Answer, Filter};

/// Requests for paths that begin like this teach a filter: no [`Filter::Reset`] comes before it.
pub const TEACH: &str = "/teach";

const HTTP_FILTERS: &str = "envoy.extensions.filters.http";

pub(super) fn bootstrap(
    options: &Options,
    listeners: &[Listener],
    ports: &[(String, Reserved)],
) -> Result<Value> {
    let address_of = |name: &str| {
        let found = ports.iter().find(|(port, _)| port == name);
        found.map(|(_, port)| port.address()).with_context(|| format!("no listener {name}"))
    };
    let mut configured = Vec::new();
    let mut clusters = Vec::new();
    for listener in listeners {
        configured.push(listener_config(options, listener, address_of(&listener.name)?));
        if let Some(onward) = &listener.onward {
            clusters.push(cluster(onward, address_of(onward)?));
        }
    }
    Ok(json!({
        "node": { "id": "bench", "cluster": "bench" },
        "static_resources": { "listeners": configured, "clusters": clusters },
    }))
}

fn listener_config(options: &Options, listener: &Listener, address: SocketAddr) -> Value {
    let numbered = listener.filters.iter().enumerate();
    let mut filters: Vec<Value> = numbered
        .map(|(number, filter)| http_filter(options, listener, number, filter))
        .filter(|f| !f.is_null())
        .collect();
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": type_url(&format!("{HTTP_FILTERS}.router.v3.Router")) },
    }));
    json!({
        "name": listener.name,
        "address": socket_address(address),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": type_url(
                    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
                ),
                "stat_prefix": listener.name,
                "codec_type": "HTTP1",
                "http_filters": filters,
                "route_config": { "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": routes(listener),
                }]},
            },
        }]}],
    })
}

/// Two routes told apart by the tag, as a lane's VirtualService has them, and one before them for teaching.
fn routes(listener: &Listener) -> Vec<Value> {
    let tag = json!([{ "name": "x-canary-lane", "string_match": { "exact": Answer::Lane.body() } }]);
    let route = |headers: Value, answer: Answer| {
        let mut route = json!({ "match": { "prefix": "/", "headers": headers } });
        match &listener.onward {
            Some(onward) => route["route"] = json!({ "cluster": onward }),
            None => route["direct_response"] = direct_response(answer),
        }
        route
    };
    let mut routes = vec![route(tag, Answer::Lane), route(json!([]), Answer::Baseline)];
    let numbered = listener.filters.iter().enumerate();
    let resets: Vec<usize> =
        numbered.filter(|(_, filter)| **filter == Filter::Reset).map(|(number, _)| number).collect();
    if !resets.is_empty() {
        let disabled = json!({
            "@type": type_url("envoy.config.route.v3.FilterConfig"),
            "config": {},
            "disabled": true,
        });
        let without: serde_json::Map<String, Value> =
            resets.into_iter().map(|number| (filter_name(number), disabled.clone())).collect();
        routes.insert(
            0,
            json!({
                "match": { "prefix": TEACH },
                "direct_response": direct_response(Answer::Lane),
                "typed_per_filter_config": without,
            }),
        );
    }
    routes
}

fn direct_response(answer: Answer) -> Value {
    json!({ "status": 200, "body": { "inline_string": answer.body() } })
}

/// Filters need different names; plugins of one name and configuration share a context, as under Istio.
fn filter_name(number: usize) -> String {
    format!("filter-{number}")
}

fn http_filter(options: &Options, listener: &Listener, number: usize, filter: &Filter) -> Value {
    let config = match filter {
        Filter::Nothing => return Value::Null,
        Filter::SetHeader => header_mutation(json!([set("x-bench", "1")])),
        Filter::Reset => header_mutation(json!([
            { "remove": "x-canary-lane" },
            { "remove": "baggage" },
            set("x-request-id", REQUEST_ID),
        ])),
        Filter::Empty => wasm(&options.empty.to_string_lossy(), "empty", "", &listener.vm_id),
        Filter::Sidecar(config) => {
            wasm(&options.sidecar.to_string_lossy(), "canary", config, &listener.vm_id)
        }
        Filter::Edge(config) => wasm(&options.filter.to_string_lossy(), "canary", config, &listener.vm_id),
        Filter::Lua(script) => json!({
            "@type": type_url(&format!("{HTTP_FILTERS}.lua.v3.Lua")),
            "default_source_code": { "inline_string": script },
        }),
    };
    json!({ "name": filter_name(number), "typed_config": config })
}

fn set(name: &str, value: &str) -> Value {
    json!({ "append": {
        "header": { "key": name, "value": value },
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }})
}

fn header_mutation(mutations: Value) -> Value {
    json!({
        "@type": type_url(&format!("{HTTP_FILTERS}.header_mutation.v3.HeaderMutation")),
        "mutations": { "request_mutations": mutations },
    })
}

/// Fails closed, so that a VM that dies does not pass for a fast one.
fn wasm(module: &str, name: &str, config: &str, vm_id: &str) -> Value {
    json!({
        "@type": type_url(&format!("{HTTP_FILTERS}.wasm.v3.Wasm")),
        "config": {
            "name": name,
            "root_id": name,
            "failure_policy": "FAIL_CLOSED",
            "configuration": { "@type": type_url("google.protobuf.StringValue"), "value": config },
            "vm_config": {
                "vm_id": vm_id,
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": module } },
            },
        },
    })
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{
            "endpoint": { "address": socket_address(address) },
        }]}]},
    })
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn type_url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}
