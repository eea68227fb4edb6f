use serde_json::json;

use super::*;
use crate::observed::Speaks;

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn deployment(name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"template": {"metadata": {"labels": labels}}},
    })
}

fn web() -> Value {
    let ports =
        json!([{"name": "http", "port": 80}, {"name": "metrics", "port": 9090, "appProtocol": "tcp"}]);
    service("web", json!({"selector": {"app": "web"}, "ports": ports}))
}

#[test]
fn a_service_gets_the_workloads_that_it_selects() {
    let documents = [
        web(),
        deployment("web-v1", json!({"app": "web", "version": "v1"})),
        deployment("cart-v1", json!({"app": "cart"})),
        json!({"kind": "Pod", "metadata": {"name": "web-owned", "namespace": "shop", "labels": {"app": "web"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-v1-abc"}]}}),
        json!({"kind": "Pod", "metadata": {"name": "web-alone", "namespace": "shop", "labels": {"app": "web"}}}),
        json!({"kind": "Pod", "metadata": {"name": "web-elsewhere", "namespace": "test", "labels": {"app": "web"}}}),
    ];
    let observed = read(documents).expect("manifests").observed;
    let [web] = observed.services.as_slice() else { panic!("one service: {:?}", observed.services) };
    let names: Vec<&str> = web.workloads.iter().map(|workload| workload.name.as_str()).collect();
    assert_eq!(names, ["web-v1", "web-alone"]);
    assert_eq!(web.as_service().port, 80);
    assert_eq!(web.ports[1].speaks(), Speaks::Other);
    assert_eq!(observed.namespaces.keys().collect::<Vec<_>>(), ["shop", "test"]);
}

#[test]
fn labels_that_were_put_on_a_lone_pod_are_not_its_own() {
    let pod = json!({"kind": "Pod", "metadata": {"name": "web-alone", "namespace": "shop",
        "labels": {"app": "web", "canaryctl.io/lane": "gray", "lane.canaryctl.io/gray": "member"},
        "annotations": {"canaryctl.io/labelled": "canaryctl.io/lane,lane.canaryctl.io/gray"}}});
    let observed = read([web(), pod]).expect("manifests").observed;
    assert_eq!(observed.services[0].workloads[0].labels, Labels::from([("app".into(), "web".into())]));
}

#[test]
fn lists_are_opened_and_namespaces_filled_in() {
    let list = json!({"kind": "List", "items": [
        {"kind": "VirtualService", "metadata": {"name": "web"}, "spec": {}},
        {"kind": "Lane", "metadata": {"name": "gray"}},
    ]});
    let manifests = read([list]).expect("manifests");
    assert_eq!(manifests.observed.virtual_services[0].reference().to_string(), "VirtualService default/web");
    assert_eq!(manifests.rest[0].reference().to_string(), "Lane gray");
}

#[test]
fn http_routes_attach_to_a_service_or_to_a_gateway() {
    let route = |parent: Value| {
        json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "shop"},
            "spec": {"parentRefs": [parent], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}})
    };
    let of =
        |parent: Value| read([web(), route(parent)]).expect("manifests").observed.services[0].http_routes;
    let in_mesh = of(json!({"group": "", "kind": "Service", "name": "web"}));
    assert_eq!(in_mesh, HttpRoutes { in_mesh: true, from_gateway: false });
    assert_eq!(of(json!({"name": "public"})), HttpRoutes { in_mesh: false, from_gateway: true });
}

#[test]
fn headless_and_ambient_are_seen() {
    let namespace = json!({"kind": "Namespace", "metadata": {"name": "shop",
        "labels": {"istio.io/dataplane-mode": "ambient"}}});
    let documents =
        [namespace, service("db", json!({"clusterIP": "None", "trafficDistribution": "PreferClose"}))];
    let observed = read(documents).expect("manifests").observed;
    assert!(observed.namespaces["shop"].ambient);
    assert!(observed.services[0].headless);
    assert_eq!(observed.services[0].distribution, Some(Distribution::SameZone));
}

#[test]
fn what_is_no_object_is_refused() {
    let error = read([json!({"spec": {}})]).expect_err("no object");
    assert_eq!(error.to_string(), r#"an object without kind: {"spec":{}}"#);
}
