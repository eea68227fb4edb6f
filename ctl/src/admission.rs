//! Who may put what into a Lane, a Release or a Takeover: ValidatingAdmissionPolicies, judged by the API server.
//!
//! Whoever may write Lanes still needs, for what they put in: for a member of a namespace the right to update
//! VirtualServices there, for that is what routing it elsewhere amounts to; for rules, which decide about users
//! at the edge, the verb `route` on lanes. Members found by their label were put in by who may write the pods.
//! Whoever starts a release needs that verb too, the right to update the Deployments that it is about, and to create
//! the Jobs that its steps run. A Takeover brings requests of a Service to a pod that somebody holds a tunnel to:
//! that takes the right to update the Service and to forward ports of pods there, to make a Service, too, where the
//! Takeover has one of its own, and nobody makes one in another's name.

use serde_json::{Value, json};

/// How many questions about rights one expression may ask. Source: an authorizer's `check` costs 350,000 in Kubernetes'
/// `pkg/cel/library/cost.go`, and `PerCallLimit` in `pkg/apis/cel/config.go` is 1,000,000.
const CHECKS_PER_EXPRESSION: usize = 2;
/// How many namespaces a document may be about, for whoever has no right to all of them, and in how many its steps may run
/// Jobs: each is a question, and a policy may ask 28 of them (`RuntimeCELCostBudget`, 10,000,000).
const NAMESPACES_MAX: usize = 12;
const JOB_NAMESPACES_MAX: usize = 6;
/// The most places that a list may have of which namespaces are read: members of a Lane, steps of a Release.
const LISTED_MAX: usize = 64;

/// The policies and their bindings, with these labels.
#[must_use]
pub fn objects(labels: &Value) -> Vec<Value> {
    let lanes = policy("canaryctl-lanes", "lanes", &MEMBERS.variables(), &lanes());
    let variables = [RELEASED.variables(), JOBS.variables()].concat();
    let releases = policy("canaryctl-releases", "releases", &variables, &releases());
    let takeovers = policy("canaryctl-takeovers", "takeovers", &[], &takeovers());
    let mut objects = [lanes, releases, takeovers].concat();
    for object in &mut objects {
        object["metadata"]["labels"] = labels.clone();
    }
    objects
}

/// Namespaces that a document is about, and a right that it takes in each of them.
struct Spaces {
    /// What the variables are called after that hold them.
    name: &'static str,
    /// The namespaces, some of them more than once; empty for one that may be any.
    listed: &'static str,
    /// The right, without where and to what.
    right: &'static str,
    verb: &'static str,
    /// At most so many, unless somebody has the right everywhere.
    most: usize,
    /// What is said to whoever lacks it.
    says: &'static str,
}

/// The namespaces of members: `shop/stock`, `stock.shop`, or `stock`, which may be in any.
const MEMBERS: Spaces = Spaces {
    name: "members",
    listed: "!has(object.spec.members) ? [] : object.spec.members.map(key, \
             key.contains('/') ? key.split('/')[0] : key.contains('.') ? key.split('.')[1] : '')",
    right: "authorizer.group('networking.istio.io').resource('virtualservices')",
    verb: "update",
    most: NAMESPACES_MAX,
    says: "members take the right to update virtualservices.networking.istio.io",
};
/// The namespaces of a release's Deployments.
const RELEASED: Spaces = Spaces {
    name: "workloads",
    listed: "object.spec.workloads.map(workload, workload.deployment.split('/')[0])",
    right: "authorizer.group('apps').resource('deployments')",
    verb: "update",
    most: NAMESPACES_MAX,
    says: "a release takes the right to update deployments.apps",
};
/// The namespaces in which steps of a release run Jobs.
const JOBS: Spaces = Spaces {
    name: "jobs",
    listed: "!has(object.spec.steps) ? [] : object.spec.steps.filter(step, has(step.job)).map(step, \
             has(step.job.cronJob) ? step.job.cronJob.split('/')[0] \
             : object.spec.workloads[0].deployment.split('/')[0])",
    right: "authorizer.group('batch').resource('jobs')",
    verb: "create",
    most: JOB_NAMESPACES_MAX,
    says: "steps that run Jobs take the right to create jobs.batch",
};

impl Spaces {
    /// What its expressions are made of: the namespaces as they are listed, each of them once, and whether somebody has
    /// the right to all there are.
    fn variables(&self) -> Vec<Value> {
        let Self { name, listed, right, verb, .. } = self;
        let places = (0..LISTED_MAX).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        let all = format!("variables.{name}Listed");
        vec![
            json!({"name": format!("{name}Listed"), "expression": listed}),
            json!({
                "name": name,
                "expression": format!(
                    "[{places}].filter(i, i < size({all}) && {all}.indexOf({all}[i]) == i).map(i, {all}[i])"
                ),
            }),
            json!({
                "name": format!("{name}Everywhere"),
                "expression": format!("{right}.check('{verb}').allowed()"),
            }),
        ]
    }

