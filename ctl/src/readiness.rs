//! Keeps a lane's new pods from being ready until every proxy ranks them behind the baseline.
//!
//! A pod that its owner labels for a lane would be among its Services' endpoints as soon as its containers are ready,
//! whether proxies know by then what such pods are or not. So the webhook gives it a readiness gate, and the
//! controller meets that once a run has brought the pod's workload to every proxy. An annotation says which pods wait,
//! for of pods only metadata is watched.

use canary_istio::{Object, ObjectRef};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::apply::ApplyError;
use crate::names::FIELD_MANAGER;

/// The condition that a pod waits for, as its `readinessGates` name it.
const CONDITION: &str = "canaryctl.io/arrived";
/// On a pod that waits.
const ANNOTATION: &str = "canaryctl.io/readiness";
const HELD: &str = "held";

/// Gives a pod that is being made the gate; one that has it stays as it is.
pub(crate) fn hold(pod: &mut Value) {
    let gate = json!({"conditionType": CONDITION});
    let gates = &pod["spec"]["readinessGates"];
    if !pod["spec"].is_object() || gates.as_array().is_some_and(|gates| gates.contains(&gate)) {
        return;
    }
    match pod["spec"]["readinessGates"].as_array_mut() {
        Some(gates) => gates.push(gate),
        None => pod["spec"]["readinessGates"] = json!([gate]),
    }
    if !pod["metadata"]["annotations"].is_object() {
        pod["metadata"]["annotations"] = json!({});
    }
    pod["metadata"]["annotations"][ANNOTATION] = HELD.into();
}

/// Whether a pod waits.
#[must_use]
pub(crate) fn is_held(pod: &Object) -> bool {
    let metadata = &pod.value()["metadata"];
    metadata["annotations"][ANNOTATION] == HELD && metadata["deletionTimestamp"].is_null()
}

/// Lets pods be ready when their containers are, each whatever became of the others; returns the first refusal. One that is
/// gone by now is none.
pub(crate) async fn release(
    client: &Client,
    pods: impl IntoIterator<Item = &ObjectRef>,
) -> Option<ApplyError> {
    let mut refused = None;
    for pod in pods {
        refused = refused.or(release_one(client, pod).await.err());
    }
    refused
}

async fn release_one(client: &Client, pod: &ObjectRef) -> Result<(), ApplyError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let met = json!({"status": {"conditions": [{
        "type": CONDITION, "status": "True", "reason": "Arrived",
        "message": "every proxy ranks it behind the baseline",
        "lastTransitionTime": Timestamp::now().strftime("%FT%TZ").to_string(),
    }]}});
    let told = json!({"metadata": {"annotations": {ANNOTATION: null}}});
    // The annotation last: who is stopped in between does both again.
    let done = match api.patch_status(&pod.name, &params, &Patch::Strategic(met)).await {
        Ok(_) => api.patch(&pod.name, &params, &Patch::Merge(told)).await,
        refused => refused,
    };
    match done {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => {
            Err(ApplyError::Api { verb: "release", object: pod.clone(), source: Box::new(source) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_held_once_beside_the_gates_it_has() {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stock-1", "namespace": "shop"},
            "spec": {"readinessGates": [{"conditionType": "example.com/warm"}]},
        });
        assert!(!is_held(&Object::new(pod.clone()).expect("a pod")));
        hold(&mut pod);
        let gates = json!([{"conditionType": "example.com/warm"}, {"conditionType": CONDITION}]);
        assert_eq!(pod["spec"]["readinessGates"], gates);
        assert!(is_held(&Object::new(pod.clone()).expect("a pod")));
        let held = pod.clone();
        hold(&mut pod);
        assert_eq!(pod, held);
        pod["metadata"]["annotations"] = json!({});
        assert!(!is_held(&Object::new(pod).expect("a pod")));
    }
}
