//! A release's writes, one by one.

use canary_istio::ObjectRef;
use canary_release::{Action, JobSeen, RELEASE_LABEL, WorkloadRef, World};
use canary_rules::lane;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::jobs;
use crate::apply::{ApplyError, Written};
use crate::names::FIELD_MANAGER;
use crate::world;

/// Who applies a release's lane: apart from people who apply lanes.
const LANE_MANAGER: &str = "canaryctl-release";

/// Does it; returns what was written, if that is to be heard of.
pub(super) async fn act(
    client: &Client,
    action: &Action,
    world: &World,
) -> Result<Option<Written>, ApplyError> {
    match action {
        Action::Create { deployment } => create(client, deployment).await.map(Some),
        Action::Scale { deployment, replicas } => {
            let patch = json!({"metadata": version(deployment, world), "spec": {"replicas": replicas}});
            change(client, deployment, &Patch::Merge(patch)).await.map(Some)
        }
        Action::SetImages { deployment, images } => {
            let found = world.deployments.get(deployment).unwrap_or(&Value::Null);
            let mut lists = json!({});
            for list in ["containers", "initContainers"] {
                let containers = found["spec"]["template"]["spec"][list].as_array();
                let names = containers.into_iter().flatten().filter_map(|one| one["name"].as_str());
                let set: Vec<Value> = names
                    .filter_map(|name| Some(json!({"name": name, "image": images.get(name)?})))
                    .collect();
                if !set.is_empty() {
                    lists[list] = set.into();
                }
            }
            let metadata = version(deployment, world);
            let patch = json!({"metadata": metadata, "spec": {"template": {"spec": lists}}});
            change(client, deployment, &Patch::Strategic(patch)).await.map(Some)
        }
        Action::ApplyLane { lane } => apply_lane(client, lane).await.map(Some),
        Action::DeleteLane { lane } => {
            let object = reference(lane::KIND, "", lane.as_str());
            let params = only(world.lanes.get(lane.as_str()), DeleteParams::default());
            let deleted = lanes(client).delete(lane.as_str(), &params).await;
            gone(&object, deleted.map(drop))
        }
        Action::Delete { deployment } => {
            let object = reference("Deployment", &deployment.namespace, &deployment.name);
            let api = deployments(client, &deployment.namespace);
            let params = only(world.deployments.get(deployment), DeleteParams::background());
            gone(&object, api.delete(&deployment.name, &params).await.map(drop))
        }
        Action::CreateJob { job } => jobs::create(client, job).await.map(|()| None),
        Action::DeleteJob { job } => {
            let object = reference("Job", &job.namespace, &job.name);
            let found = match &world.job {
                Some(JobSeen::There(found)) => Some(found),
                Some(JobSeen::Absent) | None => None,
            };
            let params = only(found, DeleteParams::background());
            gone(&object, jobs::api(client, &job.namespace).delete(&job.name, &params).await.map(drop))
        }
    }
}

/// A deletion meets the object that it was decided by, not another that has got its name since.
fn only(found: Option<&Value>, params: DeleteParams) -> DeleteParams {
    let uid = found.and_then(|found| found["metadata"]["uid"].as_str()).map(str::to_owned);
    DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..params }
}

/// A write meets a Deployment as it was decided by.
fn version(deployment: &WorkloadRef, world: &World) -> Value {
    let found = world.deployments.get(deployment).unwrap_or(&Value::Null);
    json!({"resourceVersion": found["metadata"]["resourceVersion"]})
}

async fn create(client: &Client, deployment: &Value) -> Result<Written, ApplyError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &deployment["metadata"];
    let object = reference("Deployment", &text(&metadata["namespace"]), &text(&metadata["name"]));
    let failed = |source| failed("create", &object, source);
    let body: Deployment =
        serde_json::from_value(deployment.clone()).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let api = deployments(client, &object.namespace);
    match api.create(&params, &body).await {
        Ok(created) => Ok(Written::new(object, created.metadata.resource_version)),
        // Made by a run that was not heard of yet; one of somebody else is told apart by its label next time.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Err(ApplyError::Conflict { object: object.clone() })
        }
        Err(error) => Err(failed(error)),
    }
}

