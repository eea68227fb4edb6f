use serde_json::json;

use super::*;
use crate::planner;
use crate::simulate::apply;
use crate::testing::{header, labels, lane, lane_name, mesh_of, strict};

mod properties;

/// What stands in a mesh with these lanes.
fn standing(observed: &Observed, lanes: &[LaneRouting]) -> Standing {
    Standing::new(observed.clone(), lanes.to_vec(), header())
}

/// Lanes that every proxy has.
fn programmed(names: &[&str]) -> BTreeSet<LaneName> {
    names.iter().map(|name| lane_name(name)).collect()
}

/// Does all that the lanes take.
fn carry_out(observed: &mut Observed, lanes: &[LaneRouting]) {
    let owners = Owners::new();
    let desired = Desired { lanes, tag_header: &header(), owners: &owners, edge: &[], hops: &[] };
    for change in planner::plan(&desired, observed).expect("a plan").changes {
        apply(observed, &change).expect("no conflict");
    }
}

fn object(kind: &str, name: &str, spec: Value) -> Object {
    Object::new(json!({
        "apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
    }))
    .expect("an object")
}

fn service(http: Value) -> Object {
    object("VirtualService", "web", json!({"hosts": ["web"], "http": http}))
}

fn to(host: &str) -> Value {
    json!([{"destination": {"host": host}}])
}

/// `cart` and `web` with gray pods.
fn shop() -> Observed {
    mesh_of(&[("cart.shop", &["v1", "v2:gray"]), ("web.shop", &["v1", "v2:gray"])])
}

/// The shop with a VirtualService, and the lane gray in it.
fn routed(base: &Object) -> (Observed, Object) {
    let mut observed = shop();
    observed.virtual_services.push(base.clone());
    carry_out(&mut observed, &[lane("gray")]);
    let live = stored(&observed, base);
    (observed, live)
}

fn stored(observed: &Observed, object: &Object) -> Object {
    let all = observed.virtual_services.iter().chain(&observed.destination_rules);
    let found = all.into_iter().find(|one| one.reference() == object.reference());
    found.expect("it is there").clone()
}

/// What a list of routes is, each as `subset` or `-`.
fn subsets(object: Option<Value>) -> Vec<String> {
    let object = object.unwrap_or_default();
    let routes = object["spec"]["http"].as_array().into_iter().flatten();
    let subset = |route: &Value| match route["route"][0]["destination"]["subset"].as_str() {
        Some(subset) => subset.to_owned(),
        None => route["directResponse"]["status"].as_u64().map_or("-".into(), |status| status.to_string()),
    };
    routes.map(subset).collect()
}

#[test]
fn a_base_applied_again_gets_its_routes_back() {
    let base = service(json!([{"route": to("web")}]));
    let (observed, live) = routed(&base);
    // Whatever is known of the mesh: what is stored is there.
    for standing in [standing(&observed, &[lane("gray")]), standing(&Observed::default(), &[])] {
        let back = standing.virtual_service(&base, Before::Stored(&live)).expect("an edit");
        assert_eq!(back["spec"].to_string(), live.spec().to_string());
        assert_eq!(standing.virtual_service(&live, Before::Stored(&live)), None, "it is so already");
    }
}

#[test]
fn a_base_applied_again_keeps_its_requests_with_who_has_all_of_them() {
    let base =
        service(json!([{"match": [{"uri": {"prefix": "/api"}}], "route": to("web")}, {"route": to("web")}]));
    let mut observed = shop();
    observed.virtual_services.push(base.clone());
    for service in &mut observed.services {
        service.exchanged = Some(crate::service::Exchanged::default());
        let labels = labels(&[(crate::lane::LANE_LABEL, crate::lane::EXCHANGE)]);
        service.workloads.push(crate::service::Workload { name: "agent".into(), labels });
    }
    carry_out(&mut observed, &[lane("gray")]);
    let live = stored(&observed, &base);
    let copies = ["canary-gray", "-", Exchange::SUBSET, "-"];
    assert_eq!(subsets(Some(live.value().clone())), [copies, copies].concat());
    for standing in [standing(&observed, &[lane("gray")]), standing(&Observed::default(), &[])] {
        let back = standing.virtual_service(&base, Before::Stored(&live)).expect("an edit");
        assert_eq!(back["spec"].to_string(), live.spec().to_string());
        assert_eq!(standing.virtual_service(&live, Before::Stored(&live)), None, "it is so already");
    }
    // One that is just made is led where every proxy is led already.
    let new = object("VirtualService", "web-2", json!({"hosts": ["web"], "http": [{"route": to("cart")}]}));
    let known = standing(&observed, &[lane("gray")]);
    let led = known.virtual_service(&new, Before::Nothing(&programmed(&[])));
    assert_eq!(subsets(led), ["-", Exchange::SUBSET, "-"]);
}

