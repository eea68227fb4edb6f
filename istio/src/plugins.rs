//! The filter's presence and its configuration: WasmPlugins, whole or on the way between two sets of lanes.
//!
//! Their presence, phase and selector are an installation's business, for changing them drains listeners.
//! Lanes change `pluginConfig` only, in plugins that are there.

use std::collections::BTreeSet;

use canary_rules::lane::Compiled;
use canary_rules::name::LaneName;
use canary_rules::settings::MeshSettings;
use canary_rules::wire::{Role, WireLane};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::observed::{MANAGED_BY_LABEL, MANAGER, Object};
use crate::planner::{EdgeObject, HopObject};
use crate::service::Labels;

#[cfg(test)]
mod tests;

/// The API version of WasmPlugins.
pub const API_VERSION: &str = "extensions.istio.io/v1alpha1";
/// Label that says what a plugin of ours does: `edge-guard`, `edge`, `inbound` or `outbound`.
pub const ROLE_LABEL: &str = "canaryctl.io/role";
/// Annotation by which an edge is switched off by hand, `true`: nobody but the hand configures it then.
pub const OFF: &str = "canaryctl.io/off";
/// Label that Istio's injection puts on every pod with a sidecar, and on no gateway.
const SIDECAR_LABEL: (&str, &str) = ("security.istio.io/tlsMode", "istio");
/// Place among plugins of one phase: the first on a request's way. Istio sorts downwards.
const PRIORITY: i32 = 1000;

/// Where proxies get a build of the filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterSource {
    /// `oci://…`, `http://…` or `https://…`.
    pub url: String,
    /// Digest of the module, in hexadecimal.
    pub sha256: String,
    /// Secret with the registry's credentials, in the plugin's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<String>,
}

/// A gateway where flows enter and are classified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeGateway {
    /// Its namespace.
    pub namespace: String,
    /// Labels of its pods.
    pub labels: Labels,
}

impl EdgeGateway {
    /// Istio's own ingress gateway, where its installation puts it.
    #[must_use]
    pub fn ingress() -> Self {
        let labels = Labels::from([("istio".to_owned(), "ingressgateway".to_owned())]);
        Self { namespace: "istio-system".into(), labels }
    }
}

/// Which proxies run the filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Istio's root namespace: what lies there holds for the whole mesh.
    pub root_namespace: String,
    /// Gateways where flows enter.
    pub edges: Vec<EdgeGateway>,
    /// Namespaces whose sidecars run it; none: those of the whole mesh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The build with every role.
    pub gateway_filter: FilterSource,
    /// The build with the sidecars' roles.
    pub sidecar_filter: FilterSource,
}

impl Presence {
    /// Every WasmPlugin, with the configuration of a mesh without lanes.
    #[must_use]
    pub fn objects(&self, settings: &MeshSettings) -> Vec<Value> {
        let configured = |(role, mut object): (Role, Value)| {
            object["spec"]["pluginConfig"] = config(settings, role, &Compiled::default());
            object
        };
        self.unconfigured().into_iter().map(configured).collect()
    }

    /// Every WasmPlugin without a configuration, for who applies manifests: the controller writes it, and what
    /// a manifest does not say is not undone when it is applied again. No signing key is in it.
    #[must_use]
    pub fn unconfigured(&self) -> Vec<(Role, Value)> {
        let mut objects = Vec::new();
        for (index, edge) in self.edges.iter().enumerate() {
            for role in [Role::EdgeGuard, Role::Edge] {
                let name = format!("canaryctl-{}-{index}", role_name(role));
                objects.push((role, self.object(&name, &edge.namespace, &edge.labels, role)));
            }
        }
        let (label, value) = SIDECAR_LABEL;
        let sidecars = Labels::from([(label.to_owned(), value.to_owned())]);
        let mesh_wide = std::slice::from_ref(&self.root_namespace);
        let namespaces = if self.namespaces.is_empty() { mesh_wide } else { &self.namespaces };
        for namespace in namespaces {
            for role in [Role::Inbound, Role::Outbound] {
                let name = format!("canaryctl-{}", role_name(role));
                objects.push((role, self.object(&name, namespace, &sidecars, role)));
            }
        }
        objects
    }

