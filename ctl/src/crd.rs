//! The CustomResourceDefinition of Lanes.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// What the API server is told of Lanes.
#[must_use]
pub fn lane() -> CustomResourceDefinition {
    let text = include_str!("crd.json");
    serde_json::from_str(text).unwrap_or_default()
}
