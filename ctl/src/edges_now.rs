//! The mesh's edges as they are now: which gateways, and what their plugins are told.

use std::collections::BTreeMap;

use canary_istio::plugins::{API_VERSION, OFF, ROLE_LABEL};
use canary_rules::wire::FilterConfig;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde::Deserialize as _;
use serde_json::Value;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::world;

/// The role of the plugins that decide.
const EDGE: &str = "edge";

/// An edge.
#[derive(Debug, Clone)]
pub struct EdgeNow {
    /// Its plugin, as `namespace/name`.
    pub plugin: String,
    /// Where its gateway is.
    pub namespace: String,
    /// Labels of the gateway's pods.
    pub labels: BTreeMap<String, String>,
    /// What it is told; none where nothing of it can be read.
    pub config: Option<FilterConfig>,
    /// Whether somebody switched it off by hand.
    pub is_off: bool,
}

impl EdgeNow {
    fn read(plugin: &DynamicObject) -> Self {
        let namespace = plugin.metadata.namespace.clone().unwrap_or_default();
        let name = plugin.metadata.name.as_deref().unwrap_or_default();
        let spec = &plugin.data["spec"];
        let labels = spec["selector"]["matchLabels"].as_object().into_iter().flatten();
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        let off = plugin.metadata.annotations.as_ref().and_then(|all| all.get(OFF));
        Self {
            plugin: format!("{namespace}/{name}"),
            labels: labels.filter_map(text).collect(),
            config: FilterConfig::deserialize(&spec["pluginConfig"]).ok(),
            is_off: off.is_some_and(|off| off == "true"),
            namespace,
        }
    }

    /// Whether these labels are those of a pod of its gateway.
    #[must_use]
    pub fn has(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespace == namespace && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// All of them, by name.
///
/// # Errors
/// When plugins cannot be listed.
pub async fn list(client: &Client) -> Result<Vec<EdgeNow>, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &world::resource(API_VERSION, "WasmPlugin"));
    let found = api.list(&ListParams::default().labels(&format!("{ROLE_LABEL}={EDGE}"))).await?;
    let mut edges: Vec<EdgeNow> = found.items.iter().map(EdgeNow::read).collect();
    edges.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    Ok(edges)
}

/// All of them; at least one.
///
/// # Errors
/// When plugins cannot be listed, or nothing is installed.
pub async fn some(client: &Client) -> Result<Vec<EdgeNow>, Failure> {
    let edges = list(client).await.map_err(|error| api_failure("list WasmPlugins", &error))?;
    match edges.is_empty() {
        true => {
            Err(Failure::new(Code::Failed, "no gateway of this cluster is an edge").help("canaryctl install"))
        }
        false => Ok(edges),
    }
}