    fn object(&self, name: &str, namespace: &str, selector: &Labels, role: Role) -> Value {
        // Before anything reads a header; but who is asked by a token's claims is decided after the mesh has
        // verified the token, and before authorization could refuse by the tag.
        let (phase, mode, filter) = match role {
            Role::EdgeGuard => ("AUTHN", "CLIENT", &self.gateway_filter),
            Role::Edge => ("AUTHZ", "CLIENT", &self.gateway_filter),
            Role::Inbound => ("AUTHN", "SERVER", &self.sidecar_filter),
            Role::Outbound => ("AUTHN", "CLIENT", &self.sidecar_filter),
        };
        let mut spec = json!({
            "selector": {"matchLabels": selector},
            "match": [{"mode": mode}],
            "phase": phase,
            "priority": PRIORITY,
            // A mesh whose filter cannot be fetched serves everyone the baseline.
            "failStrategy": "FAIL_OPEN",
            "imagePullPolicy": "IfNotPresent",
            "url": filter.url,
            "sha256": filter.sha256,
        });
        if let Some(secret) = &filter.pull_secret {
            spec["imagePullSecret"] = secret.as_str().into();
        }
        let labels = json!({MANAGED_BY_LABEL: MANAGER, ROLE_LABEL: role_name(role)});
        json!({
            "apiVersion": API_VERSION,
            "kind": "WasmPlugin",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": spec,
        })
    }
}

/// What the plugins found must say for these lanes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PluginGoals {
    /// Those that put requests in lanes.
    pub edges: Vec<EdgeObject>,
    /// Those that carry tags.
    pub hops: Vec<HopObject>,
}

/// Turns plugins of ours, as found, to these lanes. Others are left out. Ours is what has a role: Helm puts its
/// own name into the label that says who manages an object.
#[must_use]
pub fn goals(found: &[Object], settings: &MeshSettings, lanes: &Compiled) -> PluginGoals {
    let mut goals = PluginGoals::default();
    for object in found {
        let Some(role) = role_of(object) else { continue };
        let configured = |lanes: &Compiled| {
            let mut value = object.value().clone();
            value["spec"]["pluginConfig"] = config(settings, role, lanes);
            value
        };
        let before = lanes_in(object);
        match role {
            Role::Edge if object.value()["metadata"]["annotations"][OFF] == "true" => {}
            Role::Edge => {
                let now: BTreeSet<&LaneName> = lanes.lanes.iter().map(|lane| &lane.name).collect();
                let some_go = before.iter().any(|lane| !now.contains(&lane.name));
                let narrowed = some_go.then(|| configured(&only(lanes, &before)));
                goals.edges.push(EdgeObject { wanted: configured(lanes), narrowed });
            }
            Role::EdgeGuard | Role::Inbound | Role::Outbound => {
                let widened = configured(&with(lanes, before));
                goals.hops.push(HopObject { wanted: configured(lanes), widened });
            }
        }
    }
    goals
}

/// The lanes of a plugin's present configuration; none where it has none that can be read.
#[must_use]
pub fn lanes_in(plugin: &Object) -> Vec<WireLane> {
    let lanes = plugin.spec()["pluginConfig"]["lanes"].as_array();
    lanes.into_iter().flatten().filter_map(|lane| WireLane::deserialize(lane).ok()).collect()
}

/// What a plugin of ours does.
#[must_use]
pub fn role_of(plugin: &Object) -> Option<Role> {
    let name = plugin.value()["metadata"]["labels"][ROLE_LABEL].as_str()?;
    [Role::EdgeGuard, Role::Edge, Role::Inbound, Role::Outbound]
        .into_iter()
        .find(|role| role_name(*role) == name)
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::EdgeGuard => "edge-guard",
        Role::Edge => "edge",
        Role::Inbound => "inbound",
        Role::Outbound => "outbound",
    }
}

fn config(settings: &MeshSettings, role: Role, lanes: &Compiled) -> Value {
    serde_json::to_value(settings.config(role, lanes)).unwrap_or_default()
}

/// The lanes that were there before, as they are to be.
fn only(lanes: &Compiled, before: &[WireLane]) -> Compiled {
    let kept = |lane: &&WireLane| before.iter().any(|old| old.name == lane.name);
    Compiled { lanes: lanes.lanes.iter().filter(kept).cloned().collect(), layers: lanes.layers.clone() }
}

/// The lanes as they are to be, and those that go.
fn with(lanes: &Compiled, before: Vec<WireLane>) -> Compiled {
    let mut all = lanes.clone();
    let gone = before.into_iter().filter(|old| lanes.lanes.iter().all(|lane| lane.name != old.name));
    all.lanes.extend(gone);
    all
}
