//! Copies of requests of no lane.

use super::*;
use crate::delegates::expand;
use crate::service::Copies;
use crate::testing::delegating;

fn mirroring(share: u16) -> RoutingPlan {
    let gray = LaneRouting { mirror: share, ..lane("gray") };
    compiled(&[gray], &[service("web.shop", &["v1", "v2:gray"]), service("cart.shop", &["v1"])])
}

fn untagged() -> Value {
    json!([{"withoutHeaders": {"x-canary-lane": {}}}])
}

fn to_gray(percent: Value) -> Value {
    json!({"destination": {"host": "web", "subset": "canary--mirror-gray"}, "percentage": {"value": percent}})
}

/// The route that copies requests, of those that come before the only route given.
fn copying(plan: &RoutingPlan, route: &Value) -> Value {
    let routes = inserted(std::slice::from_ref(route), plan);
    let mut found = routes.into_iter().filter(|one| one["name"].as_str().is_some_and(is_mirror));
    let copying = found.next().unwrap_or_default();
    assert_eq!(found.next(), None, "one is enough");
    copying
}

#[track_caller]
fn check_mirrors(share: u16, route: Value, want: Value) {
    assert_eq!(copying(&mirroring(share), &route)["mirrors"], want);
}

#[test]
fn the_route_is_copied_whole_for_requests_without_a_tag() {
    let route = json!({
        "match": [{"uri": {"prefix": "/api"}}, {"withoutHeaders": {"x-debug": {}}}],
        "timeout": "3s",
        "route": [{"destination": {"host": "web", "subset": "v1", "port": {"number": 80}}}],
    });
    let copying = copying(&mirroring(1250), &route);
    let want = json!({
        "name": copying["name"],
        "match": [
            {"uri": {"prefix": "/api"}, "withoutHeaders": {"x-canary-lane": {}}},
            {"withoutHeaders": {"x-debug": {}, "x-canary-lane": {}}},
        ],
        "timeout": "3s",
        "route": route["route"],
        "mirrors": [{
            "destination": {"host": "web", "subset": "canary--mirror-gray", "port": {"number": 80}},
            "percentage": {"value": 12.5},
        }],
    });
    assert_eq!(copying, want);
}

#[test]
fn a_lanes_own_route_comes_first_and_copies_nothing() {
    let route = json!({"route": [{"destination": {"host": "web"}}]});
    let http = inserted(std::slice::from_ref(&route), &mirroring(10_000));
    let names: Vec<_> = http.iter().filter_map(|route| route["name"].as_str()).collect();
    assert_eq!(lane_of(names[0]), Some("gray"));
    assert!(is_mirror(names[1]), "{names:?}");
    assert_eq!(http[0].get("mirrors"), None);
    assert_eq!(http[1]["match"], untagged());
    assert_eq!(http[2], route);
}

#[test]
fn no_lane_no_mirror_and_all_of_it_goes_again() {
    let route = json!({"route": [{"destination": {"host": "web"}}], "mirror": {"host": "cart"}});
    let http = inserted(std::slice::from_ref(&route), &mirroring(10_000));
    assert_eq!(inserted(&http, &mirroring(0)).len(), 2, "the lane's and the original");
    assert_eq!(inserted(&http, &compiled(&[], &[])), std::slice::from_ref(&route));
    assert_eq!(copying(&mirroring(0), &route), Value::Null);
}

#[test]
fn a_mirror_of_the_users_becomes_the_first_of_mirrors() {
    let route = |more: Value| {
        let mut route = json!({"route": [{"destination": {"host": "web"}}], "mirror": {"host": "cart"}});
        route.as_object_mut().expect("a route").extend(more.as_object().expect("fields").clone());
        route
    };
    let first = |percentage: Value| match percentage {
        Value::Null => json!([{"destination": {"host": "cart"}}, to_gray(json!(100))]),
        value => json!([{"destination": {"host": "cart"}, "percentage": value}, to_gray(json!(100))]),
    };
    check_mirrors(10_000, route(json!({})), first(Value::Null));
    check_mirrors(10_000, route(json!({"mirrorPercentage": {"value": 0}})), first(json!({"value": 0})));
    check_mirrors(10_000, route(json!({"mirrorPercent": 5})), first(json!({"value": 5})));
    check_mirrors(10_000, route(json!({"mirror_percent": 0})), first(json!({"value": 0})));
    let both = json!({"mirrorPercent": 5, "mirrorPercentage": {"value": 7.5}});
    check_mirrors(10_000, route(both.clone()), first(json!({"value": 7.5})));
    let copying = copying(&mirroring(10_000), &route(both));
    for key in ["mirror", "mirrorPercent", "mirrorPercentage"] {
        assert_eq!(copying.get(key), None, "{key} beside mirrors");
    }
}

#[test]
fn mirrors_of_the_users_stay_before_ours() {
    let own = json!({"destination": {"host": "cart"}, "percentage": {"value": 1}});
    let route = json!({"route": [{"destination": {"host": "web"}}], "mirrors": [own]});
    check_mirrors(1, route, json!([own, to_gray(json!(0.01))]));
}

#[test]
fn a_part_of_the_requests_is_a_part_of_the_copies() {
    let cart = |weight: u32| json!({"destination": {"host": "cart"}, "weight": weight});
    let web = |subset: &str, weight: u32| json!({"destination": {"host": "web", "subset": subset}, "weight": weight});
    check_mirrors(5000, json!({"route": [web("v1", 25), cart(75)]}), json!([to_gray(json!(12.5))]));
    // Two entries would copy some requests twice.
    let split = json!({"route": [web("v1", 25), web("v2", 15), cart(60)]});
    check_mirrors(10_000, split, json!([to_gray(json!(40))]));
    check_mirrors(1, json!({"route": [web("v1", 1), cart(999)]}), json!([to_gray(json!(0.0001))]));
    assert_eq!(copying(&mirroring(1), &json!({"route": [cart(100)]})), Value::Null);
}