#[test]
fn a_base_applied_again_goes_on_being_copied_while_somebody_has_the_copies() {
    let base = service(json!([{"route": to("web")}]));
    let mut observed = shop();
    observed.virtual_services.push(base.clone());
    let web = observed.services.iter_mut().find(|service| service.host.name() == "web").expect("web");
    web.copies = vec![Copies { to: "web-mirror-alice.shop".parse().expect("host"), share: 2500 }];
    let standing_before = standing(&observed, &[]);
    assert_eq!(standing_before.virtual_service(&base, Before::Stored(&base)), None, "they are just coming");
    carry_out(&mut observed, &[]);
    let live = stored(&observed, &base);
    assert_eq!(live.spec()["http"][0]["mirrors"][0]["percentage"]["value"], 25);
    let known = standing(&observed, &[]);
    let back = known.virtual_service(&base, Before::Stored(&live)).expect("an edit");
    assert_eq!(back["spec"].to_string(), live.spec().to_string());
    assert_eq!(known.virtual_service(&live, Before::Stored(&live)), None, "it is so already");
    let new = object("VirtualService", "web-2", json!({"hosts": ["web"], "http": [{"route": to("web")}]}));
    let led = known.virtual_service(&new, Before::Nothing(&programmed(&[]))).expect("an edit");
    assert_eq!(led["spec"]["http"][0]["mirrors"], live.spec()["http"][0]["mirrors"]);
    // Nobody has them any more.
    let mut ended = observed.clone();
    ended.services.iter_mut().for_each(|service| service.copies.clear());
    assert_eq!(standing(&ended, &[]).virtual_service(&base, Before::Stored(&live)), None);
}

#[test]
fn a_users_edit_stays_and_the_routes_follow_it() {
    let (observed, live) = routed(&service(json!([{"route": to("web")}])));
    let edited = service(json!([
        {"match": [{"uri": {"prefix": "/old"}}], "route": to("elsewhere")},
        {"match": [{"uri": {"prefix": "/api"}}], "route": to("web.shop.svc.cluster.local"), "timeout": "3s"},
        {"route": to("web")},
    ]));
    let got = standing(&observed, &[lane("gray")]).virtual_service(&edited, Before::Stored(&live));
    let got = got.expect("an edit");
    assert_eq!(got["spec"]["http"][1]["timeout"], "3s");
    assert_eq!(got["spec"]["http"][1]["match"][0]["uri"]["prefix"], "/api");
    assert_eq!(subsets(Some(got)), ["-", "canary-gray", "-", "canary-gray", "-"]);
}

#[test]
fn a_lane_that_is_just_coming_is_not_put_in() {
    let base = service(json!([{"route": to("web")}]));
    let mut observed = shop();
    observed.virtual_services.push(base.clone());
    let standing = standing(&observed, &[lane("gray")]);
    assert_eq!(standing.virtual_service(&base, Before::Stored(&base)), None);
    // Programmed elsewhere is not programmed here: nothing of ours leads to this service yet.
    for programmed in [programmed(&[]), programmed(&["gray"])] {
        assert_eq!(standing.virtual_service(&base, Before::Nothing(&programmed)), None);
    }
}

#[test]
fn a_lane_that_was_taken_away_is_not_put_back() {
    let base = service(json!([{"route": to("web")}]));
    let (mut observed, live) = routed(&base);
    let known = standing(&observed, &[lane("gray")]);
    let kept = known.virtual_service(&base, Before::Stored(&live));
    assert_eq!(subsets(kept), ["canary-gray", "-"], "it goes in its order, with the planner's change");
    carry_out(&mut observed, &[]);
    let stored = stored(&observed, &base);
    for known in [known, standing(&observed, &[])] {
        assert_eq!(known.virtual_service(&base, Before::Stored(&stored)), None, "however old what is known");
        // A file that was saved with the lane's routes in it.
        assert_eq!(subsets(known.virtual_service(&live, Before::Stored(&stored))), ["-"]);
    }
}

