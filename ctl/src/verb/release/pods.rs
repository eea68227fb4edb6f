//! The pods of a release's workloads, by their ReplicaSets, as a watched release shows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use canary_istio::lane::LANE_LABEL;
use canary_release::{Release, WorkloadRef};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client};

use super::show::clock;
use crate::arrival::is_ready;

/// Pods of one ReplicaSet that are shown; of the others only how many there are.
const SHOWN_MAX: usize = 8;

/// The ReplicaSets by Deployment, those of the lane first. What one may not read is not in it.
pub(super) type Sets = BTreeMap<WorkloadRef, Vec<Set>>;

/// A ReplicaSet that has pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    name: String,
    is_lanes: bool,
    pods: Vec<OnePod>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OnePod {
    name: String,
    /// In a word or two.
    state: String,
    is_ready: bool,
    restarts: i32,
    since_unix_s: Option<i64>,
}

/// Looks at the pods of a release.
pub(super) async fn read(client: &Client, release: &Release) -> Sets {
    let mut sets = Sets::new();
    for spec in &release.spec.workloads {
        let WorkloadRef { namespace, name } = &spec.deployment;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        // Without the right to it, or for a moment without an answer, there is the rest.
        let Ok(Some(found)) = deployments.get_opt(name).await else { continue };
        let labels = found.spec.and_then(|spec| spec.selector.match_labels).unwrap_or_default();
        let selector: Selector = labels.into_iter().collect();
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let Ok(found) = pods.list(&ListParams::default().labels_from(&selector)).await else { continue };
        sets.insert(spec.deployment.clone(), of(&found.items, release.lane().as_str()));
    }
    sets
}

/// The ReplicaSets of these pods. Copies have all labels of the stable ones, and the lane's.
fn of(pods: &[Pod], lane: &str) -> Vec<Set> {
    let mut by_set: BTreeMap<(bool, String), Vec<OnePod>> = BTreeMap::new();
    for pod in pods {
        let owners = pod.metadata.owner_references.iter().flatten();
        let Some(owner) = owners.into_iter().find(|owner| owner.kind == "ReplicaSet") else { continue };
        let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LANE_LABEL));
        let is_lanes = label.is_some_and(|label| label == lane);
        if label.is_none() || is_lanes {
            by_set.entry((!is_lanes, owner.name.clone())).or_default().push(one(pod));
        }
    }
    let set = |((is_stable, name), mut pods): ((bool, String), Vec<OnePod>)| {
        pods.sort_by(|a, b| (a.since_unix_s, &a.name).cmp(&(b.since_unix_s, &b.name)));
        Set { name, is_lanes: !is_stable, pods }
    };
    by_set.into_iter().map(set).collect()
}

fn one(pod: &Pod) -> OnePod {
    let status = pod.status.as_ref();
    let containers: Vec<&ContainerStatus> = status
        .into_iter()
        .flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses).flatten())
        .collect();
    let stuck = containers.iter().find_map(|one| {
        let waiting = one.state.as_ref()?.waiting.as_ref()?;
        waiting
            .reason
            .clone()
            .filter(|reason| !["PodInitializing", "ContainerCreating"].contains(&reason.as_str()))
    });
    let is_ready = is_ready(pod);
    let state = match status.and_then(|status| status.phase.as_deref()) {
        _ if pod.metadata.deletion_timestamp.is_some() => "ends".into(),
        _ if is_ready => "ready".into(),
        phase => stuck.unwrap_or_else(|| match phase {
            Some("Pending") => "starts".into(),
            Some("Running") | None => "not ready".into(),
            Some(other) => other.to_lowercase(),
        }),
    };
    OnePod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        state,
        is_ready,
        restarts: containers.iter().map(|one| one.restart_count).sum(),
        since_unix_s: pod.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
    }
}

/// Lines below a workload's, each behind this stem.
pub(super) fn lines(sets: &[Set], stem: char, now_unix_s: i64) -> String {
    let mut text = String::new();
    for (at, set) in sets.iter().enumerate() {
        let (branch, below) = if at + 1 == sets.len() { ('└', ' ') } else { ('├', '│') };
        let ready = set.pods.iter().filter(|pod| pod.is_ready).count();
        let whose = if set.is_lanes { "   lane" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{stem} {branch} {}   {ready}/{} ready{whose}", set.name, set.pods.len());
        let hidden = set.pods.len().saturating_sub(SHOWN_MAX);
        for pod in set.pods.iter().take(SHOWN_MAX) {
            let mark = if pod.is_ready { '✓' } else { '…' };
            let restarts =
                if pod.restarts > 0 { format!("   restarted {} times", pod.restarts) } else { String::new() };
            let age = pod.since_unix_s.map_or(String::new(), |since| clock(now_unix_s.saturating_sub(since)));
            let _ = writeln!(text, "{stem} {below}   {mark} {}   {}{restarts}   {age}", pod.name, pod.state);
        }
        if hidden > 0 {
            let _ = writeln!(text, "{stem} {below}   and {hidden} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, set: &str, more: &Value) -> Pod {
        let mut pod = json!({
            "metadata": {
                "name": name, "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "cart"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "u"}],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (pointer, value) in more.as_object().into_iter().flatten() {
            *pod.pointer_mut(pointer).expect("a place") = value.clone();
        }
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn pods_are_below_their_replica_sets_those_of_the_lane_first() {
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff"}});
        let stuck = json!({
            "/metadata/labels": {"app": "cart", "canaryctl.io/lane": "r-7"},
            "/status": {"phase": "Pending", "containerStatuses": [{
                "name": "app", "image": "a", "imageID": "", "ready": false, "restartCount": 2, "state": waiting,
            }]},
        });
        let other = json!({"/metadata/labels": {"app": "cart", "canaryctl.io/lane": "gray"}});
        let job = json!({"/metadata/ownerReferences/0/kind": "Job"});
        let mut pods = vec![
            pod("cart-5d8-a", "cart-5d8", &Value::Null),
            pod("cart-r-7-7d9-b", "cart-r-7-7d9", &stuck),
            pod("cart-gray-1", "cart-gray", &other),
            pod("canaryctl-mesh-1", "canaryctl-mesh", &job),
        ];
        let now = "2026-01-01T00:12:00Z".parse::<Timestamp>().expect("a time").as_second();
        let want = "\
│ ├ cart-r-7-7d9   0/1 ready   lane
│ │   … cart-r-7-7d9-b   ImagePullBackOff   restarted 2 times   00:12:00
│ └ cart-5d8   1/1 ready
│     ✓ cart-5d8-a   ready   00:12:00
";
        assert_eq!(lines(&of(&pods, "r-7"), '│', now), want);
        pods.extend((0..9).map(|at| pod(&format!("cart-5d8-c{at}"), "cart-5d8", &Value::Null)));
        let many = lines(&of(&pods, "r-7"), ' ', now);
        assert!(many.ends_with("      and 2 more\n"), "{many}");
    }
}
