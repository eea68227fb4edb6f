//! The cluster as it is: every object that a plan looks at, read once or kept up to date.

mod discovery;
mod kinds;
mod list;
mod mesh_configs;
mod watch;

use std::collections::BTreeSet;

use canary_istio::observed::manifests::{self, ManifestError};
use canary_istio::{Object, Observed};
use serde_json::{Value, json};

use crate::takeover::{self, Derived, Known};

pub use kinds::{Kind, WORLD};
pub(crate) use list::{Pages, list_named, resource};
pub use list::{get, list};
pub use mesh_configs::MeshConfigs;
pub(crate) use mesh_configs::{ISTIOD_SELECTOR, REVISION_LABEL};
pub use watch::{News, Watched};

/// Objects of a cluster, as JSON, each with its `apiVersion` and `kind`.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// All of them.
    pub objects: Vec<Value>,
}

/// A world, read for planning.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What a plan looks at.
    pub observed: Observed,
    /// The Lanes, as JSON.
    pub lanes: Vec<Object>,
    /// Every pod's metadata.
    pub pods: Vec<Object>,
    /// The Releases, as JSON.
    pub releases: Vec<Object>,
    /// The Deployments, as JSON, while there are Releases.
    pub deployments: Vec<Object>,
    /// The StatefulSets, as JSON, while there are Releases.
    pub stateful_sets: Vec<Object>,
    /// Namespaces that some revision of Istio does not look at. Of what is in them, only pods and what is to be given back are seen.
    pub undiscovered: BTreeSet<String>,
    /// The Takeovers, as JSON.
    pub takeovers: Vec<Object>,
    /// What they come to; their agents to come are among the services' workloads.
    pub derived: Derived,
    /// The Services that they are about, as they are written, wherever they are.
    pub taken: Vec<Object>,
}

impl Seen {
    /// Of these namespaces, those that Istio does not look at.
    pub fn undiscovered_of<'n>(
        &self,
        namespaces: impl IntoIterator<Item = &'n str>,
    ) -> impl Iterator<Item = &'n str> {
        namespaces.into_iter().filter(|namespace| self.undiscovered.contains(*namespace))
    }

    /// Whether a Takeover has a service by its selector, or has left it so.
    #[must_use]
    pub fn has_selected(&self) -> bool {
        self.takeovers.iter().any(|takeover| takeover::selected::is_asked_by(takeover.value()))
            || self.taken.iter().any(|service| takeover::selected::holder(service.value()).is_some())
    }

    /// The Lanes that people wrote, and those of Takeovers.
    pub fn all_lanes(&self) -> impl Iterator<Item = &Object> {
        let is_written = |name: &str| self.lanes.iter().any(|lane| lane.name() == name);
        let derived = self.derived.lanes.iter().filter(move |lane| !is_written(lane.name()));
        self.lanes.iter().chain(derived)
    }
}

impl World {
    /// Reads it for planning, with Istio's own settings.
    ///
    /// # Errors
    /// The first object that is none.
    pub fn see(mut self, mesh_configs: &MeshConfigs) -> Result<Seen, ManifestError> {
        let undiscovered = self.undiscovered(mesh_configs);
        let has_releases = self.objects.iter().any(|object| object["kind"] == canary_release::KIND);
        // Whatever Istio looks at: what a release made is taken back everywhere.
        let released = |kind: &str| {
            let all = self.objects.iter().filter(|object| has_releases && object["kind"] == kind);
            all.cloned().map(Object::new).collect::<Result<Vec<_>, _>>()
        };
        let (deployments, stateful_sets) = (released("Deployment")?, released("StatefulSet")?);
        let taken = takeover::selected::of(&self.objects).cloned().map(Object::new);
        let taken = taken.collect::<Result<Vec<_>, _>>()?;
        if !undiscovered.is_empty() {
            self.objects.retain(|object| is_seen(object, &undiscovered));
        }
        let is_pod = |object: &Value| object["kind"] == "Pod";
        let pods = self.objects.iter().filter(|object| is_pod(object));
        let pods = pods.cloned().map(Object::new).collect::<Result<Vec<_>, _>>()?;
        let manifests = manifests::read(self.objects)?;
        let mut observed = manifests.observed;
        observed.mesh = mesh_configs.mesh();
        let mut lanes = Vec::new();
        let mut releases = Vec::new();
        let mut takeovers = Vec::new();
        for object in manifests.rest {
            match object.reference().kind.as_str() {
                canary_rules::lane::KIND => lanes.push(object),
                canary_release::KIND => releases.push(object),
                takeover::KIND => takeovers.push(object),
                _ => {}
            }
        }
        let known = Known { lanes: &lanes, services: Some(&observed.services), written: Some(&taken) };
        let derived = takeover::derive(&takeovers, known);
        derived.add_workloads(&mut observed);
        Ok(Seen {
            observed,
            lanes,
            pods,
            releases,
            deployments,
            stateful_sets,
            takeovers,
            derived,
            taken,
            undiscovered,
        })
    }

