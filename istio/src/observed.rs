//! The mesh as it was found: services with what stands behind them, and Istio's objects as they are.
//!
//! Istio's objects stay JSON. Fields that this crate does not know are neither read nor lost.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::service::{Copies, Exchanged, Host, Labels, Service, Workload};

pub mod manifests;
mod object;
mod port;

pub use object::{API_VERSION, MANAGED_BY_LABEL, MANAGER, Object, ObjectError, ObjectRef};
pub use port::{Port, Speaks};

/// Port that a plan states for a service without any HTTP port.
const PORT_DEFAULT: u16 = 80;

/// All that a plan looks at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Every Service of the mesh.
    pub services: Vec<ObservedService>,
    /// Every VirtualService, ours included.
    pub virtual_services: Vec<Object>,
    /// Every DestinationRule, ours included.
    pub destination_rules: Vec<Object>,
    /// Objects that tell the edge who is in a lane, e.g. WasmPlugins. Their content means nothing here.
    pub edge: Vec<Object>,
    /// Every namespace.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Settings of the whole mesh.
    pub mesh: Mesh,
}

/// A Service as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// Its name in the mesh.
    pub host: Host,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Whether it has no cluster IP.
    pub headless: bool,
    /// What it selects pods by.
    pub selector: Labels,
    /// What it selects.
    pub workloads: Vec<Workload>,
    /// Who routes it by Gateway API.
    pub http_routes: HttpRoutes,
    /// Its `trafficDistribution`.
    pub distribution: Option<Distribution>,
    /// What somebody has of it of all that no lane claims.
    pub exchanged: Option<Exchanged>,
    /// Which other services get copies of those.
    pub copies: Vec<Copies>,
}

impl ObservedService {
    /// The service as the compiler sees it.
    #[must_use]
    pub fn as_service(&self) -> Service {
        let http = self.ports.iter().find(|port| port.speaks() == Speaks::Http);
        let port = http.or_else(|| self.ports.iter().find(|port| port.speaks() == Speaks::Guessed));
        Service {
            host: self.host.clone(),
            port: port.map_or(PORT_DEFAULT, |port| port.number),
            workloads: self.workloads.clone(),
            exchanged: self.exchanged.clone(),
            copies: self.copies.clone(),
        }
    }
}

/// Which HTTPRoutes of the Gateway API reach a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpRoutes {
    /// One is attached to the Service itself.
    pub in_mesh: bool,
    /// One leads to it from a gateway.
    pub from_gateway: bool,
}

/// How a Service wants its traffic shared out, as Istio reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// `PreferClose` or `PreferSameZone`.
    SameZone,
    /// `PreferSameNode`.
    SameNode,
}

/// A namespace as found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Whether ztunnel takes its pods' traffic.
    pub ambient: bool,
}

/// Settings of the whole mesh that change what a DestinationRule means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Where mesh-wide rules live.
    pub root_namespace: String,
    /// Whether pods of the client's zone are preferred wherever outlier detection is on.
    pub prefers_locality: bool,
    /// Whether every service has outlier detection by `defaultTrafficPolicy`.
    pub detects_outliers: bool,
}

impl Default for Mesh {
    /// Istio as it is installed.
    fn default() -> Self {
        Self { root_namespace: "istio-system".into(), prefers_locality: true, detects_outliers: false }
    }
}

impl Mesh {
    /// What MeshConfigs say where each revision of Istio has its own: an order of endpoints that one of them implies
    /// is kept for all.
    #[must_use]
    pub fn from_configs<'c>(configs: impl IntoIterator<Item = &'c Value>) -> Self {
        let join = |joined: Self, other: Self| Self {
            prefers_locality: joined.prefers_locality || other.prefers_locality,
            detects_outliers: joined.detects_outliers || other.detects_outliers,
            ..joined
        };
        configs.into_iter().map(Self::from_config).reduce(join).unwrap_or_default()
    }

    /// What one says.
    fn from_config(config: &Value) -> Self {
        let default = Self::default();
        let locality = &config["localityLbSetting"];
        let shares_out = locality["distribute"].as_array().is_some_and(|list| !list.is_empty());
        Self {
            root_namespace: config["rootNamespace"].as_str().map_or(default.root_namespace, Into::into),
            prefers_locality: locality["enabled"].as_bool().unwrap_or(true) && !shares_out,
            detects_outliers: config["defaultTrafficPolicy"]["outlierDetection"].is_object(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(configs: &[Value], prefers_locality: bool, detects_outliers: bool) {
        let want = Mesh { prefers_locality, detects_outliers, ..Mesh::default() };
        assert_eq!(Mesh::from_configs(configs), want);
    }

    #[test]
    fn what_one_revision_does_is_kept_for_all() {
        let detects = json!({"defaultTrafficPolicy": {"outlierDetection": {}}});
        let spreads = json!({"localityLbSetting": {"enabled": false}});
        check(&[], true, false);
        check(&[json!({})], true, false);
        check(std::slice::from_ref(&spreads), false, false);
        check(&[json!({}), detects.clone()], true, true);
        check(&[spreads, detects], true, true);
    }
}
