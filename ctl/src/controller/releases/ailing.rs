//! Why pods of a release do not come: what their own status says, for their Deployment only counts them.

use std::collections::BTreeMap;

use canary_istio::lane::LANE_LABEL;
use canary_release::{Release, WorkloadRef, World};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::{Api, Client};

/// Most pods looked at.
const PODS_MAX: u32 = 50;
/// Reasons to wait that need nobody.
const USUAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What is wrong with pods of a release's Deployments, where they lack some. Who cannot be asked says nothing.
pub(super) async fn look(client: &Client, release: &Release, world: &World) -> BTreeMap<WorkloadRef, String> {
    let mut ailing = BTreeMap::new();
    if release.status.as_ref().is_none_or(|status| status.phase.is_final()) {
        return ailing;
    }
    for (name, deployment) in &world.deployments {
        let is_of = |spec: &canary_release::WorkloadSpec| {
            spec.deployment.namespace == name.namespace
                && (spec.deployment.name == name.name || *name == release.copy_of(&spec.deployment))
        };
        let status = &deployment["status"];
        let lacks = status["availableReplicas"].as_u64().unwrap_or(0)
            < deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        if !lacks || !release.spec.workloads.iter().any(is_of) {
            continue;
        }
        let labels = deployment["spec"]["selector"]["matchLabels"].as_object();
        let mut selector: Vec<String> = labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
            .collect();
        if labels.is_some_and(|labels| !labels.contains_key(LANE_LABEL)) {
            selector.push(format!("!{LANE_LABEL}"));
        }
        let api: Api<Pod> = Api::namespaced(client.clone(), &name.namespace);
        let params = ListParams::default().labels(&selector.join(",")).limit(PODS_MAX);
        let Ok(pods) = api.list(&params).await else { continue };
        if let Some(why) = pods.items.iter().find_map(ails) {
            ailing.insert(name.clone(), why);
        }
    }
    ailing
}

/// What a pod says is wrong with it.
fn ails(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let mut unscheduled =
        conditions.filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled.next() {
        return condition.message.clone().or_else(|| condition.reason.clone());
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.into_iter().find_map(waits)
}

fn waits(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| !USUAL.contains(reason))?;
    let message = waiting.message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
    Some(format!("container {}: {reason}{message}", container.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(status: Value, want: Option<&str>) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "status": status})).expect("a pod");
        assert_eq!(ails(&pod).as_deref(), want);
    }

    #[test]
    fn a_pod_says_what_is_wrong_with_it() {
        let waiting = |reason: &str| {
            json!({"containerStatuses": [{
                "name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "no such image"}},
            }]})
        };
        check(waiting("ErrImagePull"), Some("container app: ErrImagePull (no such image)"));
        check(waiting("ContainerCreating"), None);
        let unscheduled = json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"},
        ]});
        check(unscheduled, Some("0/1 nodes are available"));
        check(json!({}), None);
    }
}
