//! Listeners with their HTTP connection managers, set up as Istio sets up gateways and sidecars.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::envoy::clusters::socket_address;
use crate::envoy::{UNREACHABLE_HEADER, type_url};
use crate::spec::{ProxyOptions, Tracing};

/// What kind of listener, with what only that kind has.
pub(crate) enum Kind<'a> {
    /// The way in from outside.
    Gateway {
        /// The watched file of its routes.
        routes: &'a str,
    },
    /// Before an app.
    Inbound {
        /// Its routes.
        routes: Value,
    },
    /// Behind an app.
    Outbound {
        /// The watched file of its routes.
        routes: &'a str,
    },
}

impl Kind<'_> {
    /// The listener's name, and the prefix of its statistics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gateway { .. } => "gateway",
            Self::Inbound { .. } => "inbound",
            Self::Outbound { .. } => "outbound",
        }
    }
}

/// One listener; `access_log` is a file, `filters` its chain with the router.
pub(crate) fn listener(
    kind: &Kind,
    address: SocketAddr,
    filters: &Value,
    options: &ProxyOptions,
    access_log: &str,
) -> Value {
    // Envoy knows a gateway as outbound too.
    let direction = if matches!(kind, Kind::Inbound { .. }) { "INBOUND" } else { "OUTBOUND" };
    json!({
        "name": kind.name(),
        "traffic_direction": direction,
        "address": socket_address(address),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager(kind, filters, options, access_log),
        }]}],
    })
}

fn connection_manager(kind: &Kind, filters: &Value, options: &ProxyOptions, access_log: &str) -> Value {
    let mut manager = json!({
        "@type": type_url("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": kind.name(),
        // Of strangers, addresses and request ids are not believed; of neighbours they are.
        "use_remote_address": matches!(kind, Kind::Gateway { .. }),
        "generate_request_id": true,
        "normalize_path": true,
        "stream_idle_timeout": "0s",
        "http2_protocol_options": { "allow_connect": true },
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "http_filters": filters,
    });
    match kind {
        Kind::Gateway { routes } => manager["rds"] = watched(super::GATEWAY_ROUTES, routes),
        Kind::Outbound { routes } => manager["rds"] = watched(super::MESH_ROUTES, routes),
        Kind::Inbound { routes } => {
            manager["route_config"] = routes.clone();
            manager["local_reply_config"] = mark_unreachable();
        }
    }
    if options.tracing == Tracing::Packed {
        manager["tracing"] = json!({ "random_sampling": { "value": 100 } });
    }
    if options.access_log {
        manager["access_log"] = json!([access_log_to(access_log, kind.name())]);
    }
    manager
}

fn watched(name: &str, file: &str) -> Value {
    json!({
        "route_config_name": name,
        "config_source": { "resource_api_version": "V3", "path_config_source": { "path": file } },
    })
}

fn mark_unreachable() -> Value {
    json!({ "mappers": [{
        "filter": { "response_flag_filter": { "flags": ["UF"] } },
        "headers_to_add": [{
            "header": { "key": UNREACHABLE_HEADER, "value": "true" },
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }],
    }]})
}

fn access_log_to(file: &str, listener: &str) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": type_url("envoy.extensions.access_loggers.file.v3.FileAccessLog"),
            "path": file,
            "log_format": { "json_format": {
                "listener": listener,
                "authority": "%REQ(:AUTHORITY)%",
                "path": "%REQ(:PATH)%",
                "lane": "%REQ(X-CANARY-LANE)%",
                "request_id": "%REQ(X-REQUEST-ID)%",
                "traceparent": "%REQ(TRACEPARENT)%",
                "route": "%ROUTE_NAME%",
                "cluster": "%UPSTREAM_CLUSTER_RAW%",
                "upstream": "%UPSTREAM_HOST%",
                "status": "%RESPONSE_CODE%",
                "flags": "%RESPONSE_FLAGS%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "ms": "%DURATION%",
            }},
        },
    })
}
