//! Whether pods and lanes are as lanes need them. Pure.

use canary_istio::lane::LANE_LABEL;

use super::{Report, Weight};
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
    for pod in &seen.pods {
        let labels = &pod.value()["metadata"]["labels"];
        let is_member = labels[LANE_LABEL].is_string();
        if is_member
            && labels[SIDECAR_LABEL].is_null()
            && pod.value()["metadata"]["deletionTimestamp"].is_null()
        {
            let (namespace, name) = (pod.namespace(), pod.name());
            report.issue(
                "CC303",
                Weight::Warning,
                format!(
                    "pod {namespace}/{name} is in a lane but has no sidecar: what it calls leaves the lane"
                ),
                format!("kubectl label namespace {namespace} istio-injection=enabled, then restart the pod"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use canary_istio::Object;
    use serde_json::{Value, json};

    use super::*;

    fn judged(labels: Value) -> Vec<&'static str> {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "labels": labels}});
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
}
