use serde_json::json;

use super::*;

fn virtual_service(name: &str, spec: Value) -> Object {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let metadata = json!({"namespace": namespace, "name": name});
    Object::new(json!({"kind": "VirtualService", "metadata": metadata, "spec": spec})).expect("an object")
}

fn rule(name: &str, spec: Value) -> Object {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let metadata = json!({"namespace": namespace, "name": name});
    Object::new(json!({"kind": "DestinationRule", "metadata": metadata, "spec": spec})).expect("an object")
}

fn to(host: &str) -> Value {
    json!([{"destination": {"host": host}}])
}

/// A mesh of these VirtualServices, the oldest first.
fn mesh(virtual_services: Vec<Object>) -> Observed {
    Observed { virtual_services, ..Observed::default() }
}

fn asked(mesh: &Observed, request: &Request) -> Vec<Outcome> {
    outcomes(mesh, &"cart.shop".parse().expect("a host"), request)
}

/// Each outcome as `conditions: who`.
fn told(outcomes: &[Outcome]) -> Vec<String> {
    let who = |taken: &Taken| match taken {
        Taken::Route(route) => {
            let matched = route.matched.as_ref().map_or(String::new(), |one| format!("[{}]", one.index));
            format!("{} http[{}]{matched}", route.virtual_service, route.index)
        }
        Taken::NoRoute { virtual_service } => format!("{virtual_service} 404"),
        Taken::Service => "the Service".into(),
    };
    let line = |outcome: &Outcome| format!("{}: {}", outcome.when.join(", "), who(&outcome.taken));
    outcomes.iter().map(line).collect()
}

fn path(path: &str) -> Request {
    Request { path: path.into(), method: "GET".into(), port: 80, ..Request::default() }
}

#[track_caller]
fn check(virtual_services: Vec<Object>, request: &Request, want: &[&str]) {
    assert_eq!(told(&asked(&mesh(virtual_services), request)), want);
}

#[test]
fn the_first_route_that_matches_takes_it() {
    let routes = json!({"hosts": ["cart"], "http": [
        {"match": [{"headers": {"x-canary-lane": {"exact": "gray"}}}], "route": to("cart")},
        {"match": [{"uri": {"exact": "/x"}}, {"uri": {"prefix": "/items"}}], "route": to("cart")},
        {"route": to("cart")},
    ]});
    let one = || vec![virtual_service("shop/cart", routes.clone())];
    check(one(), &path("/"), &[": shop/cart http[2]"]);
    check(one(), &path("/items/1"), &[": shop/cart http[1][1]"]);
    check(one(), &path("/items/1").tagged("gray"), &[": shop/cart http[0][0]"]);
}

#[test]
fn where_nothing_names_the_host_the_service_takes_it() {
    check(vec![], &path("/"), &[": the Service"]);
    for hosts in [json!(["web"]), json!(["cart.shop"]), json!(["shop.example.com"]), json!([])] {
        let spec = json!({"hosts": hosts, "http": [{"route": to("cart")}]});
        check(vec![virtual_service("shop/other", spec)], &path("/"), &[": the Service"]);
    }
    let at_a_gateway = json!({"hosts": ["cart"], "gateways": ["public"], "http": [{"route": to("cart")}]});
    check(vec![virtual_service("shop/edge", at_a_gateway)], &path("/"), &[": the Service"]);
    let only_tcp = json!({"hosts": ["cart"], "tcp": [{"route": to("cart")}]});
    check(vec![virtual_service("shop/tcp", only_tcp)], &path("/"), &[": the Service"]);
}

#[test]
fn a_request_that_no_route_matches_is_refused() {
    let spec =
        json!({"hosts": ["cart"], "http": [{"match": [{"uri": {"prefix": "/a"}}], "route": to("cart")}]});
    check(vec![virtual_service("shop/cart", spec)], &path("/b"), &[": shop/cart 404"]);
    let for_gateways = json!({"hosts": ["cart"], "gateways": ["mesh", "public"], "http": [
        {"match": [{"gateways": ["public"]}], "route": to("cart")},
    ]});
    check(vec![virtual_service("shop/cart", for_gateways)], &path("/b"), &[": the Service"]);
}

#[test]
fn what_depends_on_the_caller_is_told_before_what_does_not() {
    let spec = json!({"hosts": ["cart"], "http": [
        {"match": [{"sourceLabels": {"app": "job"}, "uri": {"prefix": "/b"}}], "route": to("cart")},
        {"match": [{"sourceNamespace": "front"}], "route": to("cart")},
        {"route": to("cart")},
    ]});
    let label = "the caller's label app is job";
    let want = [
        format!("{label}: shop/cart http[0][0]"),
        "the caller is in namespace front: shop/cart http[1][0]".into(),
        ": shop/cart http[2]".into(),
    ];
    let one = vec![virtual_service("shop/cart", spec)];
    check(one, &path("/b"), &want.each_ref().map(String::as_str));
    let spec = json!({"hosts": ["cart"], "http": [
        {"match": [{"sourceLabels": {"app": "job"}, "uri": {"prefix": "/b"}}], "route": to("cart")},
    ]});
    let one = || vec![virtual_service("shop/cart", spec.clone())];
    check(one(), &path("/a"), &[&format!("{label}: shop/cart 404"), ": the Service"]);
}

