//! The marker: a subset of a DestinationRule of ours, for a Service of ours behind which nobody is.

use std::time::{SystemTime, UNIX_EPOCH};

use canary_istio::marker_name;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::ArrivalError;
use crate::names::{FIELD_MANAGER, NAMESPACE};
use crate::world;

/// The Service's and the DestinationRule's name.
const NAME: &str = "canaryctl-marker";
/// The Service's port.
const PORT: u16 = 80;
const ISTIO_API: &str = "networking.istio.io/v1";

fn host() -> String {
    format!("{NAME}.{NAMESPACE}.svc.cluster.local")
}

/// What Envoy calls the cluster of a subset, or of the whole Service.
pub(super) fn cluster(subset: &str) -> String {
    format!("outbound|{PORT}|{subset}|{}", host())
}

/// The Service and the DestinationRule, as an installation makes them.
#[must_use]
pub fn objects(labels: &Value) -> Vec<Value> {
    let metadata = json!({"name": NAME, "namespace": NAMESPACE, "labels": labels});
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": PORT}]},
        }),
        json!({
            "apiVersion": ISTIO_API, "kind": "DestinationRule", "metadata": metadata,
            "spec": {"host": host()},
        }),
    ]
}

/// Writes a new marker over the one before, and returns its subset.
pub(super) async fn write(client: &Client) -> Result<String, ArrivalError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Only that it differs matters; milliseconds do not come twice in the time of a proof.
    let subset = marker_name(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), NAMESPACE, &world::resource(ISTIO_API, "DestinationRule"));
    let patch = json!({"spec": {"subsets": [{"name": subset}]}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api.patch(NAME, &params, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(subset),
        Err(source) => Err(ArrivalError::Api {
            tried: format!("write the marker DestinationRule {NAMESPACE}/{NAME}"),
            source: Box::new(source),
        }),
    }
}
