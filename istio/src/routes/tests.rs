use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::lane::LaneRouting;
use crate::matching::Request;
use crate::testing::arbitrary::{http_match, http_routes, request};
use crate::testing::choose;
use crate::testing::{
    child, compiled, header, lane, lanes_of_every_sort, service, services_of_every_sort, strict,
};

mod delegate;
mod mirror;
mod properties;

const PLAIN: &[RootTerms] = &[];

/// What `insert` makes of a list for the lanes, as JSON text so that the order of keys counts too.
fn inserted(http: &[Value], plan: &RoutingPlan) -> Vec<Value> {
    let lanes = LaneHosts::new(plan);
    insert(http, &lanes, &Place { namespace: "shop", roots: PLAIN }).0
}

fn gray_web() -> RoutingPlan {
    compiled(&[lane("gray")], &[service("web.shop", &["v1", "v2:gray"]), service("cart.shop", &["v1"])])
}

/// Checks the routes that come right before the only route given, without their names.
#[track_caller]
fn check(plan: &RoutingPlan, route: Value, want: &[Value]) {
    let mut got = inserted(std::slice::from_ref(&route), plan);
    assert_eq!(got.pop(), Some(route), "the original comes last");
    for copy in &mut got {
        let name = copy.as_object_mut().expect("a route").shift_remove("name").expect("a name");
        assert!(is_ours(name.as_str().expect("text")), "{name}");
    }
    assert_eq!(got, want);
}

#[test]
fn a_route_without_match_gets_one_with_only_the_tag() {
    check(
        &gray_web(),
        json!({"route": [{"destination": {"host": "web"}}]}),
        &[json!({
            "match": [{"headers": {"x-canary-lane": {"exact": "gray"}}}],
            "route": [{"destination": {"host": "web", "subset": "canary-gray"}}],
        })],
    );
}

#[test]
fn each_alternative_of_a_match_gets_the_tag() {
    check(
        &gray_web(),
        json!({
            "name": "api",
            "match": [{"uri": {"prefix": "/api"}, "headers": {"end-user": {"exact": "jo"}}}, {"port": 80}],
            "route": [{"destination": {"host": "web"}}],
        }),
        &[json!({
            "match": [
                {
                    "uri": {"prefix": "/api"},
                    "headers": {"end-user": {"exact": "jo"}, "x-canary-lane": {"exact": "gray"}},
                },
                {"port": 80, "headers": {"x-canary-lane": {"exact": "gray"}}},
            ],
            "route": [{"destination": {"host": "web", "subset": "canary-gray"}}],
        })],
    );
}

#[test]
fn actions_and_unknown_fields_are_copied() {
    let mut route = json!({
        "timeout": "5s",
        "retries": {"attempts": 3},
        "fault": {"abort": {"httpStatus": 500, "percentage": {"value": 1}}},
        "mirror": {"host": "web", "subset": "v2"},
        "headers": {"response": {"remove": ["server"]}},
        "newInIstio": {"of": ["tomorrow"]},
        "route": [{"destination": {"host": "web", "port": {"number": 80}}, "headers": {"request": {"add": {"x-a": "b"}}}}],
    });
    let original = route.clone();
    route["match"] = json!([{"headers": {"x-canary-lane": {"exact": "gray"}}}]);
    route["route"][0]["destination"]["subset"] = "canary-gray".into();
    check(&gray_web(), original, &[route]);
}

#[test]
fn weights_to_other_services_stay() {
    check(
        &gray_web(),
        json!({"route": [
            {"destination": {"host": "web", "subset": "v1"}, "weight": 80},
            {"destination": {"host": "cart", "subset": "v1"}, "weight": 10},
            {"destination": {"host": "shop.example.com"}, "weight": 10},
        ]}),
        &[json!({
            "match": [{"headers": {"x-canary-lane": {"exact": "gray"}}}],
            "route": [
                {"destination": {"host": "web", "subset": "canary-gray"}, "weight": 80},
                {"destination": {"host": "cart", "subset": "v1"}, "weight": 10},
                {"destination": {"host": "shop.example.com"}, "weight": 10},
            ],
        })],
    );
}

#[test]
fn routes_that_reach_no_member_are_left_alone() {
    for route in [
        json!({"redirect": {"uri": "/web"}}),
        json!({"directResponse": {"status": 404}}),
        json!({"delegate": {"name": "web"}}),
        json!({"route": [{"destination": {"host": "cart"}}]}),
        json!({"route": [{"destination": {"host": "web.other.svc.cluster.local"}}]}),
        json!({"route": [{"destination": {"host": "web"}, "weight": 0}, {"destination": {"host": "cart"}, "weight": 100}]}),
        json!({"route": null}),
        json!("nonsense"),
    ] {
        check(&gray_web(), route, &[]);
    }
}

