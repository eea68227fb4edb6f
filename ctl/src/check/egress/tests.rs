use canary_istio::plugins::EdgeGateway;
use serde_json::{Value, json};

use super::*;

const SERVED: &str = "http://canaryctl-filter.canaryctl-system.svc.cluster.local:8080/x.wasm";
const REGISTRY: &str = "oci://registry.example/filter@sha256:ab";

fn presence(url: &str) -> Presence {
    let source = || FilterSource { url: url.into(), sha256: "ab".into(), pull_secret: None };
    Presence {
        root_namespace: "istio-system".into(),
        edges: vec![EdgeGateway::ingress()],
        namespaces: Vec::new(),
        gateway_filter: source(),
        sidecar_filter: source(),
    }
}

fn pod(namespace: &str, labels: Value) -> Object {
    let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": namespace, "labels": labels}});
    Object::new(pod).expect("an object")
}

fn meshed() -> Object {
    pod("shop", json!({"app": "web", "security.istio.io/tlsMode": "istio"}))
}

fn policy(namespace: &str, spec: Value) -> NetworkPolicy {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "limits", "namespace": namespace}, "spec": spec,
    });
    serde_json::from_value(policy).expect("a policy")
}

fn judged(url: &str, pod: Object, policies: &[NetworkPolicy]) -> Vec<String> {
    let labels = Labels::from([("team".to_owned(), "mesh".to_owned())]);
    let namespaces = [("canaryctl-system".to_owned(), labels)].into();
    let mut report = Report::default();
    judge(&presence(url), &[pod], policies, &namespaces, &mut report);
    report
        .issues
        .into_iter()
        .map(|issue| format!("{} {} → {}", issue.code, issue.message, issue.mend))
        .collect()
}

/// Whether a pod of shop is cut off from a source by a policy with this `egress`.
#[track_caller]
fn check(url: &str, egress: Value, cut_off: bool) {
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": egress});
    let said = judged(url, meshed(), &[policy("shop", spec)]);
    assert_eq!(said.len(), usize::from(cut_off), "{egress}: {said:?}");
}

#[test]
fn a_policy_that_leaves_the_source_out_is_found() {
    let to = |peer: Value| json!([{"to": [peer]}]);
    check(SERVED, json!([]), true);
    check(SERVED, json!([{}]), false);
    check(SERVED, to(json!({"namespaceSelector": {}})), false);
    check(SERVED, to(json!({"podSelector": {}})), true);
    let named =
        |name: &str| json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
    check(SERVED, to(named("canaryctl-system")), false);
    check(SERVED, to(named("kube-system")), true);
    check(SERVED, to(json!({"namespaceSelector": {"matchLabels": {"team": "mesh"}}})), false);
    let pods = |name: &str| json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}});
    check(SERVED, to(pods("canaryctl-filter")), false);
    check(SERVED, to(pods("other")), true);
    check(REGISTRY, to(json!({"namespaceSelector": {}})), true);
    check(REGISTRY, to(json!({"ipBlock": {"cidr": "10.0.0.0/8"}})), false);
}

#[test]
fn a_port_has_to_be_among_those_allowed() {
    let ports = |ports: Value| json!([{"ports": ports}]);
    check(SERVED, ports(json!([{"port": 8080}])), false);
    check(SERVED, ports(json!([{"port": "http"}])), false);
    check(SERVED, ports(json!([{"port": 8000, "endPort": 9000}])), false);
    check(SERVED, ports(json!([{"protocol": "UDP", "port": 53}])), true);
    check(SERVED, ports(json!([{"port": 443}])), true);
    check(REGISTRY, ports(json!([{"port": 443}])), false);
    check("https://files.example:8443/x#sha256=ab", ports(json!([{"port": 443}])), true);
}

#[test]
fn labels_are_selected_by_expressions_too() {
    let to = |operator: &str, values: Value| {
        let expression = json!({"key": "team", "operator": operator, "values": values});
        json!([{"to": [{"namespaceSelector": {"matchExpressions": [expression]}}]}])
    };
    check(SERVED, to("In", json!(["mesh", "x"])), false);
    check(SERVED, to("NotIn", json!(["mesh"])), true);
    check(SERVED, to("Exists", json!([])), false);
    check(SERVED, to("DoesNotExist", json!([])), true);
}

#[test]
fn only_pods_that_run_the_filter_and_are_bound_count() {
    let deny = || policy("shop", json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    let ingress = policy("shop", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let other =
        policy("shop", json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"]}));
    let open = policy("shop", json!({"podSelector": {}, "egress": [{}]}));
    let gateway = pod("istio-system", json!({"istio": "ingressgateway"}));
    let at_gateway = policy("istio-system", json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    for (pod, policies, found) in [
        (meshed(), vec![deny()], 1),
        (meshed(), vec![ingress], 0),
        (meshed(), vec![other], 0),
        (meshed(), vec![deny(), open], 0),
        (pod("shop", json!({"app": "web"})), vec![deny()], 0),
        (pod("pay", json!({"security.istio.io/tlsMode": "istio"})), vec![deny()], 0),
        (gateway, vec![at_gateway], 1),
    ] {
        assert_eq!(judged(SERVED, pod.clone(), &policies).len(), found, "{pod:?} {policies:?}");
    }
}

#[test]
fn the_finding_says_what_to_allow() {
    let deny = policy("shop", json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    let want = "CC305 NetworkPolicies of shop (limits) do not let pods fetch the filter from \
                http://canaryctl-filter.canaryctl-system.svc.cluster.local:8080/x.wasm: p; one that starts there loses \
                tags → allow egress from shop to namespace canaryctl-system (kubernetes.io/metadata.name: \
                canaryctl-system), TCP port 8080, and to DNS";
    assert_eq!(judged(SERVED, meshed(), &[deny]), [want]);
}