#[test]
fn a_new_object_gets_the_routes_of_lanes_that_every_proxy_has() {
    let mut observed = shop();
    carry_out(&mut observed, &[lane("gray")]);
    let new =
        service(json!([{"match": [{"uri": {"prefix": "/old"}}], "route": to("old")}, {"route": to("web")}]));
    let standing = standing(&observed, &[lane("gray")]);
    let on = standing.virtual_service(&new, Before::Nothing(&programmed(&["gray"])));
    assert_eq!(subsets(on), ["-", "canary-gray", "-"]);
    assert_eq!(standing.virtual_service(&new, Before::Nothing(&programmed(&[]))), None, "coming or going");
}

#[test]
fn a_lane_is_not_led_further_than_it_was() {
    let (observed, live) = routed(&service(json!([{"route": to("web")}])));
    let edited = service(
        json!([{"match": [{"uri": {"prefix": "/cart"}}], "route": to("cart")}, {"route": to("web")}]),
    );
    let got = standing(&observed, &[lane("gray")]).virtual_service(&edited, Before::Stored(&live));
    assert_eq!(subsets(got), ["-", "canary-gray", "-"], "the controller's next plan does");
}

#[test]
fn a_strict_lane_goes_on_refusing() {
    let base = service(json!([{"route": to("legacy")}, {"route": to("web")}]));
    let mut observed = mesh_of(&[("legacy.shop", &["v1"]), ("web.shop", &["v1", "v2:only"])]);
    observed.virtual_services.push(base.clone());
    carry_out(&mut observed, &[strict("only")]);
    let live = stored(&observed, &base);
    let back = standing(&observed, &[strict("only")]).virtual_service(&base, Before::Stored(&live));
    assert_eq!(subsets(back.clone()), ["503", "-", "-"]);
    assert_eq!(back.expect("an edit")["spec"].to_string(), live.spec().to_string());
}

#[test]
fn a_delegates_routes_agree_with_its_roots() {
    let root = object(
        "VirtualService",
        "root",
        json!({"hosts": ["web"], "http": [{"match": [{"ignoreUriCase": true}], "delegate": {"name": "web"}}]}),
    );
    let base = object("VirtualService", "web", json!({"http": [{"route": to("web")}]}));
    let mut observed = shop();
    observed.virtual_services.extend([root, base.clone()]);
    carry_out(&mut observed, &[lane("gray")]);
    let live = stored(&observed, &base);
    let back = standing(&observed, &[lane("gray")]).virtual_service(&base, Before::Stored(&live));
    let back = back.expect("an edit");
    assert_eq!(back["spec"]["http"][0]["match"][0]["ignoreUriCase"], true);
    assert_eq!(back["spec"].to_string(), live.spec().to_string());
}

#[test]
fn ours_and_what_has_no_routes_are_left_alone() {
    let (observed, live) = routed(&service(json!([{"route": to("web")}])));
    let standing = standing(&observed, &[lane("gray")]);
    for ours in observed.virtual_services.iter().filter(|object| object.is_ours()) {
        assert_eq!(standing.virtual_service(ours, Before::Stored(&live)), None);
        assert_eq!(standing.virtual_service(&live, Before::Stored(ours)), None);
    }
    let tcp = object("VirtualService", "web", json!({"hosts": ["web"], "tcp": []}));
    assert_eq!(standing.virtual_service(&tcp, Before::Stored(&live)), None);
}

fn rule(policy: Value) -> Object {
    object("DestinationRule", "web", json!({"host": "web", "trafficPolicy": policy}))
}

