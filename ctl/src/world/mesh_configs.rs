//! Istio's own settings: each revision of it that runs has them in a ConfigMap of its own.

use std::collections::BTreeSet;

use canary_istio::observed::Mesh;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;

use super::discovery::Discovery;
use super::get;

/// Label of an istiod's pods.
pub(crate) const ISTIOD_SELECTOR: &str = "app=istiod";
/// Label, or annotation, that says whose an object of Istio is.
pub(crate) const REVISION_LABEL: &str = "istio.io/rev";
/// The ConfigMap of the default revision.
///
/// Source: `getMeshConfigMapName` in Istio's pilot.
const CONFIG_MAP: &str = "istio";
/// What the default revision is called.
const DEFAULT_REVISION: &str = "default";

/// What every revision of Istio is told.
#[derive(Debug, Clone, Default)]
pub struct MeshConfigs(Vec<Value>);

impl MeshConfigs {
    /// Those of the revisions that have an istiod in Istio's root namespace.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn read(client: &Client, root_namespace: &str) -> Result<Self, kube::Error> {
        let api: Api<Pod> = Api::namespaced(client.clone(), root_namespace);
        let istiods = api.list_metadata(&ListParams::default().labels(ISTIOD_SELECTOR)).await?;
        let labels = istiods.items.iter().map(|pod| pod.metadata.labels.as_ref());
        let revisions = labels.map(|labels| Some(labels?.get(REVISION_LABEL)?.as_str()));
        let mut configs = Vec::new();
        for name in names(revisions) {
            if let Some(found) = get(client, "v1", "ConfigMap", Some(root_namespace), &name).await? {
                configs.push(config(&found));
            }
        }
        Ok(Self(configs))
    }

    /// Those among manifests.
    #[must_use]
    pub fn of(manifests: &[Value]) -> Self {
        let is_one = |manifest: &&Value| {
            let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
            manifest["kind"] == "ConfigMap"
                && manifest["data"]["mesh"].is_string()
                && name.strip_prefix(CONFIG_MAP).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        Self(manifests.iter().filter(is_one).map(config).collect())
    }

    /// What they say of balancing.
    #[must_use]
    pub fn mesh(&self) -> Mesh {
        Mesh::from_configs(&self.0)
    }

    /// Whether every revision looks at a namespace, given as an object: in one that some do not look at, no arrival of
    /// anything can be proven.
    pub(super) fn look_at(&self) -> impl Fn(&Value) -> bool + use<> {
        let all: Vec<Discovery> = self.0.iter().map(Discovery::from_config).collect();
        move |namespace| all.iter().all(|discovery| discovery.holds(namespace))
    }
}

/// The ConfigMaps of these revisions, each once; the default one's where there are none.
fn names<'r>(revisions: impl Iterator<Item = Option<&'r str>>) -> BTreeSet<String> {
    let name = |revision: Option<&str>| match revision {
        None | Some("" | DEFAULT_REVISION) => CONFIG_MAP.to_owned(),
        Some(revision) => format!("{CONFIG_MAP}-{revision}"),
    };
    let mut names: BTreeSet<String> = revisions.map(name).collect();
    if names.is_empty() {
        names.insert(CONFIG_MAP.to_owned());
    }
    names
}

fn config(config_map: &Value) -> Value {
    let text = config_map["data"]["mesh"].as_str().unwrap_or_default();
    serde_saphyr::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_names(revisions: &[Option<&str>], want: &[&str]) {
        assert_eq!(names(revisions.iter().copied()).into_iter().collect::<Vec<_>>(), want);
    }

    #[test]
    fn each_revision_has_a_config_map_of_its_own() {
        check_names(&[], &["istio"]);
        check_names(&[None], &["istio"]);
        check_names(&[Some("default"), Some("default")], &["istio"]);
        check_names(&[Some("canary")], &["istio-canary"]);
        check_names(&[Some("1-31"), None, Some("1-30")], &["istio", "istio-1-30", "istio-1-31"]);
    }

    #[test]
    fn a_namespace_counts_that_every_revision_looks_at() {
        let map = |name: &str, mesh: &str| json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"mesh": mesh}});
        let on = map("istio-canary", "discoverySelectors: [{matchLabels: {mesh: 'on'}}]");
        let dark = json!({"metadata": {"labels": {}}});
        let lit = json!({"metadata": {"labels": {"mesh": "on"}}});
        let looks = |maps: &[Value], namespace: &Value| MeshConfigs::of(maps).look_at()(namespace);
        assert!(looks(&[map("istio", "")], &dark));
        assert!(!looks(&[map("istio", ""), on.clone()], &dark));
        assert!(looks(&[map("istio", ""), on.clone()], &lit));
        assert!(looks(&[map("istiod-settings", "discoverySelectors: [{matchLabels: {a: b}}]")], &dark));
        assert!(looks(&[], &dark));
    }
}
