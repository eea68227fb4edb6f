//! Somebody has all requests of a service.

use serde_json::json;

use super::*;
use crate::lane::{EXCHANGE, LANE_LABEL};
use crate::service::{Labels, Workload};
use crate::testing::{lane, mesh_of};

fn mesh(exchanged: bool) -> Observed {
    let mut mesh = mesh_of(&[("cart.shop", &["v1", "v2:gray"]), ("web.shop", &["v1"])]);
    for service in &mut mesh.services {
        service.exchanged = exchanged.then(crate::service::Exchanged::default);
        let labels = Labels::from([(LANE_LABEL.into(), EXCHANGE.into())]);
        service.workloads.push(Workload { name: "agent".into(), labels });
    }
    let users = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "entry", "namespace": "shop", "resourceVersion": "1"},
        "spec": {"hosts": ["web"], "http": [
            {"match": [{"uri": {"prefix": "/api"}}], "route": [{"destination": {"host": "web", "subset": "v1"}}]},
            {"route": [{"destination": {"host": "web"}}]},
        ]},
    });
    mesh.virtual_services.push(Object::new(users).expect("an object"));
    mesh
}

fn spec(mesh: &Observed, kind: &str, name: &str) -> Value {
    let all = mesh.virtual_services.iter().chain(&mesh.destination_rules);
    let mut found = all.filter(|object| object.reference().kind == kind && object.name() == name);
    found.next().map_or(Value::Null, |object| object.spec().clone())
}

#[test]
fn what_no_lane_claims_goes_to_who_has_everything_and_what_asks_for_the_baseline_does_not() {
    let mut mesh = mesh(true);
    let plan = planned(&[lane("gray")], &mesh);
    carry_out(&mut mesh, &plan);
    let destination = |subset: &str| {
        let host = "cart.shop.svc.cluster.local";
        match subset {
            "" => json!([{"destination": {"host": host}}]),
            subset => json!([{"destination": {"host": host, "subset": subset}}]),
        }
    };
    let says = |tag: &str| json!([{"headers": {"x-canary-lane": {"exact": tag}}}]);
    let http = json!([
        {"name": "canary-gray", "match": says("gray"), "route": destination("canary-gray")},
        {"name": "baseline", "match": says("baseline"), "route": destination("")},
        {"name": "exchange", "route": destination("canary--exchange")},
        {"name": "default", "route": destination("")},
    ]);
    assert_eq!(spec(&mesh, "VirtualService", "canaryctl-cart")["http"], http);
    let rule = spec(&mesh, "DestinationRule", "canaryctl-cart");
    let subsets = rule["subsets"].as_array().expect("subsets").iter();
    let keys = |name: &str| {
        let subset = subsets.clone().find(|subset| subset["name"] == name).expect("a subset");
        subset["trafficPolicy"]["loadBalancer"]["localityLbSetting"]["failoverPriority"].clone()
    };
    let own = "lane.canaryctl.io/Exchange=member";
    assert_eq!(keys("canary--exchange"), json!(["lane.canaryctl.io/gray=", own]));
    assert_eq!(
        keys("canary-gray"),
        json!(["lane.canaryctl.io/Exchange=", "lane.canaryctl.io/gray=member"]),
        "a lane falls back past it"
    );
    let web: Vec<Value> = spec(&mesh, "VirtualService", "entry")["http"].as_array().expect("routes").clone();
    let led: Vec<&Value> = web.iter().map(|route| &route["route"][0]["destination"]["subset"]).collect();
    assert_eq!(
        led,
        [
            &json!("v1"),
            &json!("canary--exchange"),
            &json!("v1"),
            &Value::Null,
            &json!("canary--exchange"),
            &Value::Null
        ]
    );
    assert_eq!(web[0]["match"][0]["headers"], json!({"x-canary-lane": {"exact": "baseline"}}));
    assert_eq!((&web[1]["match"], &web[4]["match"]), (&web[2]["match"], &Value::Null));
    assert_eq!(planned(&[lane("gray")], &mesh).changes, [], "that is all");
}

#[test]
fn what_is_left_of_it_is_what_was_there() {
    let before = mesh(false);
    let mut mesh = mesh(true);
    let plan = planned(&[], &mesh);
    carry_out(&mut mesh, &plan);
    assert_ne!(spec(&mesh, "VirtualService", "entry"), spec(&before, "VirtualService", "entry"));
    for service in &mut mesh.services {
        service.exchanged = None;
    }
    let plan = planned(&[], &mesh);
    carry_out(&mut mesh, &plan);
    let text = |mesh: &Observed| spec(mesh, "VirtualService", "entry").to_string();
    assert_eq!(text(&mesh), text(&before));
    assert_eq!(spec(&mesh, "VirtualService", "canaryctl-cart"), Value::Null);
    // Its pod still ends: nobody's requests may meet it.
    let rule = spec(&mesh, "DestinationRule", "canaryctl-cart");
    assert!(rule["subsets"].is_null() && rule.to_string().contains("canaryctl.io/lane="), "{rule}");
}
