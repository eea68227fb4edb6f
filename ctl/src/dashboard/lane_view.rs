//! A Lane as the page shows it, from the Lane and what its status says.

use canary_istio::Finding;
use canary_rules::lane::{API_VERSION, KIND, LAYER_DEFAULT};
use serde_json::{Value, json};

use super::picture::{ConditionView, FindingView, LaneView, MemberView};
use crate::output;
use crate::verb::enable::document::rule_texts;
use crate::verb::lanes::describe::text::{cookie, mode};
use crate::verb::lanes::state;

impl LaneView {
    /// Of a Lane as JSON.
    #[must_use]
    pub fn of(lane: &Value) -> Self {
        let status = &lane["status"];
        let proxies = &status["proxies"];
        Self {
            name: text(&lane["metadata"]["name"]),
            state: state(lane),
            who: rule_texts(lane),
            fields: fields(lane),
            members: list(&status["members"]).iter().map(member).collect(),
            conditions: list(&status["conditions"]).iter().map(condition).collect(),
            proxies: proxies["reached"].as_u64().zip(proxies["total"].as_u64()),
            findings: list(&status["findings"]).iter().map(finding).collect(),
            document: document(lane),
        }
    }
}

/// What its author said of it; what Kubernetes and the controller add is left out.
fn document(lane: &Value) -> String {
    let document = json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": lane["metadata"]["name"]}, "spec": lane["spec"],
    });
    output::yaml(&document).unwrap_or_default()
}

fn fields(lane: &Value) -> Vec<(&'static str, String)> {
    let spec = &lane["spec"];
    let mut fields = vec![("Mode", mode(spec))];
    if let Some(parent) = spec["parent"].as_str() {
        fields.push(("Parent", parent.into()));
    }
    if let Some(priority) = spec["priority"].as_i64().filter(|priority| *priority != 0) {
        fields.push(("Priority", priority.to_string()));
    }
    fields.push(("Layer", spec["layer"].as_str().unwrap_or(LAYER_DEFAULT).into()));
    fields.push(("Cookie", cookie(spec)));
    fields.push(("Expires", spec["expires"].as_str().unwrap_or("never by itself").into()));
    if let Some(created) = lane["metadata"]["creationTimestamp"].as_str() {
        fields.push(("Created", created.into()));
    }
    fields
}

fn member(member: &Value) -> MemberView {
    MemberView {
        service: text(&member["service"]),
        workload: text(&member["workload"]),
        pods: member["pods"].as_u64().unwrap_or(0),
    }
}

fn condition(condition: &Value) -> ConditionView {
    ConditionView {
        kind: text(&condition["type"]),
        status: text(&condition["status"]),
        reason: text(&condition["reason"]),
        message: text(&condition["message"]),
        since: text(&condition["lastTransitionTime"]),
    }
}

fn finding(finding: &Value) -> FindingView {
    let code = text(&finding["code"]);
    FindingView {
        severity: text(&finding["severity"]),
        message: text(&finding["message"]),
        help: Finding::help_for(&code),
        code,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_shown_in_the_words_of_lanes_describe() {
        let view = LaneView::of(&json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane",
            "metadata": {"name": "gray", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "rules": [{"when": {"cookie": {"name": "gray", "exact": "1"}}}, {"percent": 5}],
                "mode": "strict", "priority": 3,
            },
            "status": {
                "members": [{"service": "shop/web", "workload": "web-v2", "pods": 2}],
                "proxies": {"reached": 7, "total": 8},
                "conditions": [{
                    "type": "Programmed", "status": "True", "reason": "Programmed", "message": "every proxy has it",
                    "observedGeneration": 2, "lastTransitionTime": "2026-01-01T00:00:09Z",
                }],
                "findings": [{"code": "CC104", "severity": "warning", "message": "port 8080 is tcp"}],
            },
        }));
        let read = canary_rules::document::Source { name: "document".into(), text: view.document.clone() };
        canary_rules::document::read(&[read]).expect("a document that can be read again");
        let mut value = serde_json::to_value(&view).expect("JSON");
        value.as_object_mut().expect("an object").remove("document");
        assert_eq!(
            value,
            json!({
                "name": "gray", "state": "on", "who": ["cookie gray = 1", "5 % of users"],
                "fields": [
                    ["Mode", "strict: where it has no member, requests are refused"], ["Priority", "3"],
                    ["Layer", "default"], ["Cookie", "lives 30m"], ["Expires", "never by itself"],
                    ["Created", "2026-01-01T00:00:00Z"],
                ],
                "members": [{"service": "shop/web", "workload": "web-v2", "pods": 2}],
                "conditions": [{
                    "kind": "Programmed", "status": "True", "reason": "Programmed", "message": "every proxy has it",
                    "since": "2026-01-01T00:00:09Z",
                }],
                "proxies": [7, 8],
                "findings": [{
                    "code": "CC104", "severity": "warning", "message": "port 8080 is tcp",
                    "help": Finding::help_for("CC104"),
                }],
            })
        );
    }

    #[test]
    fn a_lane_whose_rules_are_refused_is_for_nobody() {
        let view =
            LaneView::of(&json!({"metadata": {"name": "gray"}, "spec": {"rules": [{"percent": 101}]}}));
        assert_eq!((view.who, view.state.as_str()), (None, "new"));
    }
}
