//! The Takeover document: one developer has the requests of a service that rules match, or all of them,
//! `canaryctl.io/v1alpha1`.
//!
//! Knows documents only. Which of them can be is [`derive`]'s; what becomes of them is the controller's.

use canary_istio::Host;
use canary_istio::observed::Port;
use canary_rules::lane::{API_VERSION, Rule, hundredths};
use canary_rules::name::LaneName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::develop::job::MANAGED_BY;
use crate::verb::enable::document::who_of_rules;

mod copied;
mod derive;
mod judge;
mod overlap;
pub mod passed;
pub mod selected;
#[cfg(test)]
mod tests;

pub use copied::{is_copied, pod_port};
pub(crate) use copied::{ports, receiver};
pub use derive::{Derived, Known, Ruling, derive};

/// The query parameter of a link that puts whoever opens it into a developer's lane.
const LINK: &str = "dev-link";
/// The `kind` of Takeover documents.
pub const KIND: &str = "Takeover";
/// Label of an agent's pods: the name of the Takeover that they serve.
pub const LABEL: &str = canary_istio::lane::TAKEOVER_LABEL;

/// A Takeover document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Takeover {
    /// Always `canaryctl.io/v1alpha1`.
    pub api_version: String,
    /// Always `Takeover`.
    pub kind: String,
    /// Its name and what Kubernetes keeps of it.
    pub metadata: Metadata,
    /// What is taken, by whom.
    pub spec: TakeoverSpec,
    /// What the controller last said of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub status: Map<String, Value>,
}

/// What is read of a Takeover's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// The namespace of its service.
    pub namespace: String,
    /// Tells it from others that had its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When it was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// When somebody ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
}

/// What is taken, by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeoverSpec {
    /// The Service, in the Takeover's own namespace.
    pub service: String,
    /// Ports of the Service that are taken.
    pub ports: Vec<u16>,
    /// Ports of the Service that are not HTTP, taken or not: what comes to the agent there and is not its laptop's goes
    /// on, a connection at a time, by a Service of the Takeover's own. None by the Service's selector: all go on so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<u16>,
    /// What of its requests.
    #[serde(default)]
    pub mode: Mode,
    /// What brings them to the agent.
    #[serde(default, skip_serializing_if = "By::is_routes")]
    pub by: By,
    /// What a request must be like, as in a Lane; each rule names a value that only its owner sends. None for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// The lane that carries them; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneName>,
    /// Of how many requests copies are made, in percent; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Whose it is.
    pub owner: Owner,
}

/// What of a service's requests is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Those that a rule matches.
    #[default]
    Mesh,
    /// All that no lane of the service has.
    Exchange,
    /// Copies of those; whoever sent them has their answers from the service.
    Mirror,
}

/// What brings requests to a Takeover's agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// Routes of the mesh.
    #[default]
    Routes,
    /// The Service's selector, which leads nowhere else meanwhile: for pods without sidecars.
    Selector,
}

impl By {
    fn is_routes(&self) -> bool {
        *self == Self::Routes
    }
}

/// Whose a Takeover is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The user, as the API server knows them.
    pub user: String,
    /// The machine that answers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
}

/// What an exchange of these ports has, in words: at those of them that are not HTTP there are connections.
#[must_use]
pub fn everything<P: PartialEq>(taken: &[P], connections: &[P]) -> &'static str {
    match taken.iter().filter(|port| connections.contains(port)).count() {
        0 => "all requests",
        all if all == taken.len() => "all connections",
        _ => "all requests and connections",
    }
}

/// A port of a Service of a Takeover's own, as the taken one says it; where pods listen, if it selects any.
fn own_port(port: &Port, target: Option<u16>) -> Value {
    let mut own = json!({"port": port.number});
    if let Some(target) = target {
        own["targetPort"] = target.into();
    }
    own["protocol"] = "TCP".into();
    if let Some(name) = &port.name {
        own["name"] = name.as_str().into();
    }
    if let Some(protocol) = &port.app_protocol {
        own["appProtocol"] = protocol.as_str().into();
    }
    own
}

/// What a mirror has, in words; without a percentage, of all requests.
#[must_use]
pub fn copies(percent: Option<f64>) -> String {
    match percent.filter(|percent| *percent < 100.0) {
        Some(percent) => format!("copies of {percent} % of requests"),
        None => "copies of all requests".into(),
    }
}

impl Takeover {
    /// The service as `namespace/name`.
    #[must_use]
    pub fn service(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.spec.service)
    }

    /// Its lane's name; empty where it has none.
    #[must_use]
    pub fn lane(&self) -> &str {
        self.spec.lane.as_ref().map_or("", LaneName::as_str)
    }

    /// When it began, as people read it.
    #[must_use]
    pub fn since(&self) -> &str {
        self.metadata.creation_timestamp.as_deref().unwrap_or("a moment ago")
    }

    /// Which requests it has, in words.
    #[must_use]
    pub fn what(&self) -> String {
        match self.spec.mode {
            Mode::Mesh => who_of_rules(&self.rules()),
            Mode::Exchange => everything(&self.spec.ports, &self.spec.connections).into(),
            Mode::Mirror => copies(self.spec.percent),
        }
    }

    /// The Service of its own that it has, named as it is itself: the one that gets copies of requests, or the one that
    /// leads to the taken one's own pods.
    #[must_use]
    pub fn own_service(&self) -> Option<Host> {
        let Metadata { name, namespace, .. } = &self.metadata;
        let TakeoverSpec { mode, by, connections, .. } = &self.spec;
        let has_one = *mode == Mode::Mirror || *by == By::Selector || !connections.is_empty();
        has_one.then(|| Host::new(name, namespace).ok()).flatten()
    }

    /// That Service, which goes with it.
    pub(crate) fn own_manifest(&self, spec: &Value) -> Value {
        let Metadata { name, namespace, .. } = &self.metadata;
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": name, "namespace": namespace, "labels": {MANAGED_BY.0: MANAGED_BY.1, LABEL: name},
                "ownerReferences": [self.owner_reference()],
            },
            "spec": spec,
        })
    }

    /// What an object of its namespace says that goes with it.
    pub(crate) fn owner_reference(&self) -> Value {
        let Metadata { name, uid, .. } = &self.metadata;
        json!({"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid})
    }

    /// Of how many requests copies are made, in hundredths of a percent; none where it is no percentage of a mirror.
    #[must_use]
    pub fn copied_share(&self) -> Option<u16> {
        let share = hundredths(self.spec.percent.unwrap_or(100.0))?;
        (self.spec.mode == Mode::Mirror && share > 0).then_some(share)
    }

    /// The query of a link that puts whoever opens it into its lane, as `name=value`, for as long as it lasts; none where
    /// it has no lane. Nobody guesses the value.
    #[must_use]
    pub fn link(&self) -> Option<String> {
        self.link_value().map(|value| format!("{LINK}={value}"))
    }

    fn link_value(&self) -> Option<&str> {
        self.spec.lane.as_ref().and(self.metadata.uid.as_deref())
    }

    /// The rule of its link, which a browser's cookie keeps to.
    fn link_rule(&self) -> Option<Value> {
        let value = self.link_value()?;
        Some(json!({"when": {"query": {"name": LINK, "exact": value}}}))
    }

    /// The rules as JSON.
    #[must_use]
    pub fn rules(&self) -> Vec<Value> {
        self.spec.rules.iter().filter_map(|rule| serde_json::to_value(rule).ok()).collect()
    }
}
