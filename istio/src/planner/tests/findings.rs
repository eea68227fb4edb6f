//! What is found, and what follows: a case per code.

use serde_json::json;

use super::*;
use crate::observed::{HttpRoutes, Namespace, Object, Port};
use crate::testing::{lane, mesh_of, strict};

fn shop() -> Observed {
    mesh_of(&[("web.shop", &["v1", "v2:gray"])])
}

fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Object {
    let value = json!({"apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {"namespace": namespace, "name": name}, "spec": spec});
    Object::new(value).expect("an object")
}

fn with_service(mut observed: Observed, name: &str, spec: Value) -> Observed {
    observed.virtual_services.push(object("VirtualService", "shop", name, spec));
    observed
}

fn with_rule(mut observed: Observed, namespace: &str, name: &str, spec: Value) -> Observed {
    observed.destination_rules.push(object("DestinationRule", namespace, name, spec));
    observed
}

fn with(mut observed: Observed, change: impl FnOnce(&mut ObservedService)) -> Observed {
    change(&mut observed.services[0]);
    observed
}

/// Checks the codes found for lane gray, and that nothing leads to a subset exactly if one of them refuses.
#[track_caller]
fn check(observed: &Observed, want: &[&str]) {
    let plan = planned(&[lane("gray")], observed);
    let codes: Vec<&str> = plan.findings.iter().map(Finding::code).collect();
    assert_eq!(codes, want, "{:?}", plan.findings);
    let refused = plan.findings.iter().any(|finding| finding.severity() == Severity::Refused);
    let routed = plan.changes.iter().any(|change| format!("{change:?}").contains("canary-gray"));
    assert_eq!(routed, !refused, "{:?}", plan.changes);
}

fn to_web(extra: Value) -> Value {
    let mut route = json!({"name": "all", "route": [{"destination": {"host": "web"}}]});
    crate::merge::patch(&mut route, &extra);
    json!({"hosts": ["web"], "http": [route]})
}

#[test]
fn a_plain_service_is_fine() {
    check(&shop(), &[]);
}

#[test]
fn ports_must_carry_http() {
    let port = |name: &str| Port { name: Some(name.into()), number: 80, app_protocol: None, udp: false };
    check(&with(shop(), |web| web.ports = vec![port("tcp")]), &["CC110"]);
    check(&with(shop(), |web| web.ports = vec![port("main")]), &["CC111"]);
    check(&with(shop(), |web| web.ports = vec![port("tcp"), port("http-web")]), &[]);
}

#[test]
fn some_services_are_not_steered() {
    check(&with(shop(), |web| web.headless = true), &["CC112"]);
    check(
        &with(shop(), |web| web.http_routes = HttpRoutes { in_mesh: true, from_gateway: false }),
        &["CC114"],
    );
    check(
        &with(shop(), |web| web.http_routes = HttpRoutes { in_mesh: false, from_gateway: true }),
        &["CC115"],
    );
    let mut ambient = shop();
    ambient.namespaces.insert("shop".into(), Namespace { ambient: true });
    check(&ambient, &["CC113"]);
}

#[test]
fn lanes_alone_leave_no_baseline() {
    check(&with(shop(), |web| drop(web.workloads.remove(0))), &["CC104"]);
}

#[test]
fn virtual_services_that_compete_or_say_nothing() {
    let two = with_service(with_service(shop(), "a", to_web(json!({}))), "b", to_web(json!({})));
    check(&two, &["CC120"]);
    check(&with_service(shop(), "a", json!({"hosts": ["web"], "tcp": []})), &["CC121"]);
    check(&with_service(shop(), "a", json!({"hosts": ["web.shop"], "http": []})), &["CC125"]);
}

#[test]
fn routes_about_the_tag_itself() {
    let mut tagged = to_web(json!({"match": [{"headers": {"x-canary-lane": {"exact": "gray"}}}]}));
    tagged["http"].as_array_mut().expect("routes").push(json!({"route": [{"destination": {"host": "web"}}]}));
    check(&with_service(shop(), "a", tagged), &["CC123"]);
    check(
        &with_service(shop(), "a", to_web(json!({"headers": {"request": {"remove": ["x-canary-lane"]}}}))),
        &["CC124"],
    );
}

#[test]
fn a_partly_exported_service_is_joined_by_ours_for_the_rest() {
    let mut spec = to_web(json!({}));
    spec["exportTo"] = json!(["."]);
    let mut observed = with_service(shop(), "a", spec);
    observed.namespaces.insert("front".into(), Namespace::default());
    check(&observed, &["CC122"]);
    let plan = planned(&[lane("gray")], &observed);
    let ours = plan
        .changes
        .iter()
        .find(|change| change.object.name == "canaryctl-web" && change.phase == Phase::Routes);
    let body = ours.and_then(|change| change.body(None)).expect("ours");
    assert_eq!(body["spec"]["exportTo"], json!(["front"]));
}

#[test]
fn subsets_that_pin_versions() {
    let rule = |labels: Value| json!({"host": "web", "subsets": [{"name": "pinned", "labels": labels}]});
    let pinning = |observed: Observed| {
        with_service(
            observed,
            "a",
            to_web(json!({"route": [{"destination": {"host": "web", "subset": "pinned"}}]})),
        )
    };
    let two = mesh_of(&[("web.shop", &["v1", "v3", "v2:gray"])]);
    check(&pinning(with_rule(two.clone(), "shop", "web", rule(json!({"version": "v1"})))), &["CC130"]);
    check(&pinning(with_rule(shop(), "shop", "web", rule(json!({"version": "v1"})))), &[]);
    check(&pinning(with_rule(two, "shop", "web", rule(json!({"version": "v2"})))), &["CC130", "CC131"]);
}

#[test]
fn rules_that_do_not_hold_for_all_clients() {
    let plain = json!({"host": "web.shop.svc.cluster.local"});
    check(&with_rule(shop(), "front", "web", plain.clone()), &["CC132"]);
    check(&with_rule(shop(), "front", "all", json!({"host": "*.svc.cluster.local"})), &["CC132"]);
    let mut private = plain.clone();
    private["exportTo"] = json!(["."]);
    check(&with_rule(shop(), "shop", "web", private), &["CC133"]);
    let mut selected = plain.clone();
    selected["workloadSelector"] = json!({"matchLabels": {"app": "front"}});
    check(&with_rule(shop(), "shop", "web", selected), &["CC133"]);
    let mut public = plain.clone();
    public["exportTo"] = json!(["*"]);
    check(&with_rule(with_rule(shop(), "shop", "a", plain), "shop", "b", public), &["CC139"]);
}

#[test]
fn a_wider_rule_for_some_clients_is_not_replaced() {
    let subsets = json!([{"name": "v1", "labels": {"version": "v1"}}]);
    let of_root = json!({"host": "*.local", "subsets": subsets});
    let of_some = json!({"host": "*.shop.svc.cluster.local", "exportTo": ["front"]});
    let observed =
        with_rule(with_rule(shop(), "istio-system", "all", of_root.clone()), "shop", "some", of_some);
    check(&observed, &["CC133"]);
    assert_eq!(planned(&[lane("gray")], &observed).changes, []);

    let mut of_root = of_root;
    of_root["exportTo"] = json!(["front"]);
    let observed = with_rule(shop(), "istio-system", "some", of_root);
    check(&observed, &["CC133"]);
    assert_eq!(planned(&[lane("gray")], &observed).changes, []);
}

#[test]
fn policies_under_which_nobody_can_be_preferred() {
    let passthrough = json!({"host": "web", "trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}});
    check(&with_rule(shop(), "shop", "web", passthrough), &["CC134"]);
    let ejecting = json!({"host": "web", "trafficPolicy": {"outlierDetection": {"interval": "5s"}}});
    check(&with_rule(shop(), "shop", "web", ejecting), &["CC135"]);
}

#[test]
fn a_wider_rule_is_copied() {
    let wide = json!({"host": "*.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}});
    check(&with_rule(shop(), "istio-system", "default", wide), &["CC136"]);
}

#[test]
fn names_that_we_need_may_be_taken() {
    let other = json!({"host": "cart"});
    check(&with_rule(shop(), "shop", "canaryctl-web", other), &["CC137"]);
    check(&with_service(shop(), "canaryctl-web", json!({"hosts": ["cart"], "http": []})), &["CC137"]);
    let subset = json!({"host": "web", "subsets": [{"name": "canary-gray", "labels": {"version": "v9"}}]});
    let plan = planned(&[lane("gray")], &with_rule(shop(), "shop", "web", subset));
    assert_eq!(plan.findings.iter().map(Finding::code).collect::<Vec<_>>(), ["CC138"]);
}

#[test]
fn a_refused_service_still_prefers_its_baseline() {
    let observed = with_rule(shop(), "front", "web", json!({"host": "web.shop.svc.cluster.local"}));
    let plan = planned(&[lane("gray")], &observed);
    let [only] = plan.changes.as_slice() else { panic!("one change: {:?}", plan.changes) };
    let body = only.body(None).expect("a body");
    let keys = &body["spec"]["trafficPolicy"]["loadBalancer"]["localityLbSetting"]["failoverPriority"];
    assert_eq!(*keys, json!(["canaryctl.io/lane="]));
}

#[test]
fn a_strict_lane_leaves_databases_alone() {
    let port = Port { name: Some("tcp-postgres".into()), number: 5432, app_protocol: None, udp: false };
    let mut observed = mesh_of(&[("db.shop", &["v1"])]);
    observed.services[0].ports = vec![port];
    assert_eq!(planned(&[strict("only")], &observed), ClusterPlan::default());
}
