use serde_json::{Value, json};

use super::*;

/// What a pod's status comes to.
#[track_caller]
fn check(status: Value, want: Option<Trouble>) {
    let pod = serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).expect("a pod");
    assert_eq!(trouble(&pod), want);
}

fn waits(why: &str) -> Option<Trouble> {
    Some(Trouble::Waits(why.into()))
}

fn never(why: &str) -> Option<Trouble> {
    Some(Trouble::Never(why.into()))
}

fn container(name: &str, ready: bool, state: Value) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": state})
}

fn running() -> Value {
    json!({"running": {}})
}

#[test]
fn an_agent_that_runs_beside_a_sidecar_that_is_ready_is_there() {
    // Whether or not it is ready itself: with ports to expose it waits for its client.
    check(json!({"containerStatuses": [container(CONTAINER, false, running())]}), None);
    let sidecar = |ready| container("istio-proxy", ready, running());
    let agent = container(CONTAINER, true, running());
    check(json!({"containerStatuses": [agent, sidecar(true)]}), None);
    check(
        json!({"initContainerStatuses": [sidecar(false)], "containerStatuses": [agent]}),
        waits("its container istio-proxy is starting"),
    );
    let init = container("istio-init", false, json!({"terminated": {"exitCode": 0}}));
    check(json!({"initContainerStatuses": [init], "containerStatuses": [agent]}), None);
}

#[test]
fn what_may_pass_is_waited_for() {
    check(json!({}), waits("its pod is starting"));
    let unscheduled = json!({"type": "PodScheduled", "status": "False", "message": "0/1 nodes: no memory"});
    check(json!({"conditions": [unscheduled]}), waits("no node takes its pod: 0/1 nodes: no memory"));
    let pulled = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
    check(
        json!({"containerStatuses": [container(CONTAINER, false, pulled)]}),
        waits("its image cannot be pulled: not found"),
    );
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    check(
        json!({"containerStatuses": [container(CONTAINER, false, creating)]}),
        waits("its pod is starting"),
    );
}

#[test]
fn what_will_not_pass_ends_it() {
    for reason in ["ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"] {
        let state = json!({"waiting": {"reason": reason, "message": "why"}});
        check(
            json!({"containerStatuses": [container(CONTAINER, false, state)]}),
            never(&format!("{reason}: why")),
        );
    }
    let ended = json!({"terminated": {"exitCode": 2, "reason": "Error"}});
    check(
        json!({"containerStatuses": [container(CONTAINER, false, ended)]}),
        never("container agent has ended with code 2 (Error)"),
    );
}

#[test]
fn a_pod_that_ends_is_none() {
    let pod = json!({
        "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"containerStatuses": [container(CONTAINER, true, running())]},
    });
    let pod = serde_json::from_value(pod).expect("a pod");
    assert_eq!(trouble(&pod), never("its pod was deleted"));
}
