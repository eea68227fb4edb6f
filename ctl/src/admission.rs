//! Who may put what into a Lane: a ValidatingAdmissionPolicy, judged by the API server.
//!
//! Whoever may write Lanes still needs, for what they put in: for a member of a namespace the right to update
//! VirtualServices there, for that is what routing it elsewhere amounts to; for rules, which decide about users
//! at the edge, the verb `route` on lanes. Members found by their label were put in by who may write the pods.

use serde_json::{Value, json};

/// Its name and its binding's.
const NAME: &str = "canaryctl-lanes";

/// The policy and its binding, with these labels.
#[must_use]
pub fn objects(labels: &Value) -> Vec<Value> {
    let unchanged = |field: &str| {
        format!(
            "oldObject != null && has(oldObject.spec.{field}) && oldObject.spec.{field} == object.spec.{field}"
        )
    };
    // `shop/stock`, `stock.shop`, or `stock`, which may be in any namespace.
    let namespaces = "!has(object.spec.members) ? [] : object.spec.members.map(key, \
                      key.contains('/') ? key.split('/')[0] : key.contains('.') ? key.split('.')[1] : '')";
    let may_update = "authorizer.group('networking.istio.io').resource('virtualservices')";
    let validations = json!([
        {
            "expression": format!(
                "!has(object.spec.rules) || size(object.spec.rules) == 0 || ({}) \
                 || authorizer.group('canaryctl.io').resource('lanes').check('route').allowed()",
                unchanged("rules")
            ),
            "message": "rules decide about users at the edge: that takes the verb `route` on lanes.canaryctl.io",
            "reason": "Forbidden",
        },
        {
            "expression": format!(
                "!has(object.spec.members) || ({}) || variables.namespaces.all(space, space == '' \
                 ? {may_update}.check('update').allowed() \
                 : {may_update}.namespace(space).check('update').allowed())",
                unchanged("members")
            ),
            "messageExpression":
                "'members take the right to update virtualservices.networking.istio.io in the namespaces: ' \
                 + variables.namespaces.map(space, space == '' ? '(all: a member is named without its namespace)' \
                 : space).join(', ')",
            "reason": "Forbidden",
        },
    ]);
    let metadata = json!({"name": NAME, "labels": labels});
    let api_version = "admissionregistration.k8s.io/v1";
    vec![
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["canaryctl.io"], "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["lanes"],
                }]},
                "variables": [{"name": "namespaces", "expression": namespaces}],
                "validations": validations,
            },
        }),
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
            "spec": {"policyName": NAME, "validationActions": ["Deny"]},
        }),
    ]
}
