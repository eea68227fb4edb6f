//! Whether pods and lanes are as lanes need them. Pure.

use canary_istio::Object;
use canary_istio::lane::LANE_LABEL;

use super::{Report, Weight};
use crate::arrival::AWAITED_ANNOTATION;
use crate::steer::{Course, Verdict};
use crate::world::Seen;

/// Label that injection puts on every pod with a sidecar.
pub(super) const SIDECAR_LABEL: &str = "security.istio.io/tlsMode";

pub(super) fn judge(seen: &Seen, course: &Course, report: &mut Report) {
    for (name, verdict) in &course.lanes {
        match verdict {
            Verdict::Refused(faults) => report.issue(
                "CC301",
                Weight::Error,
                format!("lane {name} is refused: {}", faults.join("; ")),
                "correct it and apply it again",
            ),
            Verdict::On(on) if !on.faults.is_empty() => report.issue(
                "CC301",
                Weight::Error,
                format!(
                    "lane {name} is on as it was before, its change is refused: {}",
                    on.faults.join("; ")
                ),
                "correct it and apply it again",
            ),
            Verdict::On(on) if on.members.is_empty() => report.issue(
                "CC302",
                Weight::Info,
                format!("lane {name} has no members: its users are served by the baseline"),
                format!("label pods {LANE_LABEL}={name}"),
            ),
            Verdict::On(on) => report.well(format!("lane {name} has {} members", on.members.len())),
            Verdict::Going(_) => {}
        }
    }
    for pod in seen.pods.iter().filter(|pod| pod.value()["metadata"]["deletionTimestamp"].is_null()) {
        judge_pod(pod, report);
    }
}

fn judge_pod(pod: &Object, report: &mut Report) {
    let (namespace, name) = (pod.namespace(), pod.name());
    let metadata = &pod.value()["metadata"];
    if metadata["labels"][LANE_LABEL].is_string() && metadata["labels"][SIDECAR_LABEL].is_null() {
        report.issue(
            "CC303",
            Weight::Warning,
            format!("pod {namespace}/{name} is in a lane but has no sidecar: what it calls leaves the lane"),
            format!("kubectl label namespace {namespace} istio-injection=enabled, then restart the pod"),
        );
    }
    if metadata["annotations"][AWAITED_ANNOTATION] == "false" {
        report.issue(
            "CC307",
            Weight::Warning,
            format!(
                "nobody waits for the proxy of pod {namespace}/{name}: what it calls may be routed by rules of the past"
            ),
            format!("restart the pod, or: kubectl -n {namespace} annotate pod {name} {AWAITED_ANNOTATION}-"),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judged(labels: Value) -> Vec<&'static str> {
        judged_pod(json!({"name": "p", "namespace": "n", "labels": labels}))
    }

    fn judged_pod(metadata: Value) -> Vec<&'static str> {
        let pod = json!({"kind": "Pod", "metadata": metadata});
        let seen = Seen { pods: vec![Object::new(pod).expect("an object")], ..Seen::default() };
        let mut report = Report::default();
        judge(&seen, &Course::default(), &mut report);
        report.issues.into_iter().map(|issue| issue.code).collect()
    }

    #[test]
    fn a_lane_pod_needs_a_sidecar() {
        assert_eq!(judged(json!({LANE_LABEL: "gray"})), ["CC303"]);
        assert!(judged(json!({LANE_LABEL: "gray", SIDECAR_LABEL: "istio"})).is_empty());
        assert!(judged(json!({"app": "web"})).is_empty());
    }

    #[test]
    fn a_pod_that_nobody_waits_for_is_named() {
        let pod =
            |word: &str| json!({"name": "p", "namespace": "n", "annotations": {AWAITED_ANNOTATION: word}});
        assert_eq!(judged_pod(pod("false")), ["CC307"]);
        assert!(judged_pod(pod("true")).is_empty());
    }
}
