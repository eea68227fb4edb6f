//! Makes planned changes in a cluster, each under the condition that it was planned for.

use std::collections::BTreeMap;

use canary_istio::{Action, Change, Expects, Object, ObjectRef};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::failure::chain;
use crate::names::FIELD_MANAGER;
use crate::world::{self, REVISION_LABEL};

/// A write that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The object.
    pub object: ObjectRef,
    /// The version that it has now; none once it is gone.
    pub resource_version: Option<String>,
    /// The revision of Istio that alone reads it, if its labels name one.
    pub revision: Option<String>,
}

impl Written {
    /// A write of an object that every revision of Istio reads.
    #[must_use]
    pub fn new(object: ObjectRef, resource_version: Option<String>) -> Self {
        Self { object, resource_version, revision: None }
    }
}

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Somebody changed the object since it was looked at.
    #[error("{object} was changed by somebody else meanwhile")]
    Conflict {
        /// The object.
        object: ObjectRef,
    },
    /// The API server refuses.
    #[error("cannot {verb} {object}")]
    Api {
        /// What was to be done.
        verb: &'static str,
        /// The object.
        object: ObjectRef,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Versions that objects got from earlier changes of the same plan.
#[derive(Debug, Default)]
pub struct Versions(BTreeMap<ObjectRef, String>);

/// Makes one change.
///
/// # Errors
/// [`ApplyError::Conflict`] where the object is not as planned; look again then, and plan anew.
pub async fn change(
    client: &Client,
    change: &Change,
    versions: &mut Versions,
) -> Result<Written, ApplyError> {
    let resource = world::resource(&change.api_version, &change.object.kind);
    let api: Api<DynamicObject> = match change.object.namespace.as_str() {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let name = change.object.name.as_str();
    let known = versions.0.get(&change.object).map(String::as_str);
    let body = change.body(known).unwrap_or_default();
    let post = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let result = match &change.action {
        Action::Create { .. } => match typed(body) {
            Ok(object) => api.create(&post, &object).await,
            Err(error) => Err(error),
        },
        Action::Replace { .. } => match typed(body) {
            Ok(object) => api.replace(name, &post, &object).await,
            Err(error) => Err(error),
        },
        Action::Patch { .. } => {
            let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            api.patch(name, &params, &Patch::Merge(&body)).await
        }
        Action::Delete => {
            let version = match &change.expects {
                Expects::Version(version) => Some(version.clone()),
                Expects::Planned => known.map(str::to_owned),
                Expects::Absent | Expects::Unversioned => None,
            };
            let preconditions = version
                .map(|version| Preconditions { resource_version: Some(version), ..Preconditions::default() });
            let params = DeleteParams { preconditions, ..DeleteParams::default() };
            return match api.delete(name, &params).await {
                Ok(_) => Ok(Written::new(change.object.clone(), None)),
                // Gone is what was wanted.
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    Ok(Written::new(change.object.clone(), None))
                }
                Err(error) => Err(failed(change.verb(), &change.object, error)),
            };
        }
    };
    let object = result.map_err(|error| failed(change.verb(), &change.object, error))?;
    let object = match &change.action {
        Action::Replace { .. } | Action::Patch { .. } => disowned(&api, object).await,
        Action::Create { .. } | Action::Delete => object,
    };
    let version = object.metadata.resource_version.unwrap_or_default();
    versions.0.insert(change.object.clone(), version.clone());
    let revision = object.metadata.labels.and_then(|mut labels| labels.remove(REVISION_LABEL));
    Ok(Written { revision, ..Written::new(change.object.clone(), Some(version)) })
}

/// An object of somebody's that has nothing of ours any more is not owned by us in part either: tools that leave fields
/// of others alone would go on leaving those. Nothing depends on it, so it is not tried twice.
async fn disowned(api: &Api<DynamicObject>, object: DynamicObject) -> DynamicObject {
    let read = serde_json::to_value(&object).ok().and_then(|value| Object::new(value).ok());
    if read.is_none_or(|read| read.is_ours() || read.is_edited()) {
        return object;
    }
    let managers = object.metadata.managed_fields.iter().flatten();
    let (ours, theirs): (Vec<_>, Vec<_>) =
        managers.partition(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    if ours.is_empty() {
        return object;
    }
    // An empty list would be taken for that of somebody who does not know the field.
    let theirs = if theirs.is_empty() { json!([{}]) } else { json!(theirs) };
    let version = &object.metadata.resource_version;
    let patch = json!({"metadata": {"resourceVersion": version, "managedFields": theirs}});
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api.patch(name, &params, &Patch::Merge(&patch)).await {
        Ok(patched) => patched,
        Err(error) => {
            tracing::debug!(name, error = %chain(&error), "fields stay ours by name");
            object
        }
    }
}

/// Changes a running pod's labels; returns its addresses, or nothing where it is gone by now.
///
/// # Errors
/// When the API server refuses.
pub async fn label(
    client: &Client,
    pod: &ObjectRef,
    merge: &Value,
) -> Result<Option<Vec<String>>, ApplyError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match api.patch(&pod.name, &params, &Patch::Merge(merge)).await {
        Ok(patched) => {
            let addresses = patched.status.and_then(|status| status.pod_ips).unwrap_or_default();
            Ok(Some(addresses.into_iter().map(|address| address.ip).collect()))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(failed("label", pod, error)),
    }
}

fn typed(body: Value) -> Result<DynamicObject, kube::Error> {
    serde_json::from_value(body).map_err(kube::Error::SerdeError)
}

fn failed(verb: &'static str, object: &ObjectRef, error: kube::Error) -> ApplyError {
    match error {
        kube::Error::Api(status) if status.code == 409 => ApplyError::Conflict { object: object.clone() },
        source => ApplyError::Api { verb, object: object.clone(), source: Box::new(source) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Json;
    use axum::routing::patch;
    use canary_istio::Phase;
    use kube::Config;

    use super::*;

    const NAME: &str = "web";

    /// A VirtualService of somebody's whose fields we are said to manage among others, with such a route.
    fn stored(route: &str) -> Value {
        let entry = |manager: &str| json!({"manager": manager, "operation": "Update"});
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {
                "name": NAME, "namespace": "shop", "resourceVersion": "7",
                "managedFields": [entry("argocd-controller"), entry(FIELD_MANAGER)],
            },
            "spec": {"hosts": [NAME], "http": [{"name": route}]},
        })
    }

    /// The patches that a change takes, of an object that has such a route afterwards.
    async fn patches(route: &'static str) -> Vec<Value> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = got.clone();
        let answer = async move |Json(body): Json<Value>| {
            kept.lock().expect("nobody panics with it").push(body);
            Json(stored(route))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let path = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/web";
        let router = axum::Router::new().route(path, patch(answer));
        tokio::spawn(axum::serve(listener, router).into_future());
        let client = Client::try_from(Config::new(format!("http://{address}").parse().expect("a URL")))
            .expect("a client");
        let back = Change {
            phase: Phase::Routes,
            api_version: "networking.istio.io/v1".into(),
            object: ObjectRef { kind: "VirtualService".into(), namespace: "shop".into(), name: NAME.into() },
            action: Action::Patch { merge: json!({"spec": {"http": [{"name": route}]}}) },
            expects: Expects::Unversioned,
            notes: Vec::new(),
        };
        change(&client, &back, &mut Versions::default()).await.expect("it is made");
        got.lock().expect("nobody panics with it").clone()
    }

    /// Fields that a manager had owned stayed hidden from a tool that leaves those of others alone.
    #[tokio::test]
    async fn argo_rollouts_3854_what_is_given_back_has_no_field_of_ours() {
        let all = patches("all").await;
        let [_, disowned] = all.as_slice() else { panic!("two writes: {all:?}") };
        let managers = disowned["metadata"]["managedFields"].as_array().expect("a list");
        assert_eq!(managers.len(), 1, "{disowned}");
        assert_eq!(managers[0]["manager"], "argocd-controller");
        assert_eq!(disowned["metadata"]["resourceVersion"], "7");
    }

    #[tokio::test]
    async fn what_still_has_a_route_of_ours_is_written_once() {
        assert_eq!(patches("canaryctl-gray-0123abcd").await.len(), 1);
    }
}