    /// Asks for the right in each namespace, unless this holds; in as many expressions as that takes.
    fn held_or(&self, unless: &str) -> Vec<Value> {
        let Self { name, right, verb, most, says, .. } = self;
        let may = |place: usize| {
            let space = format!("variables.{name}[{place}]");
            format!(
                "(size(variables.{name}) <= {place} || ({space} != '' && {right}.namespace({space}).check('{verb}').allowed()))"
            )
        };
        let held = |first: usize| {
            let each = (first..(first + CHECKS_PER_EXPRESSION).min(*most)).map(may);
            json!({
                "expression": format!(
                    "({unless}) || size(variables.{name}) <= {first} || variables.{name}Everywhere || ({})",
                    each.collect::<Vec<_>>().join(" && ")
                ),
                "messageExpression": format!(
                    "'{says} in the namespaces: ' + variables.{name}.map(space, \
                     space == '' ? '(all: one is named without its namespace)' : space).join(', ')"
                ),
                "reason": "Forbidden",
            })
        };
        let few = json!({
            "expression": format!("({unless}) || size(variables.{name}) <= {most} || variables.{name}Everywhere"),
            "message": format!("{says} in all namespaces, where they are in more than {most}"),
            "reason": "Forbidden",
        });
        (0..*most).step_by(CHECKS_PER_EXPRESSION).map(held).chain([few]).collect()
    }
}

/// Whether a field is as it was.
fn unchanged(field: &str) -> String {
    format!(
        "oldObject != null && has(oldObject.spec.{field}) && oldObject.spec.{field} == object.spec.{field}"
    )
}

/// Who may decide about users at the edge.
fn may_route(field: &str) -> Value {
    routes(
        field,
        &format!("size(object.spec.{field}) == 0"),
        &format!("{field} decide about users at the edge"),
    )
}

/// Asks for the verb that users' requests take, for a field that is there and has something to say.
fn routes(field: &str, says_nothing: &str, because: &str) -> Value {
    json!({
        "expression": format!(
            "!has(object.spec.{field}) || {says_nothing} || ({}) \
             || authorizer.group('canaryctl.io').resource('lanes').check('route').allowed()",
            unchanged(field)
        ),
        "message": format!("{because}: that takes the verb `route` on lanes.canaryctl.io"),
        "reason": "Forbidden",
    })
}

fn lanes() -> Vec<Value> {
    let unchanged = format!("!has(object.spec.members) || ({})", unchanged("members"));
    let mirror = routes("mirror", "object.spec.mirror == 0.0", "a mirror has all users' requests copied");
    [vec![may_route("rules"), mirror], MEMBERS.held_or(&unchanged)].concat()
}

fn releases() -> Vec<Value> {
    let rights = RELEASED.held_or("oldObject != null && oldObject.spec == object.spec");
    let jobs = JOBS.held_or(&unchanged("steps"));
    [vec![may_route("rules"), may_route("steps")], rights, jobs].concat()
}

/// What is true of a Takeover that has no Service of its own: that gets no copies, no Service by its selector, and has
/// no connections to hand on.
const NONE_OF_ITS_OWN: &str = "(!has(object.spec.mode) || object.spec.mode != 'mirror') && \
                               (!has(object.spec.by) || object.spec.by != 'selector') && \
                               (!has(object.spec.connections) || size(object.spec.connections) == 0) || ";

fn takeovers() -> Vec<Value> {
    let may = |besides: &str, verb: &str, resource: &str, words: &str| {
        json!({
            "expression": format!("oldObject != null || {besides}authorizer.group(''){resource}.namespace(request.namespace).check('{verb}').allowed()"),
            "messageExpression": format!("'a takeover takes the right to {verb} {words} in namespace ' + request.namespace"),
            "reason": "Forbidden",
        })
    };
    vec![
        json!({
            "expression": "oldObject != null || object.spec.owner.user == request.userInfo.username",
            "messageExpression": "'spec.owner.user is ' + object.spec.owner.user + ', but you are ' + request.userInfo.username",
            "reason": "Forbidden",
        }),
        may("", "create", ".resource('pods').subresource('portforward')", "pods/portforward"),
        may("", "update", ".resource('services')", "services"),
        // The controller makes one of the Takeover's name.
        may(NONE_OF_ITS_OWN, "create", ".resource('services')", "services"),
    ]
}

/// A policy for a resource of ours, with its variables, and its binding.
fn policy(name: &str, resource: &str, variables: &[Value], validations: &[Value]) -> [Value; 2] {
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
                "variables": variables,
                "validations": validations,
            },
        }),
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}