#[test]
fn what_is_behind_a_catch_all_is_left_alone() {
    let http = [
        json!({"route": [{"destination": {"host": "cart"}}]}),
        json!({"match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": {"host": "web"}}]}),
    ];
    assert_eq!(inserted(&http, &gray_web()), http);
}

#[test]
fn a_delegation_without_match_hides_nothing() {
    let http = [json!({"delegate": {"name": "cart"}}), json!({"route": [{"destination": {"host": "web"}}]})];
    assert_eq!(inserted(&http, &gray_web()).len(), 3);
}

#[test]
fn lanes_come_by_name() {
    let plan = compiled(
        &[lane("gray"), child("gray.checkout", "gray"), lane("alice")],
        &[service("web.shop", &["v1", "v2:gray", "v3:alice"])],
    );
    let routes = inserted(&[json!({"route": [{"destination": {"host": "web"}}]})], &plan);
    let subset = |route: &Value| route["route"][0]["destination"]["subset"].as_str().map(str::to_owned);
    let child = crate::plan::SubsetName::of(&crate::testing::lane_name("gray.checkout"));
    let want = [Some("canary-alice"), Some("canary-gray"), Some(child.as_str()), None];
    assert_eq!(routes.iter().map(subset).collect::<Vec<_>>(), want.map(|name| name.map(str::to_owned)));
}

#[test]
fn a_strict_lane_is_refused_where_a_destination_lacks_it() {
    let plan = compiled(
        &[strict("only")],
        &[service("web.shop", &["v1", "v2:only"]), service("cart.shop", &["v1"])],
    );
    let cors = json!({"allowOrigins": [{"exact": "https://example.com"}]});
    check(
        &plan,
        json!({
            "match": [{"uri": {"prefix": "/"}}],
            "corsPolicy": cors,
            "rewrite": {"uri": "/v2"},
            "timeout": "3s",
            "route": [{"destination": {"host": "web"}, "weight": 90}, {"destination": {"host": "cart"}, "weight": 10}],
        }),
        &[json!({
            "match": [{"uri": {"prefix": "/"}, "headers": {"x-canary-lane": {"exact": "only"}}}],
            "corsPolicy": cors,
            "directResponse": {"status": 503},
            "headers": {"response": {"set": {"x-canary-refused": "strict lane only has no member of cart.shop"}}},
        })],
    );
}

#[track_caller]
fn check_notes(route: Value, want: &[Note]) {
    let plan = gray_web();
    let lanes = LaneHosts::new(&plan);
    let http = [route];
    assert_eq!(insert(&http, &lanes, &Place { namespace: "shop", roots: PLAIN }).1, want);
}

#[test]
fn a_route_that_matches_the_tag_is_reported_and_left_alone() {
    let tagged = json!({
        "name": "mine",
        "match": [{"headers": {"X-Canary-Lane": {"exact": "gray"}}}, {"uri": {"prefix": "/"}}],
        "route": [{"destination": {"host": "web"}}],
    });
    check(&gray_web(), tagged.clone(), &[]);
    check_notes(tagged, &[Note::MatchesTag("`mine`".into())]);
    let without = json!({"match": [{"withoutHeaders": {"x-canary-lane": {}}}], "route": [{"destination": {"host": "web"}}]});
    check_notes(without, &[Note::MatchesTag("#1".into())]);
}

#[test]
fn a_route_that_writes_the_tag_is_reported() {
    let at_route = json!({"headers": {"request": {"remove": ["x-canary-lane"]}}, "route": [{"destination": {"host": "web"}}]});
    check_notes(at_route, &[Note::WritesTag("#1".into())]);
    let at_destination = json!({"route": [{"destination": {"host": "web"}, "headers": {"request": {"set": {"x-canary-lane": "a"}}}}]});
    check_notes(at_destination, &[Note::WritesTag("#1".into())]);
}

#[test]
fn a_pinned_subset_is_noted() {
    let route = json!({"name": "api", "route": [{"destination": {"host": "web", "subset": "v1"}}]});
    let host = HostName { namespace: "shop", name: "web" };
    check_notes(route, &[Note::Pins { route: "`api`".into(), host, subset: "v1" }]);
}
