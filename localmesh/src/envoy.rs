//! Envoy's configuration as JSON: bootstrap, listeners, filters, clusters and routes.
//!
//! What never changes while a mesh runs is in the bootstrap; clusters, routes and the configuration of the
//! filter under test are files that Envoy watches and that are replaced by renaming (CDS, RDS, ECDS).
//! Only renders: every routing decision is in the plan, and nothing is started here.

pub(crate) mod bootstrap;
pub(crate) mod clusters;
pub(crate) mod filters;
pub(crate) mod listeners;
pub(crate) mod routes;

use canary_istio::{Destination, HostPlan};
use serde_json::{Value, json};

/// Name of the route configuration of the gateway.
pub(crate) const GATEWAY_ROUTES: &str = "gateway";
/// Name of the route configuration of every sidecar's outbound listener.
pub(crate) const MESH_ROUTES: &str = "mesh";

/// Header of a sidecar's own 503 when its app could not be reached, so that nothing was done and the caller's
/// proxy may try elsewhere. An app's own 503 does not bear it.
pub const UNREACHABLE_HEADER: &str = "x-mesh-app-unreachable";

/// A full type name as `@type`.
pub(crate) fn type_url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

/// A file that Envoy watches: a discovery response with these resources.
pub(crate) fn discovery_response(version: u64, resources: Vec<Value>) -> Value {
    json!({ "version_info": version.to_string(), "resources": resources })
}

/// The name of a route's cluster, as Istio would call it; none where the route answers by itself.
pub(crate) fn cluster_name(host: &HostPlan, to: &Destination) -> Option<String> {
    let subset = match to {
        Destination::Baseline => "",
        Destination::Subset(name) => name.as_str(),
        Destination::Refuse { .. } => return None,
    };
    Some(format!("outbound|{}|{subset}|{}", host.port, host.host.fqdn()))
}
