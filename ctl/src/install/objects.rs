//! Every object of an installation but the filter's plugins, as JSON, in the order they are applied.

use serde_json::{Value, json};

use super::{Plan, webhook};
use crate::names::{CONTROLLER, DEVELOPER, FILTER_SERVER, KEYS, NOTIFY, SETTINGS, TRACE};

/// Where the controller serves health and metrics.
const CONTROLLER_PORT: u16 = 8080;
/// Where the filter's server listens.
pub(super) const FILTER_PORT: u16 = 8080;
/// Pods of the controller, and of the filter's server.
pub(super) const REPLICAS: u32 = 2;
/// Nobody: the user that our containers run as.
const USER: u32 = 65532;

/// The namespace. Nothing in it is meshed: a sidecar that waits for the filter must not be what serves it.
pub(super) fn namespace(plan: &Plan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": plan.namespace,
            "labels": plan.labels(&[("istio-injection", "disabled")]),
        },
    })
}

/// The controller's account and what it may do.
pub(super) fn rights(plan: &Plan) -> Vec<Value> {
    let namespace = plan.namespace.as_str();
    let root = plan.installation.presence.root_namespace.as_str();
    let account = json!({"kind": "ServiceAccount", "name": CONTROLLER, "namespace": namespace});
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let read = ["get", "list", "watch"];
    let mut cluster_rules = vec![
        // A release makes its lane and ends it.
        rule("canaryctl.io", &["lanes"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("canaryctl.io", &["lanes"], &["route"]),
        rule("canaryctl.io", &["releases"], &["get", "list", "watch", "patch"]),
        // Those whose agent is gone are ended.
        rule("canaryctl.io", &["takeovers"], &["get", "list", "watch", "patch", "delete"]),
        rule("canaryctl.io", &["lanes/status", "releases/status", "takeovers/status"], &["patch"]),
        // What happens is told as Events: of what lies in no namespace, in `default`.
        rule("events.k8s.io", &["events"], &["create", "patch"]),
        rule("", &["namespaces"], &read),
        // Copies of a service's requests go to a Service of their own, which goes with its Takeover; outside the mesh a
        // service leads to an agent by its selector and an EndpointSlice, and in it connections go on to a service's own
        // pods by a Service without a selector and EndpointSlices.
        rule("", &["services"], &["get", "list", "watch", "create", "patch"]),
        rule("discovery.k8s.io", &["endpointslices"], &["get", "list", "create", "patch", "delete"]),
        rule("apps", &["statefulsets", "daemonsets"], &read),
        // A release gives Deployments images, and makes and deletes those that serve its lane.
        rule("apps", &["deployments"], &["get", "list", "watch", "create", "patch", "delete"]),
        // Steps of a release run Jobs, also such as CronJobs describe.
        rule("batch", &["jobs"], &["get", "create", "delete"]),
        rule("batch", &["cronjobs"], &["get"]),
        rule("gateway.networking.k8s.io", &["httproutes"], &read),
        // Lane pods get the label by which proxies prefer them, and one condition; no other field of a pod is touched.
        rule("", &["pods"], &["get", "list", "watch", "patch"]),
        rule("", &["pods/status"], &["patch"]),
        rule(
            "networking.istio.io",
            &["virtualservices", "destinationrules"],
            &["get", "list", "watch", "create", "update", "patch", "delete"],
        ),
        // Presence is an installation's: the controller changes what plugins say, never which there are.
        rule("extensions.istio.io", &["wasmplugins"], &["get", "list", "watch", "patch", "update"]),
    ];
    let mut own_rules = vec![
        json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [SETTINGS], "verbs": ["get"]}),
        json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": [KEYS, NOTIFY], "verbs": ["get"]}),
        // It says until when every proxy has the key, and removes what no run wants any more.
        json!({
            "apiGroups": [""], "resources": ["secrets"],
            "resourceNames": [TRACE], "verbs": ["get", "list", "watch", "patch", "delete"],
        }),
        rule("coordination.k8s.io", &["leases"], &["create"]),
        json!({
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
            "resourceNames": [CONTROLLER], "verbs": ["get", "update"],
        }),
    ];
    if plan.webhook {
        let (in_cluster, own) = webhook::rights();
        cluster_rules.push(in_cluster);
        own_rules.push(own);
    }
    // Which proxies have what, only istiod knows, and it tells callers from its own host.
    let root_rules = [
        // Each revision of it has its settings in a ConfigMap called after it.
        rule("", &["configmaps"], &["get"]),
        rule("", &["pods/portforward"], &["create", "get"]),
    ];
    let role = |namespace: &str, rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": CONTROLLER, "namespace": namespace, "labels": plan.labels(&[])},
            "rules": rules,
        })
    };
    let binding = |namespace: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": CONTROLLER, "namespace": namespace, "labels": plan.labels(&[])},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": CONTROLLER},
            "subjects": [account],
        })
    };
    vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": CONTROLLER, "namespace": namespace, "labels": plan.labels(&[])},
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": CONTROLLER, "labels": plan.labels(&[])},
            "rules": cluster_rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": CONTROLLER, "labels": plan.labels(&[])},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CONTROLLER},
            "subjects": [account],
        }),
        developers(plan),
        role(namespace, json!(own_rules)),
        binding(namespace),
        role(root, json!(root_rules)),
        binding(root),
    ]
}

