use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a moment")
}

fn pod(name: &str, workload: &str, ready: usize) -> LanePod {
    LanePod {
        namespace: "shop".into(),
        name: name.into(),
        workload: workload.into(),
        phase: "Running".into(),
        ready: (ready, 2),
        created_unix_s: Some(now().as_second() - 12 * 60),
    }
}

fn gray() -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": 2, "lastTransitionTime": "2026-01-01T09:30:00Z",
        })
    };
    json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane",
        "metadata": {"name": "gray", "generation": 2, "creationTimestamp": "2025-12-29T12:00:00Z"},
        "spec": {
            "rules": [{"when": {"cookie": {"name": "gray", "exact": "1"}}}, {"percent": 5}],
            "cookie": {"maxAgeSeconds": 600, "attributes": {"path": "/", "secure": true}},
            "expires": "2026-01-01T17:00:00Z",
        },
        "status": {
            "conditions": [
                condition("Accepted", "True", "Valid", ""),
                condition("Programmed", "True", "Programmed", "every proxy has it"),
                condition("Degraded", "True", "Findings", "1, the first: web.shop is odd"),
            ],
            "members": [
                {"service": "shop/stock", "workload": "stock-v2", "pods": 1},
                {"service": "shop/web", "workload": "web-v2", "pods": 2},
            ],
            "proxies": {"total": 31, "reached": 31},
            "findings": [{"code": "CC112", "severity": "refused", "message": "web.shop is headless"}],
        },
    })
}

#[test]
fn a_lane_that_is_on_is_told_whole() {
    let pods = Pods::Seen(vec![
        pod("web-v2-7d4f-a", "web-v2", 2),
        pod("web-v2-7d4f-longer", "web-v2", 1),
        pod("stock-v2-0", "stock-v2", 2),
        pod("batch-0", "batch", 2),
    ]);
    let want = "\
Lane:       gray
State:      on: every proxy has it
Created:    2025-12-29T12:00:00Z (3d ago)
Who:        cookie gray = 1
            5 % of users
Mode:       permissive: where it has no member, the baseline serves
Layer:      default
Cookie:     lives 10m · path=/ · secure=true
Expires:    2026-01-01T17:00:00Z (in 5h)
Proxies:    31 of 31 have it
Members:
  shop/stock → stock-v2, 1 pod
    shop/stock-v2-0  2/2 ready  Running  12m
  shop/web → web-v2, 2 pods
    shop/web-v2-7d4f-a       2/2 ready  Running  12m
    shop/web-v2-7d4f-longer  1/2 ready  Running  12m
  of no Service that the lane is routed at:
    shop/batch-0  2/2 ready  Running  12m
Conditions:
  Accepted    True  Valid       2h30m
  Programmed  True  Programmed  2h30m  every proxy has it
  Degraded    True  Findings    2h30m  1, the first: web.shop is odd
Findings:
  CC112 refused: web.shop is headless
        mend: give clients a Service with a cluster IP
Off again:  canaryctl disable gray
";
    assert_eq!(text(&gray(), &pods, now()), want);
}

#[test]
fn a_new_lane_says_what_is_missing() {
    let lane = json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane",
        "metadata": {"name": "new", "generation": 1, "creationTimestamp": "2026-01-01T11:59:50Z"},
        "spec": {"mode": "strict", "parent": "gray", "priority": -1},
    });
    let want = "\
Lane:       new
State:      new
Created:    2026-01-01T11:59:50Z (10s ago)
Who:        nobody: it has no rules
Mode:       strict: where it has no member, requests are refused
Parent:     gray
Priority:   -1
Layer:      default
Cookie:     lives 30m
Expires:    never by itself
Members:    none yet: label pods canaryctl.io/lane=new
  the pods are not shown: forbidden
Conditions: none: no controller has said anything of it
Findings:   none
Off again:  canaryctl disable new
";
    assert_eq!(text(&lane, &Pods::Unknown("forbidden".into()), now()), want);
}

#[test]
fn what_is_said_of_an_earlier_version_is_marked() {
    let mut lane = gray();
    lane["metadata"]["generation"] = 3.into();
    let text = text(&lane, &Pods::Seen(Vec::new()), now());
    assert!(text.contains("2h30m  (of an earlier version) every proxy has it"), "{text}");
    assert!(text.contains("State:      new\n"), "{text}");
}

#[track_caller]
fn check_workload(owner: Option<&str>, hash: Option<&str>, want: &str) {
    let mut pod = json!({"metadata": {"name": "stock-0", "namespace": "shop", "labels": {}}});
    if let Some(owner) = owner {
        let owner = json!({"apiVersion": "v1", "kind": "X", "uid": "1", "name": owner, "controller": true});
        pod["metadata"]["ownerReferences"] = json!([owner]);
    }
    if let Some(hash) = hash {
        pod["metadata"]["labels"]["pod-template-hash"] = hash.into();
    }
    let pod: Pod = serde_json::from_value(pod).expect("a pod");
    assert_eq!(LanePod::from(pod).workload, want);
}

#[test]
fn a_pod_is_of_its_owners_workload() {
    check_workload(Some("stock-v2-7d4f"), Some("7d4f"), "stock-v2");
    check_workload(Some("stock"), None, "stock");
    check_workload(None, None, "stock-0");
}