#[test]
fn the_most_exact_name_holds_and_of_equals_what_fewer_see_then_the_oldest() {
    let of = |hosts: Value, exports: Value| json!({"hosts": hosts, "exportTo": exports, "http": [{"route": to("cart")}]});
    let all = || json!(["*"]);
    let wide = virtual_service("shop/wide", of(json!(["*.svc.cluster.local"]), all()));
    let wider = virtual_service("shop/wider", of(json!(["*"]), all()));
    let first = virtual_service("shop/a", of(json!(["cart"]), all()));
    let second = virtual_service("shop/b", of(json!(["cart.shop.svc.cluster.local"]), all()));
    let private = virtual_service("front/own", of(json!(["cart.shop.svc.cluster.local"]), json!(["."])));
    let some = virtual_service("shop/some", of(json!(["cart"]), json!(["front", "back"])));
    check(vec![wider.clone(), wide.clone()], &path("/"), &[": shop/wide http[0]"]);
    check(vec![wider.clone(), second, first.clone()], &path("/"), &[": shop/a http[0]"]);
    check(
        vec![first, some, private.clone()],
        &path("/"),
        &[
            "the caller is in namespace front: front/own http[0]",
            "the caller is in namespace back or front: shop/some http[0]",
            ": shop/a http[0]",
        ],
    );
    check(
        vec![wide, private],
        &path("/"),
        &["the caller is in namespace front: front/own http[0]", ": shop/wide http[0]"],
    );
}

#[test]
fn a_delegates_route_is_told_where_it_stands() {
    let root = json!({"hosts": ["cart"], "http": [
        {"match": [{"uri": {"prefix": "/api"}}], "delegate": {"name": "api", "namespace": "team"}},
        {"route": to("cart")},
    ]});
    let delegate = json!({"http": [
        {"match": [{"uri": {"prefix": "/api/v2"}}], "route": to("cart")},
        {"route": to("cart.shop.svc.cluster.local")},
    ]});
    let all =
        || vec![virtual_service("shop/cart", root.clone()), virtual_service("team/api", delegate.clone())];
    check(all(), &path("/api/v2/x"), &[": team/api http[0][0]"]);
    check(all(), &path("/api/v1"), &[": team/api http[1][0]"]);
    check(all(), &path("/"), &[": shop/cart http[1]"]);
    let outcomes = asked(&mesh(all()), &path("/api/v1"));
    let [Outcome { taken: Taken::Route(route), .. }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(route.delegated_by.as_deref(), Some("shop/cart"));
}

fn only_route(observed: &Observed) -> Route {
    match asked(observed, &path("/")).pop().map(|outcome| outcome.taken) {
        Some(Taken::Route(route)) => *route,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_destination_is_told_with_the_labels_of_its_subset() {
    let route = json!([
        {"destination": {"host": "cart", "subset": "v1"}, "weight": 90},
        {"destination": {"host": "cart", "subset": "canary-gray", "port": {"number": 8080}}, "weight": 10},
        {"destination": {"host": "cart.other.example", "weight": 0, "subset": "none"}},
    ]);
    let spec = json!({"hosts": ["cart"], "http": [{"name": "canaryctl-gray-0123abcd", "route": route}]});
    let mut observed = mesh(vec![virtual_service("shop/cart", spec)]);
    let priority = json!({"localityLbSetting": {"failoverPriority": ["lane.canaryctl.io/gray=member"]}});
    let lanes = json!([{"name": "canary-gray", "trafficPolicy": {"loadBalancer": priority}}]);
    observed.destination_rules = vec![
        rule("shop/wide", json!({"host": "*.shop.svc.cluster.local", "subsets": [{"name": "none"}]})),
        rule(
            "istio-system/cart",
            json!({"host": "cart.shop.svc.cluster.local", "subsets": [{"name": "v1"}]}),
        ),
        rule("shop/cart", json!({"host": "cart", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]})),
        rule("shop/ours", json!({"host": "cart.shop.svc.cluster.local", "subsets": lanes})),
    ];
    let found = only_route(&observed);
    assert_eq!(found.lane.as_deref(), Some("gray"));
    assert_eq!(
        serde_json::to_value(&found.destinations).expect("JSON"),
        json!([
            {"host": "cart.shop", "weight": 90, "subset":
                {"name": "v1", "destination_rule": "shop/cart", "labels": {"version": "v1"}}},
            {"host": "cart.shop", "port": 8080, "weight": 10, "subset": {"name": "canary-gray",
                "destination_rule": "shop/ours", "prefers": ["lane.canaryctl.io/gray=member"]}},
            {"host": "cart.other.example", "weight": 0, "subset": {"name": "none", "destination_rule": null}},
        ])
    );
}

#[test]
fn a_route_that_answers_by_itself_leads_nowhere() {
    let spec =
        |route: Value| mesh(vec![virtual_service("shop/cart", json!({"hosts": ["cart"], "http": [route]}))]);
    let refuses = only_route(&spec(json!({"directResponse": {"status": 503}, "route": to("cart")})));
    assert_eq!((refuses.answers, refuses.destinations), (Some(503), vec![]));
    assert!(only_route(&spec(json!({"redirect": {"uri": "/x"}}))).redirects);
}

#[test]
fn copies_are_told_with_their_percentage() {
    let routes = json!({"hosts": ["cart"], "http": [{
        "route": to("cart"),
        "mirror": {"host": "audit"},
        "mirrorPercent": 5,
        "mirrors": [
            {"destination": {"host": "cart", "subset": "canary--mirror-gray"}, "percentage": {"value": 12.5}},
            {"destination": {"host": "all"}},
            {"destination": {"host": "none"}, "percentage": {"value": 0}},
        ],
    }]});
    let outcomes = asked(&mesh(vec![virtual_service("shop/cart", routes)]), &path("/"));
    let Taken::Route(route) = &outcomes[0].taken else { panic!("a route takes it") };
    let told: Vec<_> = route.mirrors.iter().map(|mirror| (mirror.to.host.as_str(), mirror.percent)).collect();
    assert_eq!(told, [("audit.shop", 5.0), ("cart.shop", 12.5), ("all.shop", 100.0)]);
}
