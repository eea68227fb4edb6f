//! Deployments as JSON: how they are, and the copies of them that serve a lane.

use std::collections::BTreeMap;

use canary_istio::lane::LANE_LABEL;
use serde_json::{Map, Value, json};

use crate::document::{Release, WorkloadRef, WorkloadSpec};
use crate::lane::RELEASE_LABEL;

/// Longest name of a Deployment or Job whose pods can still be told apart by theirs.
const NAME_BYTES_MAX: usize = 63;
/// Annotations of a Deployment's pods that say when it was restarted, not what it is.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// What the copy of a Deployment is called.
pub(crate) fn copy_of(workload: &WorkloadRef, release: &Release) -> WorkloadRef {
    let lane = release.lane().as_str().replace('.', "-");
    let name = called(&workload.name, &format!("-{lane}"));
    WorkloadRef { namespace: workload.namespace.clone(), name }
}

/// A name with this end, cut to what pods can be told apart by.
pub(crate) fn called(name: &str, end: &str) -> String {
    if name.len().saturating_add(end.len()) <= NAME_BYTES_MAX {
        return format!("{name}{end}");
    }
    // What is cut off is told apart by its digest.
    let digest = format!("-{:08x}", digest(name));
    let room = NAME_BYTES_MAX.saturating_sub(end.len().saturating_add(digest.len()));
    let kept: String = name.chars().take(room).collect();
    format!("{}{digest}{end}", kept.trim_end_matches(['-', '.']))
}

/// FNV-1a, 32 bits.
pub(crate) fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The copy that serves the lane: as the Deployment is, with the new images, without pods yet. Its pods carry
/// all labels of the Deployment's, so that every Service and policy that selects those selects them.
pub(crate) fn copy(stable: &Value, spec: &WorkloadSpec, release: &Release) -> Value {
    let name = copy_of(&spec.deployment, release);
    let lane = release.lane().as_str();
    let mut body = stable["spec"].clone();
    body["replicas"] = 0.into();
    if let Value::Object(fields) = &mut body {
        fields.remove("paused");
    }
    body["selector"]["matchLabels"][LANE_LABEL] = lane.into();
    body["template"]["metadata"]["labels"][LANE_LABEL] = lane.into();
    if let Some(annotations) = body["template"]["metadata"]["annotations"].as_object_mut() {
        annotations.remove(RESTARTED_AT);
    }
    for container in containers_mut(&mut body) {
        let name = container["name"].as_str().unwrap_or_default();
        if let Some(image) = spec.images.get(name) {
            container["image"] = image.as_str().into();
        }
    }
    // The Deployment's own labels say whose it is, to tools that would take the copy away.
    let labels = json!({RELEASE_LABEL: release.metadata.name.as_str()});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name.name, "namespace": name.namespace, "labels": labels},
        "spec": body,
    })
}

fn containers_mut(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let pod = spec["template"]["spec"].as_object_mut();
    let lists = pod.into_iter().flat_map(Map::iter_mut);
    let lists = lists.filter(|(key, _)| matches!(key.as_str(), "containers" | "initContainers"));
    lists.filter_map(|(_, list)| list.as_array_mut()).flatten()
}

/// A Deployment's images by container, init containers among them.
pub(crate) fn images(deployment: &Value) -> BTreeMap<String, String> {
    let pod = &deployment["spec"]["template"]["spec"];
    let lists = [&pod["containers"], &pod["initContainers"]];
    let containers = lists.into_iter().filter_map(Value::as_array).flatten();
    let image = |container: &Value| {
        Some((container["name"].as_str()?.to_owned(), container["image"].as_str()?.to_owned()))
    };
    containers.filter_map(image).collect()
}

/// Whether a Deployment has all of these images.
pub(crate) fn has(deployment: &Value, wanted: &BTreeMap<String, String>) -> bool {
    let images = images(deployment);
    wanted.iter().all(|(container, image)| images.get(container) == Some(image))
}

/// Whether a Deployment ends all of its pods before it starts new ones.
pub(crate) fn is_replaced_at_once(deployment: &Value) -> bool {
    deployment["spec"]["strategy"]["type"] == "Recreate"
}

/// How many pods a Deployment wants.
pub(crate) fn replicas(deployment: &Value) -> u32 {
    number(&deployment["spec"]["replicas"], 1)
}

/// How many pods of a Deployment as it is now are available.
pub(crate) fn available(deployment: &Value) -> u32 {
    match is_observed(deployment) {
        true => number(&deployment["status"]["availableReplicas"], 0),
        false => 0,
    }
}

/// Counts changes of a Deployment's `spec`.
pub(crate) fn generation(deployment: &Value) -> i64 {
    deployment["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// How many pods of a Deployment are as it says now.
pub(crate) fn updated(deployment: &Value) -> u32 {
    match is_observed(deployment) {
        true => number(&deployment["status"]["updatedReplicas"], 0),
        false => 0,
    }
}

/// Whether all pods of a Deployment are as it says, and available.
pub(crate) fn is_rolled_out(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let wanted = replicas(deployment);
    is_observed(deployment)
        && number(&status["updatedReplicas"], 0) == wanted
        && number(&status["replicas"], 0) == wanted
        && number(&status["availableReplicas"], 0) >= wanted
}

/// Why a Deployment does not get its pods, where Kubernetes says so.
pub(crate) fn failure(deployment: &Value) -> Option<String> {
    let conditions = deployment["status"]["conditions"].as_array().into_iter().flatten();
    let says = |condition: &&Value| {
        (condition["type"] == "ReplicaFailure" && condition["status"] == "True")
            || (condition["type"] == "Progressing" && condition["status"] == "False")
    };
    let message = |condition: &Value| condition["message"].as_str().unwrap_or_default().to_owned();
    conditions.filter(says).map(message).next()
}

fn is_observed(deployment: &Value) -> bool {
    deployment["status"]["observedGeneration"].as_i64() >= deployment["metadata"]["generation"].as_i64()
}

fn number(value: &Value, default: u32) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
}

/// Pods that a lane needs for a share of the users of this many, in percent.
pub(crate) fn needed(share: f64, stable: u32) -> u32 {
    let pods = (f64::from(stable) * share / 100.0).ceil();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a number of pods"
    )]
    let pods = pods.clamp(0.0, f64::from(u32::MAX)) as u32;
    pods.max(1)
}