/// Whoever may edit a namespace may make Takeovers there; what else it takes the API server judges.
fn developers(plan: &Plan) -> Value {
    let labels = [
        ("rbac.authorization.k8s.io/aggregate-to-admin", "true"),
        ("rbac.authorization.k8s.io/aggregate-to-edit", "true"),
    ];
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": DEVELOPER, "labels": plan.labels(&labels)},
        "rules": [{
            "apiGroups": ["canaryctl.io"], "resources": ["takeovers"],
            "verbs": ["get", "list", "watch", "create", "delete"],
        }],
    })
}

/// The filter's server: leaderless, so that a proxy that starts always finds one.
pub(super) fn filter_server(plan: &Plan) -> Vec<Value> {
    let port = json!({"name": "http", "port": FILTER_PORT, "targetPort": "http"});
    let container = container(plan, &["filter", "serve", "--listen", "0.0.0.0:8080"], "/healthz", &[]);
    vec![
        deployment(plan, FILTER_SERVER, "default", container),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": FILTER_SERVER, "namespace": plan.namespace, "labels": plan.labels(&[])},
            "spec": {"selector": selector(FILTER_SERVER), "ports": [port]},
        }),
        disruption_budget(plan, FILTER_SERVER),
    ]
}

/// The controller: one of two writes, the other waits.
pub(super) fn controller(plan: &Plan) -> Vec<Value> {
    let env = [
        json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        json!({"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
    ];
    let collect = collect_after(plan);
    let mut args = vec!["controller", "--listen", "0.0.0.0:8080", "--collect-after", &collect];
    let answers_at = format!("0.0.0.0:{}", webhook::PORT);
    if plan.webhook {
        args.extend(["--webhook", &answers_at]);
    }
    let mut container = container(plan, &args, "/readyz", &env);
    if plan.webhook
        && let Some(ports) = container["ports"].as_array_mut()
    {
        ports.push(json!({"name": webhook::PORT_NAME, "containerPort": webhook::PORT}));
    }
    vec![deployment(plan, CONTROLLER, CONTROLLER, container), disruption_budget(plan, CONTROLLER)]
}

/// How long the controller keeps what no route leads to, as its flag takes it.
pub(super) fn collect_after(plan: &Plan) -> String {
    format!("{}s", plan.collect_after.as_secs())
}

/// What a pod of ours needs and may have.
pub(super) fn resources() -> Value {
    json!({"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}})
}

pub(super) fn selector(name: &str) -> Value {
    json!({"app.kubernetes.io/name": name})
}

fn container(plan: &Plan, args: &[&str], ready: &str, env: &[Value]) -> Value {
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 2});
    json!({
        "name": "canaryctl",
        "image": plan.image,
        "args": args,
        "env": env,
        "ports": [{"name": "http", "containerPort": CONTROLLER_PORT}],
        "readinessProbe": probe(ready),
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "failureThreshold": 6,
        },
        "resources": resources(),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    })
}

fn deployment(plan: &Plan, name: &str, account: &str, container: Value) -> Value {
    let spread = json!([{
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(name)},
    }]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": plan.namespace, "labels": plan.labels(&[])},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": selector(name)},
            "template": {
                "metadata": {"labels": plan.labels(&[
                    ("app.kubernetes.io/name", name), ("sidecar.istio.io/inject", "false"),
                ])},
                "spec": {
                    "serviceAccountName": account,
                    "automountServiceAccountToken": account != "default",
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "topologySpreadConstraints": spread,
                    "containers": [container],
                },
            },
        },
    })
}

fn disruption_budget(plan: &Plan, name: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": plan.namespace, "labels": plan.labels(&[])},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": selector(name)}},
    })
}
