//! Who may put what into a Lane, a Release or a Takeover: ValidatingAdmissionPolicies, judged by the API server.
//!
//! Whoever may write Lanes still needs, for what they put in: for a member of a namespace the right to update
//! VirtualServices there, for that is what routing it elsewhere amounts to; for rules, which decide about users
//! at the edge, the verb `route` on lanes. Members found by their label were put in by who may write the pods.
//! Whoever starts a release needs that verb too, the right to update the Deployments that it is about, and to create
//! the Jobs that its steps run. A Takeover brings requests of a Service to a pod that somebody holds a tunnel to:
//! that takes the right to update the Service and to forward ports of pods there, and nobody makes one in another's
//! name.

use serde_json::{Value, json};

/// The policies and their bindings, with these labels.
#[must_use]
pub fn objects(labels: &Value) -> Vec<Value> {
    let lanes = policy("canaryctl-lanes", "lanes", NAMESPACES, &lanes());
    let releases = policy("canaryctl-releases", "releases", RELEASED, &releases());
    let takeovers = policy("canaryctl-takeovers", "takeovers", "[request.namespace]", &takeovers());
    let mut objects = [lanes, releases, takeovers].concat();
    for object in &mut objects {
        object["metadata"]["labels"] = labels.clone();
    }
    objects
}

/// The namespaces of members: `shop/stock`, `stock.shop`, or `stock`, which may be in any.
const NAMESPACES: &str = "!has(object.spec.members) ? [] : object.spec.members.map(key, \
                          key.contains('/') ? key.split('/')[0] : key.contains('.') ? key.split('.')[1] : '')";
/// The namespaces of a release's Deployments.
const RELEASED: &str = "object.spec.workloads.map(workload, workload.deployment.split('/')[0])";

/// The namespaces in which steps of a release run Jobs.
const JOBS: &str = "!has(object.spec.steps) ? [] : object.spec.steps.filter(step, has(step.job)).map(step, \
                    has(step.job.cronJob) ? step.job.cronJob.split('/')[0] \
                    : object.spec.workloads[0].deployment.split('/')[0])";

/// Whether a field is as it was.
fn unchanged(field: &str) -> String {
    format!(
        "oldObject != null && has(oldObject.spec.{field}) && oldObject.spec.{field} == object.spec.{field}"
    )
}

/// Who may decide about users at the edge.
fn may_route(field: &str) -> Value {
    json!({
        "expression": format!(
            "!has(object.spec.{field}) || size(object.spec.{field}) == 0 || ({}) \
             || authorizer.group('canaryctl.io').resource('lanes').check('route').allowed()",
            unchanged(field)
        ),
        "message": format!("{field} decide about users at the edge: that takes the verb `route` on lanes.canaryctl.io"),
        "reason": "Forbidden",
    })
}

fn lanes() -> Value {
    let may_update = "authorizer.group('networking.istio.io').resource('virtualservices')";
    json!([
        may_route("rules"),
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
    ])
}

fn releases() -> Value {
    json!([
        may_route("rules"),
        may_route("steps"),
        {
            "expression": "(oldObject != null && oldObject.spec == object.spec) || variables.namespaces.all(space, \
                           authorizer.group('apps').resource('deployments').namespace(space).check('update').allowed())",
            "messageExpression":
                "'a release takes the right to update deployments.apps in the namespaces: ' \
                 + variables.namespaces.join(', ')",
            "reason": "Forbidden",
        },
        {
            "expression": format!(
                "({}) || ({JOBS}).all(space, \
                 authorizer.group('batch').resource('jobs').namespace(space).check('create').allowed())",
                unchanged("steps")
            ),
            "messageExpression": format!("'steps that run Jobs take the right to create jobs.batch in the namespaces: ' + ({JOBS}).join(', ')"),
            "reason": "Forbidden",
        },
    ])
}

fn takeovers() -> Value {
    let may = |verb: &str, resource: &str, words: &str| {
        json!({
            "expression": format!("oldObject != null || authorizer.group(''){resource}.namespace(request.namespace).check('{verb}').allowed()"),
            "messageExpression": format!("'a takeover takes the right to {verb} {words} in namespace ' + request.namespace"),
            "reason": "Forbidden",
        })
    };
    json!([
        {
            "expression": "oldObject != null || object.spec.owner.user == request.userInfo.username",
            "messageExpression": "'spec.owner.user is ' + object.spec.owner.user + ', but you are ' + request.userInfo.username",
            "reason": "Forbidden",
        },
        may("create", ".resource('pods').subresource('portforward')", "pods/portforward"),
        may("update", ".resource('services')", "services"),
    ])
}

/// A policy for a resource of ours, with the namespaces that it is about, and its binding.
fn policy(name: &str, resource: &str, namespaces: &str, validations: &Value) -> [Value; 2] {
    let api_version = crate::names::ADMISSION_API;
    [
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["canaryctl.io"], "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"], "resources": [resource],
                }]},
                "variables": [{"name": "namespaces", "expression": namespaces}],
                "validations": validations,
            },
        }),
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}
