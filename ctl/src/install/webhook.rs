//! The admission webhook's objects. Without them everything works; a wiped route comes back a moment later.

use serde_json::{Value, json};

use super::Plan;
use super::objects::selector;
use crate::names::{self, CONTROLLER, WEBHOOK};
use crate::webhook::certificates::Certificates;
use crate::webhook::{KUBE_SYSTEM, PATH, account};

/// Where a controller answers.
pub(super) const PORT: u16 = 8443;
/// What the port is called.
pub(super) const PORT_NAME: &str = "webhook";
/// The Service's port, to which the API server connects.
const SERVICE_PORT: u16 = 443;
/// How long the API server waits for an answer, in seconds; writes go on without one. Pods come in numbers.
const ROUTES_TIMEOUT_S: u8 = 2;
const PODS_TIMEOUT_S: u8 = 1;

/// What must be there before a controller can answer: the certificates, and the way to it.
pub(super) fn foundation(plan: &Plan, certificates: &Certificates) -> Vec<Value> {
    let mut secret = certificates.secret(&plan.namespace);
    secret["metadata"]["labels"] = plan.labels(&[]);
    // So that Istio never takes it for HTTP in the clear.
    let port = json!({"name": "https", "port": SERVICE_PORT, "targetPort": PORT_NAME});
    vec![
        secret,
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": WEBHOOK, "namespace": plan.namespace, "labels": plan.labels(&[])},
            "spec": {"selector": selector(CONTROLLER), "ports": [port]},
        }),
    ]
}

/// What makes the API server ask. It comes last, and goes first.
pub(super) fn configuration(plan: &Plan, certificates: &Certificates) -> Value {
    let not_in = |key: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": values}]});
    let spared = [KUBE_SYSTEM, &plan.installation.presence.root_namespace, &plan.namespace];
    let not_ours = format!("request.userInfo.username != '{}'", account(&plan.namespace));
    let webhook = |name: &str, timeout_s: u8, rule: Value| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "service": {"name": WEBHOOK, "namespace": plan.namespace, "path": PATH, "port": SERVICE_PORT},
                "caBundle": certificates.ca_bundle(),
            },
            "rules": [rule],
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None",
            "timeoutSeconds": timeout_s,
            "namespaceSelector": not_in("kubernetes.io/metadata.name", &spared),
            "matchConditions": [{"name": "not-by-the-controller", "expression": not_ours}],
        })
    };
    let mut routes = webhook(
        "routes.canaryctl.io",
        ROUTES_TIMEOUT_S,
        json!({
            "apiGroups": ["networking.istio.io"], "apiVersions": ["v1", "v1beta1", "v1alpha3"],
            "operations": ["CREATE", "UPDATE"], "resources": ["virtualservices", "destinationrules"],
            "scope": "Namespaced",
        }),
    );
    routes["objectSelector"] =
        not_in(canary_istio::observed::MANAGED_BY_LABEL, &[canary_istio::observed::MANAGER]);
    let pods = webhook(
        "pods.canaryctl.io",
        PODS_TIMEOUT_S,
        json!({
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
            "scope": "Namespaced",
        }),
    );
    json!({
        "apiVersion": names::ADMISSION_API, "kind": names::WEBHOOK_KIND,
        "metadata": {"name": WEBHOOK, "labels": plan.labels(&[])},
        "webhooks": [routes, pods],
    })
}

/// What the controller may do for it in the whole cluster, and in its own namespace.
pub(super) fn rights() -> (Value, Value) {
    let own = |group: &str, resource: &str| {
        json!({
            "apiGroups": [group], "resources": [resource], "resourceNames": [WEBHOOK], "verbs": ["get", "patch"],
        })
    };
    // Whether there is a webhook is an installation's: the controller keeps its bundle right.
    (own("admissionregistration.k8s.io", "mutatingwebhookconfigurations"), own("", "secrets"))
}
