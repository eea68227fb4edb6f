//! The cluster as it is: every object that a plan looks at, read once or kept up to date.

mod kinds;
mod list;
mod watch;

use canary_istio::observed::Mesh;
use canary_istio::observed::manifests::{self, ManifestError};
use canary_istio::{Object, Observed};
use serde_json::Value;

pub use kinds::{Kind, WORLD};
pub use list::{get, list};
pub(crate) use list::{list_named, resource};
pub use watch::{News, Watched};

/// The ConfigMap of Istio's settings, in its root namespace.
const MESH_CONFIG: &str = "istio";

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
}

impl World {
    /// Reads it for planning. Istio's own settings come from its ConfigMap, if that is there.
    ///
    /// # Errors
    /// The first object that is none.
    pub fn see(self, mesh_config: Option<&Value>) -> Result<Seen, ManifestError> {
        let is_pod = |object: &Value| object["kind"] == "Pod";
        let pods = self.objects.iter().filter(|object| is_pod(object));
        let pods = pods.cloned().map(Object::new).collect::<Result<Vec<_>, _>>()?;
        let has_releases = self.objects.iter().any(|object| object["kind"] == canary_release::KIND);
        let is_wanted = |object: &&Value| has_releases && object["kind"] == "Deployment";
        let deployments = self.objects.iter().filter(is_wanted);
        let deployments = deployments.cloned().map(Object::new).collect::<Result<Vec<_>, _>>()?;
        let manifests = manifests::read(self.objects)?;
        let mut observed = manifests.observed;
        observed.mesh = mesh_config.map(mesh).unwrap_or_default();
        let mut lanes = Vec::new();
        let mut releases = Vec::new();
        for object in manifests.rest {
            match object.reference().kind.as_str() {
                canary_rules::lane::KIND => lanes.push(object),
                canary_release::KIND => releases.push(object),
                _ => {}
            }
        }
        Ok(Seen { observed, lanes, pods, releases, deployments })
    }
}

/// Reads Istio's ConfigMap.
fn mesh(config_map: &Value) -> Mesh {
    let text = config_map["data"]["mesh"].as_str().unwrap_or_default();
    let config: Value = serde_saphyr::from_str(text).unwrap_or_default();
    Mesh::from_config(&config)
}

/// Istio's ConfigMap of a root namespace; none where there is none.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn mesh_config(client: &kube::Client, root_namespace: &str) -> Result<Option<Value>, kube::Error> {
    get(client, "v1", "ConfigMap", Some(root_namespace), MESH_CONFIG).await
}