#[test]
fn lanes_share_one_route() {
    let lanes = ["gray", "alice"].map(|name| LaneRouting { mirror: 1000, ..lane(name) });
    let plan = compiled(&lanes, &[service("web.shop", &["v1", "v2:gray", "v3:alice"])]);
    let copying = copying(&plan, &json!({"route": [{"destination": {"host": "web"}}]}));
    let subsets: Vec<_> = copying["mirrors"].as_array().expect("mirrors").iter().collect();
    let subset = |at: usize| &subsets[at]["destination"]["subset"];
    assert_eq!((subset(0), subset(1)), (&json!("canary--mirror-alice"), &json!("canary--mirror-gray")));
}

#[test]
fn an_exchanges_route_copies_by_itself() {
    let mut plan = mirroring(10_000);
    for host in &mut plan.hosts {
        host.exchange = Some(crate::plan::Exchange::new(vec!["agent".into()]));
    }
    let http = inserted(&[json!({"route": [{"destination": {"host": "web"}}]})], &plan);
    let with: Vec<_> = http.iter().filter(|route| !route["mirrors"].is_null()).collect();
    assert_eq!(with.len(), 1);
    assert_eq!(with[0]["route"][0]["destination"]["subset"], "canary--exchange");
    assert_eq!(with[0]["mirrors"], json!([to_gray(json!(100))]));
}

fn roots(mirrors: &[Value]) -> Vec<RootTerms> {
    let text = |list: &Value| if list.is_null() { String::new() } else { list.to_string() };
    mirrors.iter().map(|list| RootTerms { mirrors: text(list), ..RootTerms::default() }).collect()
}

#[track_caller]
fn check_delegate(route: Value, roots: &[RootTerms], want: Option<Value>) {
    let plan = mirroring(10_000);
    let lanes = LaneHosts::new(&plan);
    let delegate = [route];
    let (http, notes) = insert(&delegate, &lanes, &Place { namespace: "shop", roots });
    let found = http.iter().find(|one| one["name"].as_str().is_some_and(is_mirror));
    assert_eq!(found.map(|one| one["mirrors"].clone()), want);
    assert_eq!(notes.contains(&Note::MirrorsApart("#1".into())), want.is_none());
}

#[test]
fn a_delegate_keeps_what_its_roots_copy() {
    let plain = json!({"route": [{"destination": {"host": "web"}}]});
    let theirs = json!([{"destination": {"host": "cart"}}]);
    let both = json!([{"destination": {"host": "cart"}}, to_gray(json!(100))]);
    let ours = json!([to_gray(json!(100))]);
    check_delegate(plain.clone(), &roots(&[Value::Null]), Some(ours.clone()));
    check_delegate(plain.clone(), &roots(&[theirs.clone(), theirs.clone()]), Some(both.clone()));
    check_delegate(plain.clone(), &roots(&[Value::Null, theirs.clone()]), None);
    let mut own = plain.clone();
    own["mirrors"] = theirs.clone();
    check_delegate(own, &roots(&[json!([{"destination": {"host": "x"}}]), Value::Null]), Some(both.clone()));
    let once = [RootTerms { mirrors_once: true, ..RootTerms::default() }];
    check_delegate(plain.clone(), &once, Some(ours));
    let mut own = plain;
    own["mirror"] = json!({"host": "cart"});
    check_delegate(own.clone(), &once, None);
    check_delegate(own, &roots(&[Value::Null]), Some(both));
}

#[test]
fn an_untagged_request_to_a_delegate_is_copied_and_a_tagged_one_is_not() {
    let plan = mirroring(10_000);
    let lanes = LaneHosts::new(&plan);
    let delegate = [json!({"route": [{"destination": {"host": "web"}}]})];
    let terms = [RootTerms { ignore_uri_case: true, ..RootTerms::default() }];
    let edited = insert(&delegate, &lanes, &Place { namespace: "shop", roots: &terms }).0;
    let root = delegating(json!([{"uri": {"prefix": "/api"}, "ignoreUriCase": true}]), "shop", "web");
    let merged = expand([((), &root)], "shop", |_, _| edited.iter().map(|route| ((), route)).collect());
    let http: Vec<Value> = merged.into_iter().map(|((), route)| route).collect();
    let request = Request { path: "/API".into(), ..Request::default() };
    let mirrors = |request: &Request| choose(&http, request).expect("a route")["mirrors"].clone();
    assert_eq!(mirrors(&request), json!([to_gray(json!(100))]));
    for tag in ["gray", "alice", "baseline"] {
        assert_eq!(mirrors(&request.clone().tagged(tag)), Value::Null, "{tag}");
    }
}

#[test]
fn another_services_copies_go_to_the_port_that_was_asked_for_and_to_no_subset() {
    let mut web = service("web.shop", &["v1"]);
    web.copies = vec![Copies { to: "web-mirror-alice.shop".parse().expect("host"), share: 5000 }];
    let plan = compiled(&[], &[web]);
    let destination = json!({"host": "web", "subset": "v1", "port": {"number": 80}});
    let copying = copying(&plan, &json!({"route": [{"destination": destination}]}));
    let to = json!({"host": "web-mirror-alice.shop.svc.cluster.local", "port": {"number": 80}});
    assert_eq!(copying["mirrors"], json!([{"destination": to, "percentage": {"value": 50}}]));
}
