//! A proxy's bootstrap: who it is, where it listens, and which files it watches.

use std::net::SocketAddr;

use canary_istio::{Host, Labels};
use serde_json::{Value, json};

use crate::envoy::clusters::socket_address;

/// Who a proxy is, as Istio tells it in the node.
pub(crate) struct Identity<'a> {
    /// `router` or `sidecar`.
    pub(crate) kind: &'static str,
    /// The pod's name.
    pub(crate) pod: &'a str,
    /// The service that it serves.
    pub(crate) service: &'a Host,
    /// The pod's labels.
    pub(crate) labels: &'a Labels,
}

/// The whole bootstrap; `clusters_file` is watched (CDS).
pub(crate) fn bootstrap(
    identity: &Identity,
    admin: SocketAddr,
    listeners: &[Value],
    clusters: &[Value],
    clusters_file: &str,
) -> Value {
    json!({
        "node": node(identity),
        "admin": { "address": socket_address(admin) },
        "stats_config": { "use_all_default_tags": false, "stats_tags": stats_tags() },
        "static_resources": { "listeners": listeners, "clusters": clusters },
        "dynamic_resources": { "cds_config": {
            "resource_api_version": "V3",
            "path_config_source": { "path": clusters_file },
        }},
    })
}

/// What of a statistic's name is a label for Prometheus, as Istio has it. (Source: envoy_bootstrap.json in its
/// tools/packaging/common.)
fn stats_tags() -> Value {
    json!([
        { "tag_name": "cluster_name", "regex": "^cluster\\.((.+?(\\..+?\\.svc\\.cluster\\.local)?)\\.)" },
        { "tag_name": "response_code_class", "regex": "_rq(_(\\dxx))$" },
    ])
}

/// As Istio's pilot-agent writes it, as far as filters read it.
fn node(identity: &Identity) -> Value {
    let Identity { kind, pod, service, labels } = identity;
    let namespace = service.namespace();
    json!({
        "id": format!("{kind}~127.0.0.1~{pod}.{namespace}~{namespace}.svc.cluster.local"),
        "cluster": format!("{service}"),
        "metadata": {
            "NAME": pod,
            "NAMESPACE": namespace,
            "WORKLOAD_NAME": pod,
            "LABELS": labels,
        },
    })
}