async fn change(
    client: &Client,
    deployment: &WorkloadRef,
    patch: &Patch<Value>,
) -> Result<Written, ApplyError> {
    let object = reference("Deployment", &deployment.namespace, &deployment.name);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patched = deployments(client, &deployment.namespace).patch(&deployment.name, &params, patch).await;
    let patched = patched.map_err(|source| failed("change", &object, source))?;
    Ok(Written::new(object, patched.metadata.resource_version))
}

async fn apply_lane(client: &Client, lane: &Value) -> Result<Written, ApplyError> {
    let name = lane["metadata"]["name"].as_str().unwrap_or_default();
    let object = reference(lane::KIND, "", name);
    let failed = |source| failed("apply", &object, source);
    // Applying is not creating: who made a lane of this name in between keeps it.
    let found = lanes(client).get_opt(name).await.map_err(failed)?;
    let labels = found.and_then(|found| found.metadata.labels);
    let owner = labels.as_ref().map(|labels| labels.get(RELEASE_LABEL).cloned().unwrap_or_default());
    if owner.is_some_and(|owner| Some(owner.as_str()) != lane["metadata"]["labels"][RELEASE_LABEL].as_str()) {
        return Err(ApplyError::Conflict { object });
    }
    let params = PatchParams::apply(LANE_MANAGER).force();
    let applied = lanes(client).patch(name, &params, &Patch::Apply(lane)).await.map_err(failed)?;
    Ok(Written::new(object, applied.metadata.resource_version))
}

/// What is deleted may go on being there for a while: a lane until no proxy routes by it.
fn gone(object: &ObjectRef, deleted: Result<(), kube::Error>) -> Result<Option<Written>, ApplyError> {
    match deleted {
        Ok(()) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(source) => Err(failed("delete", object, source)),
    }
}

fn deployments(client: &Client, namespace: &str) -> Api<Deployment> {
    Api::namespaced(client.clone(), namespace)
}

fn lanes(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &world::resource(lane::API_VERSION, lane::KIND))
}

pub(super) fn reference(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

pub(super) fn failed(verb: &'static str, object: &ObjectRef, error: kube::Error) -> ApplyError {
    match error {
        kube::Error::Api(status) if status.code == 409 => ApplyError::Conflict { object: object.clone() },
        source => ApplyError::Api { verb, object: object.clone(), source: Box::new(source) },
    }
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::http::StatusCode;
    use axum::routing::delete;
    use kube::Config;

    use super::*;

    /// A server that deletes only the object of this uid.
    async fn server(uid: &'static str) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = async move |Json(params): Json<Value>| {
            let is_it = params["preconditions"]["uid"] == uid;
            let code = if is_it { StatusCode::OK } else { StatusCode::CONFLICT };
            let status = if is_it { "Success" } else { "Failure" };
            (code, Json(json!({"kind": "Status", "status": status, "code": code.as_u16()})))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = axum::Router::new()
            .route("/apis/apps/v1/namespaces/shop/deployments/cart-r", delete(answer))
            .route("/apis/canaryctl.io/v1alpha1/lanes/r", delete(answer));
        tokio::spawn(axum::serve(listener, router).into_future());
        Client::try_from(Config::new(format!("http://{address}").parse().expect("a URL"))).expect("a client")
    }

    #[tokio::test]
    async fn what_was_made_anew_under_the_same_name_is_not_deleted() {
        let deployment = WorkloadRef::try_from("shop/cart-r".to_owned()).expect("a workload");
        let lane = canary_rules::name::LaneName::new("r").expect("a name");
        let found = json!({"metadata": {"uid": "old"}});
        let mut world = World::default();
        world.deployments.insert(deployment.clone(), found.clone());
        world.lanes.insert("r".into(), found);
        for action in [Action::Delete { deployment }, Action::DeleteLane { lane }] {
            let same = act(&server("old").await, &action, &world).await;
            assert!(matches!(same, Ok(None)), "{same:?}");
            let other = act(&server("new").await, &action, &world).await;
            assert!(matches!(other, Err(ApplyError::Conflict { .. })), "{other:?}");
        }
    }
}
