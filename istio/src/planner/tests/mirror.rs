//! A lane gets copies of the baseline's requests.

use serde_json::json;

use super::*;
use crate::lane::{EXCHANGE, LANE_LABEL};
use crate::service::{Copies, Labels, Workload};
use crate::testing::{lane, mesh_of};

const HOST: &str = "cart.shop.svc.cluster.local";

fn mirroring(share: u16) -> LaneRouting {
    LaneRouting { mirror: share, ..lane("gray") }
}

fn spec(mesh: &Observed, kind: &str) -> Value {
    let mut all = mesh.virtual_services.iter().chain(&mesh.destination_rules);
    all.find(|object| object.reference().kind == kind).map_or(Value::Null, |object| object.spec().clone())
}

fn mirrors(percent: u32) -> Value {
    json!([{"destination": {"host": HOST, "subset": "canary--mirror-gray"}, "percentage": {"value": percent}}])
}

#[test]
fn a_service_without_routes_of_its_own_gets_one_that_copies() {
    let mut mesh = mesh_of(&[("cart.shop", &["v1", "v2:gray"])]);
    let plan = planned(&[mirroring(1000)], &mesh);
    carry_out(&mut mesh, &plan);
    let route = json!([{"destination": {"host": HOST}}]);
    let lanes = json!([{"headers": {"x-canary-lane": {"exact": "gray"}}}]);
    let http = json!([
        {"name": "canary-gray", "match": lanes, "route": [{"destination": {"host": HOST, "subset": "canary-gray"}}]},
        {"name": "mirror", "match": [{"withoutHeaders": {"x-canary-lane": {}}}], "route": route, "mirrors": mirrors(10)},
        {"name": "default", "route": route},
    ]);
    assert_eq!(spec(&mesh, "VirtualService")["http"], http);
    let plan = planned(&[lane("gray")], &mesh);
    carry_out(&mut mesh, &plan);
    let names: Vec<_> = spec(&mesh, "VirtualService")["http"]
        .as_array()
        .expect("routes")
        .iter()
        .map(|route| route["name"].clone())
        .collect();
    assert_eq!(names, ["canary-gray", "default"]);
}

/// A permissive lane's own subset falls back; there copies would make every write of the baseline happen twice.
#[test]
fn copies_fall_back_to_nobody() {
    let mut mesh = mesh_of(&[("cart.shop", &["v1", "v2:gray"])]);
    let plan = planned(&[mirroring(1000)], &mesh);
    carry_out(&mut mesh, &plan);
    let rule = spec(&mesh, "DestinationRule");
    let subset = |name: &str| {
        let mut all = rule["subsets"].as_array().expect("subsets").iter();
        all.find(|subset| subset["name"] == name).expect("a subset").clone()
    };
    let want = json!({"name": "canary--mirror-gray", "labels": {"canaryctl.io/lane": "gray"}});
    assert_eq!(subset("canary--mirror-gray"), want);
    assert_eq!(subset("canary-gray").get("labels"), None);
}

#[test]
fn copies_begin_once_their_subset_is_there_and_end_before_it_goes() {
    let mut mesh = mesh_of(&[("cart.shop", &["v1", "v2:gray"])]);
    let plan = planned(&[lane("gray")], &mesh);
    carry_out(&mut mesh, &plan);
    let on = planned(&[mirroring(1000)], &mesh);
    let phases = |plan: &ClusterPlan| plan.changes.iter().map(|change| change.phase).collect::<Vec<_>>();
    assert_eq!(phases(&on), [Phase::Subsets, Phase::Routes]);
    carry_out(&mut mesh, &on);
    assert_eq!(phases(&planned(&[lane("gray")], &mesh)), [Phase::Routes, Phase::Collect]);
}

#[test]
fn a_lane_without_members_here_gets_no_copies() {
    let mut mesh = mesh_of(&[("cart.shop", &["v1"])]);
    let plan = planned(&[mirroring(1000)], &mesh);
    carry_out(&mut mesh, &plan);
    assert_eq!(spec(&mesh, "VirtualService"), Value::Null);
}

#[test]
fn who_has_all_requests_has_their_copies_made() {
    let mut mesh = mesh_of(&[("cart.shop", &["v1", "v2:gray"])]);
    for service in &mut mesh.services {
        service.exchanged = Some(crate::service::Exchanged::default());
        let labels = Labels::from([(LANE_LABEL.into(), EXCHANGE.into())]);
        service.workloads.push(Workload { name: "agent".into(), labels });
    }
    let plan = planned(&[mirroring(1000)], &mesh);
    carry_out(&mut mesh, &plan);
    let spec = spec(&mesh, "VirtualService");
    let routes = spec["http"].as_array().expect("routes").iter();
    let copying: Vec<_> = routes.filter(|route| !route["mirrors"].is_null()).collect();
    assert_eq!(copying.len(), 1);
    assert_eq!((&copying[0]["name"], &copying[0]["mirrors"]), (&json!("exchange"), &mirrors(10)));
}

fn copied(mesh: &mut Observed, share: u16) {
    let to = "cart-mirror-alice.shop".parse().expect("host");
    mesh.services[0].copies = vec![Copies { to, share }];
}

/// Nothing of the service's own is there for it: no subset, no rule, no label.
#[test]
fn another_service_gets_copies_by_a_route_alone_and_all_of_it_goes_again() {
    let mut mesh = mesh_of(&[("cart.shop", &["v1"])]);
    copied(&mut mesh, 2500);
    let plan = planned(&[], &mesh);
    let phases: Vec<_> = plan.changes.iter().map(|change| change.phase).collect();
    assert_eq!((phases, plan.pod_labels), (vec![Phase::Routes], vec![]));
    let plan = planned(&[], &mesh);
    carry_out(&mut mesh, &plan);
    let route = json!([{"destination": {"host": HOST}}]);
    let to = json!({"host": "cart-mirror-alice.shop.svc.cluster.local"});
    let mirrors = json!([{"destination": to, "percentage": {"value": 25}}]);
    let http = json!([
        {"name": "mirror", "match": [{"withoutHeaders": {"x-canary-lane": {}}}], "route": route, "mirrors": mirrors},
        {"name": "default", "route": route},
    ]);
    assert_eq!(spec(&mesh, "VirtualService")["http"], http);
    mesh.services[0].copies.clear();
    let plan = planned(&[], &mesh);
    carry_out(&mut mesh, &plan);
    assert_eq!(mesh.virtual_services, []);
}

#[test]
fn lanes_get_their_copies_before_other_services_do() {
    let mut mesh = mesh_of(&[("cart.shop", &["v1", "v2:gray"])]);
    copied(&mut mesh, 10_000);
    let plan = planned(&[mirroring(1000)], &mesh);
    carry_out(&mut mesh, &plan);
    let spec = spec(&mesh, "VirtualService");
    let all = spec["http"][1]["mirrors"].as_array().expect("mirrors").clone();
    assert_eq!(all[0], mirrors(10)[0]);
    assert_eq!(all[1]["destination"], json!({"host": "cart-mirror-alice.shop.svc.cluster.local"}));
}