    fn undiscovered(&self, mesh_configs: &MeshConfigs) -> BTreeSet<String> {
        let is_looked_at = mesh_configs.look_at();
        let namespaces = self.objects.iter().filter(|object| object["kind"] == "Namespace");
        let others = namespaces.filter(|namespace| !is_looked_at(namespace));
        others.filter_map(|namespace| Some(namespace["metadata"]["name"].as_str()?.to_owned())).collect()
    }
}

/// Whether an object matters although Istio may not look at its namespace.
fn is_seen(object: &Value, undiscovered: &BTreeSet<String>) -> bool {
    let metadata = &object["metadata"];
    if metadata["namespace"].as_str().is_none_or(|namespace| !undiscovered.contains(namespace)) {
        return true;
    }
    match object["kind"].as_str() {
        Some("Pod" | "Takeover") => true,
        Some("VirtualService" | "DestinationRule") => {
            Object::new(object.clone()).is_ok_and(|object| object.is_ours() || object.is_edited())
        }
        _ => false,
    }
}

/// Of these namespaces, there or not yet, those that some revision of Istio does not look at.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn undiscovered(
    client: &kube::Client,
    root_namespace: &str,
    namespaces: &[&str],
) -> Result<Vec<String>, kube::Error> {
    let is_looked_at = MeshConfigs::read(client, root_namespace).await?.look_at();
    let mut undiscovered = Vec::new();
    for namespace in namespaces {
        let found = get(client, "v1", "Namespace", None, namespace).await?;
        let found = found.unwrap_or_else(|| json!({"metadata": {"name": namespace}}));
        if !is_looked_at(&found) {
            undiscovered.push((*namespace).to_owned());
        }
    }
    Ok(undiscovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_namespace_that_istio_does_not_look_at_is_not_there() {
        let object = |kind: &str, namespace: &str, name: &str, labels: Value| {
            json!({"apiVersion": "v1", "kind": kind, "metadata":
                {"namespace": namespace, "name": name, "labels": labels}, "spec": {"hosts": ["web"]}})
        };
        let namespace = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        let ours = json!({"app.kubernetes.io/managed-by": "canaryctl"});
        let world = World {
            objects: vec![
                namespace("shop", json!({"mesh": "on"})),
                namespace("dark", Value::Null),
                object("Service", "shop", "web", Value::Null),
                object("Service", "dark", "web", Value::Null),
                object("VirtualService", "dark", "theirs", Value::Null),
                object("VirtualService", "dark", "ours", ours),
                object("Pod", "dark", "web-1", Value::Null),
            ],
        };
        let config = json!({
            "kind": "ConfigMap", "metadata": {"name": "istio"},
            "data": {"mesh": "discoverySelectors: [{matchLabels: {mesh: 'on'}}]"},
        });
        let seen = world.clone().see(&MeshConfigs::of(&[config])).expect("a world");
        assert_eq!(seen.undiscovered, BTreeSet::from(["dark".to_owned()]));
        let hosts: Vec<String> = seen.observed.services.iter().map(|one| one.host.to_string()).collect();
        assert_eq!(hosts, ["web.shop"]);
        let names: Vec<&str> = seen.observed.virtual_services.iter().map(Object::name).collect();
        assert_eq!(names, ["ours"], "to be given back");
        assert_eq!(seen.pods.len(), 1, "to lose our labels");
        assert_eq!(world.see(&MeshConfigs::default()).expect("a world").observed.services.len(), 2);
    }
}