#[test]
fn a_rule_prefers_the_baseline_again() {
    let base = rule(json!({"connectionPool": {"tcp": {"maxConnections": 9}}}));
    let mut observed = shop();
    observed.destination_rules.push(base.clone());
    carry_out(&mut observed, &[]);
    let live = stored(&observed, &base);
    let standing = standing(&observed, &[]);
    let back = standing.destination_rule(&base).expect("a plan").expect("an edit");
    assert_eq!(back["spec"].to_string(), live.spec().to_string());
    assert_eq!(back["metadata"]["annotations"], live.value()["metadata"]["annotations"]);
    assert_eq!(standing.destination_rule(&live), Ok(None), "it is so already");

    let edited = rule(json!({"loadBalancer": {"simple": "RANDOM"}}));
    let got = standing.destination_rule(&edited).expect("a plan").expect("an edit");
    assert_eq!(got["spec"]["trafficPolicy"]["loadBalancer"]["simple"], "RANDOM");
    assert!(got.to_string().contains("canaryctl.io/lane="), "{got}");
}

#[test]
fn a_rule_puts_who_has_connections_first_again_and_nobody_who_had_none() {
    let base = rule(json!({"tls": {"mode": "DISABLE"}}));
    let mut observed = shop();
    observed.destination_rules.push(base.clone());
    let web = observed.services.iter_mut().find(|one| one.host.name() == "web").expect("the service");
    let name = Some("tcp-raw".into());
    web.ports.push(crate::observed::Port { name, number: 9000, app_protocol: None, udp: false });
    web.exchanged = Some(crate::service::Exchanged { ports: [9000].into() });
    let labels = labels(&[(crate::lane::LANE_LABEL, crate::lane::EXCHANGE)]);
    web.workloads.push(crate::service::Workload { name: "agent".into(), labels });
    let ports = |observed: &Observed| {
        let wanted = standing(observed, &[]).destination_rule(&base).expect("a plan").expect("an edit");
        policy::ports_apart(&wanted["spec"]["trafficPolicy"]).collect::<Vec<_>>()
    };
    assert_eq!(ports(&observed), [0; 0], "the planner's is the first word");
    carry_out(&mut observed, &[]);
    assert_eq!(ports(&observed), [9000]);
}

#[test]
fn of_two_rules_the_one_that_is_just_made_is_the_younger() {
    let old = rule(json!({"connectionPool": {}}));
    let mut value = rule(json!({"tls": {"mode": "SIMPLE"}})).into_value();
    value["metadata"]["name"] = "another".into();
    value["metadata"].as_object_mut().expect("metadata").shift_remove("creationTimestamp");
    let new = Object::new(value).expect("an object");
    let mut observed = shop();
    let alone = standing(&observed, &[]).destination_rule(&new);
    let alone = alone.expect("a plan").expect("it rules");
    assert_eq!(alone["metadata"].get("creationTimestamp"), None);
    observed.destination_rules.push(old);
    assert_eq!(standing(&observed, &[]).destination_rule(&new), Ok(None));
}

#[test]
fn a_rule_that_needs_nothing_is_left_alone() {
    let standing = standing(&mesh_of(&[("web.shop", &["v1"])]), &[lane("gray")]);
    assert_eq!(standing.destination_rule(&rule(json!({}))), Ok(None));
    for host in ["other", "*.shop.svc.cluster.local", "web.back.svc.cluster.local"] {
        let rule = object("DestinationRule", "web", json!({"host": host, "trafficPolicy": {"tls": {}}}));
        assert_eq!(standing.destination_rule(&rule), Ok(None), "{host}");
    }
}

#[test]
fn a_pod_of_a_member_needs_its_labels() {
    let mut gray = lane("gray");
    gray.members.insert("web".parse().expect("a service"), labels(&[("version", "v3")]));
    let mut observed = mesh_of(&[("web.shop", &["v1", "v2:gray", "v3"]), ("web.back", &["v3"])]);
    observed.services.truncate(1);
    let standing = standing(&observed, &[gray]);
    let of = |namespace, own: &[(&str, &str)]| standing.pod_labels(namespace, &labels(own)).expect("a plan");
    let member = labels(&[("canaryctl.io/lane", "gray"), ("lane.canaryctl.io/gray", "member")]);
    assert_eq!(of("shop", &[("version", "v3"), ("pod-template-hash", "1")]), member);
    assert_eq!(of("shop", &[("version", "v2"), ("canaryctl.io/lane", "gray")]), member);
    assert_eq!(of("shop", &[("version", "v1")]), Labels::new());
    assert_eq!(of("back", &[("version", "v3")]), Labels::new());
    assert_eq!(of("shop", &[]), Labels::new());
}
