use serde_json::json;

use super::*;

const HOST: HostName = HostName { namespace: "shop", name: "db" };

fn led(kind: &str, routes: &Value, covers: bool) -> Option<String> {
    let object = Object::new(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "db", "namespace": "shop"}, "spec": {kind: routes},
    }));
    let connections = Connections { host: HOST, ports: &BTreeSet::from([5432, 6379]) };
    connections.led_past(&object.expect("an object"), covers)
}

/// Checks the routes of a VirtualService for the service itself.
#[track_caller]
fn check(routes: Value, want: Option<&str>) {
    assert_eq!(led("tcp", &routes, true).as_deref(), want, "{routes}");
}

fn to(destination: Value) -> Value {
    json!([{"destination": destination}])
}

#[test]
fn the_service_itself_is_not_past_it() {
    check(json!([{"route": to(json!({"host": "db"}))}]), None);
    check(json!([{"route": to(json!({"host": "db", "port": {"number": 5432}, "subset": ""}))}]), None);
    check(
        json!([{"route": to(json!({"host": "db.shop.svc.cluster.local", "port": {"number": 6379}}))}]),
        None,
    );
    check(json!([{"match": [{"port": 5432}]}]), None);
    let after_none =
        json!([{"match": [{"port": 5432}], "route": []}, {"route": to(json!({"host": "legacy"}))}]);
    check(after_none, Some("legacy"));
    check(json!(null), None);
}

#[test]
fn a_subset_another_port_and_another_host_are() {
    check(json!([{"route": to(json!({"host": "db", "subset": "v1"}))}]), Some("subset v1"));
    check(json!([{"route": to(json!({"host": "db", "port": {"number": 80}}))}]), Some("port 80"));
    check(json!([{"route": to(json!({"host": "db.shop"}))}]), Some("db.shop"));
    check(json!([{"route": to(json!({"host": "legacy"}))}]), Some("legacy"));
    let tls = json!([{"match": [{"sniHosts": ["db"]}], "route": to(json!({"host": "legacy"}))}]);
    assert_eq!(led("tls", &tls, true).as_deref(), Some("legacy"));
}

#[test]
fn what_other_ports_and_gateways_do_is_their_business() {
    let legacy = || to(json!({"host": "legacy"}));
    check(json!([{"match": [{"port": 80}], "route": legacy()}]), None);
    check(json!([{"match": [{"gateways": ["public"]}], "route": legacy()}]), None);
    check(json!([{"match": [{"gateways": ["public"]}, {"port": 6379}], "route": legacy()}]), Some("legacy"));
    check(json!([{"match": [{"port": 80}], "route": to(json!({"host": "db", "subset": "v1"}))}]), None);
    let there = || to(json!({"host": "db", "subset": "v1", "port": {"number": 80}}));
    check(json!([{"match": [{"port": 80}], "route": there()}]), None);
    check(json!([{"route": there()}]), Some("subset v1"));
}

#[test]
fn the_first_that_takes_everything_at_a_port_is_the_last() {
    let first = |conditions: Value| {
        json!([
            {"match": [conditions, {"port": 6379}], "route": to(json!({"host": "db"}))},
            {"route": to(json!({"host": "legacy"}))},
        ])
    };
    check(first(json!({"port": 5432})), None);
    check(first(json!({"port": 5432, "sourceLabels": {}})), None);
    check(first(json!({"port": 5432, "sourceLabels": {"app": "front"}})), Some("legacy"));
    check(first(json!({"port": 80})), Some("legacy"));
}

#[test]
fn a_destination_without_weight_beside_others_has_nothing() {
    let (db, legacy) = (json!({"host": "db"}), json!({"host": "legacy"}));
    let weighing = |weight: u8| {
        let route = json!([{"destination": db, "weight": 100}, {"destination": legacy, "weight": weight}]);
        json!([{"route": route}])
    };
    check(weighing(0), None);
    check(weighing(1), Some("legacy"));
}

#[test]
fn somebody_elses_routes_matter_where_they_lead_to_a_subset() {
    let of_other = |destination: Value| led("tcp", &json!([{"route": to(destination)}]), false);
    assert_eq!(of_other(json!({"host": "legacy"})), None);
    assert_eq!(of_other(json!({"host": "db", "port": {"number": 80}})), None);
    assert_eq!(of_other(json!({"host": "db", "subset": "v1"})).as_deref(), Some("subset v1"));
    let at = |port: u16| of_other(json!({"host": "db", "subset": "v1", "port": {"number": port}}));
    assert_eq!((at(80), at(5432).as_deref()), (None, Some("subset v1")));
}
