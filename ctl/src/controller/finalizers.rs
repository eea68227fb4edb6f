//! Finalizers of Lanes, Releases and Takeovers, and what a write to one of these that fails is.

use canary_istio::Object;
use canary_rules::lane::API_VERSION;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::run::RunError;
use crate::apply::ApplyError;
use crate::names::FIELD_MANAGER;
use crate::world;

/// Where an object of ours is written.
pub(super) fn api(client: &Client, object: &Object) -> Api<DynamicObject> {
    let resource = world::resource(API_VERSION, &object.reference().kind);
    match object.namespace() {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// Whether an object has a finalizer.
pub(super) fn holds(object: &Object, finalizer: &str) -> bool {
    all(object).any(|name| name == finalizer)
}

/// Puts a finalizer on an object; returns what that became, or nothing where it is gone.
///
/// # Errors
/// When the object is not as it was seen, or the API server refuses.
pub(super) async fn hold(
    client: &Client,
    object: &Object,
    finalizer: &str,
) -> Result<Option<DynamicObject>, RunError> {
    set(client, object, &all(object).chain([finalizer]).collect::<Vec<_>>()).await
}

/// Takes a finalizer off an object, likewise.
///
/// # Errors
/// As for [`hold`].
pub(super) async fn release(
    client: &Client,
    object: &Object,
    finalizer: &str,
) -> Result<Option<DynamicObject>, RunError> {
    set(client, object, &all(object).filter(|name| *name != finalizer).collect::<Vec<_>>()).await
}

/// A write to an object that the API server did not take.
pub(super) fn failed(object: &Object, error: kube::Error) -> RunError {
    match error {
        kube::Error::Api(status) if status.code == 409 => {
            ApplyError::Conflict { object: object.reference().clone() }.into()
        }
        error => {
            let kind = object.reference().kind.to_lowercase();
            let name = match object.namespace() {
                "" => format!("{kind} {}", object.name()),
                namespace => format!("{kind} {namespace}/{}", object.name()),
            };
            RunError::Report(name, Box::new(error))
        }
    }
}

fn all(object: &Object) -> impl Iterator<Item = &str> {
    let names = object.value()["metadata"]["finalizers"].as_array();
    names.into_iter().flatten().filter_map(serde_json::Value::as_str)
}

async fn set(client: &Client, object: &Object, names: &[&str]) -> Result<Option<DynamicObject>, RunError> {
    let patch = json!({"metadata": {"finalizers": names, "resourceVersion": object.resource_version()}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api(client, object).patch(object.name(), &params, &Patch::Merge(&patch)).await {
        Ok(patched) => Ok(Some(patched)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(failed(object, error)),
    }
}
