//! The HTTP filters of a listener.

use std::path::Path;

use serde_json::{Value, json};

use crate::envoy::type_url;
use crate::spec::{FailurePolicy, FilterEntry, Role, WasmSpec};

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// A chain with its router at the end. Entries of the filter under test are left out where there is none.
pub(crate) fn chain(
    entries: &[FilterEntry],
    wasm: Option<&WasmSpec>,
    config_file: impl Fn(Role) -> String,
) -> Value {
    let filter = |entry: &FilterEntry| match entry {
        FilterEntry::Inline(filter) => Some(filter.clone()),
        FilterEntry::Canary(role) => wasm.map(|_| discovered(*role, &config_file(*role))),
    };
    let mut chain: Vec<Value> = entries.iter().filter_map(filter).collect();
    chain.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": type_url("envoy.extensions.filters.http.router.v3.Router") },
    }));
    chain.into()
}

/// A filter whose configuration comes from a watched file.
fn discovered(role: Role, file: &str) -> Value {
    json!({
        "name": role.filter_name(),
        "config_discovery": {
            "config_source": { "resource_api_version": "V3", "path_config_source": { "path": file } },
            "type_urls": [type_url(WASM)],
        },
    })
}

/// What the watched file of a role holds.
pub(crate) fn resource(role: Role, wasm: &WasmSpec, config: &str) -> Value {
    json!({
        "@type": type_url("envoy.config.core.v3.TypedExtensionConfig"),
        "name": role.filter_name(),
        "typed_config": typed_config(role.filter_name(), wasm.module_of(role), config, wasm.failure_policy),
    })
}

/// A Wasm filter as a plain entry of a chain, for comparisons: its configuration stays as it is.
#[must_use]
pub fn inline_wasm(name: &str, module: &Path, config: &str) -> FilterEntry {
    FilterEntry::Inline(json!({
        "name": name,
        "typed_config": typed_config(name, module, config, FailurePolicy::Open),
    }))
}

/// No vm id, as Istio sends it: one VM and one shared-data namespace for all roles of a proxy.
fn typed_config(name: &str, module: &Path, config: &str, failure_policy: FailurePolicy) -> Value {
    let failure_policy = match failure_policy {
        FailurePolicy::Open => "FAIL_OPEN",
        FailurePolicy::Closed => "FAIL_CLOSED",
        FailurePolicy::Reload => "FAIL_RELOAD",
    };
    json!({
        "@type": type_url(WASM),
        "config": {
            "name": name,
            "root_id": name,
            "failure_policy": failure_policy,
            "configuration": { "@type": type_url("google.protobuf.StringValue"), "value": config },
            "vm_config": {
                "vm_id": "",
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": module.to_string_lossy() } },
            },
        },
    })
}
