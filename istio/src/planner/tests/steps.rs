//! Order, conditions and form of changes.

use serde_json::json;

use super::*;
use crate::observed::Object;
use crate::simulate::Conflict;
use crate::testing::{lane, lane_name, mesh_of};

fn shop() -> Observed {
    mesh_of(&[("web.shop", &["v1", "v2:gray"]), ("cart.shop", &["v1", "v2:alice"])])
}

fn route_gray(observed: &mut Observed) {
    let plan = planned(&[lane("gray")], observed);
    carry_out(observed, &plan);
}

fn user_service(version: &str) -> Object {
    Object::new(json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": version},
        "spec": {"hosts": ["web"], "http": [{"name": "all", "route": [{"destination": {"host": "web"}}]}]},
    }))
    .expect("an object")
}

fn lines(plan: &ClusterPlan) -> Vec<String> {
    plan.changes
        .iter()
        .map(|change| format!("{}: {} {}", change.phase, change.verb(), change.object))
        .collect()
}

#[test]
fn subsets_come_first_and_go_last() {
    let mut observed = shop();
    let up = planned(&[lane("gray")], &observed);
    assert_eq!(
        lines(&up),
        [
            "subsets: create DestinationRule shop/canaryctl-cart",
            "subsets: create DestinationRule shop/canaryctl-web",
            "routes: create VirtualService shop/canaryctl-web"
        ]
    );
    carry_out(&mut observed, &up);
    let over = planned(&[lane("alice")], &observed);
    assert_eq!(
        lines(&over),
        [
            "subsets: patch DestinationRule shop/canaryctl-cart",
            "routes: create VirtualService shop/canaryctl-cart",
            "routes: delete VirtualService shop/canaryctl-web",
            "collect: patch DestinationRule shop/canaryctl-web",
        ]
    );
    carry_out(&mut observed, &over);
    for service in &mut observed.services {
        service.workloads.truncate(1);
    }
    let down = planned(&[], &observed);
    assert_eq!(
        lines(&down),
        [
            "routes: delete VirtualService shop/canaryctl-cart",
            "collect: delete DestinationRule shop/canaryctl-cart",
            "collect: delete DestinationRule shop/canaryctl-web"
        ]
    );
}

#[test]
fn a_rule_that_gains_and_loses_subsets_is_written_twice() {
    let mut observed = mesh_of(&[("web.shop", &["v1", "v2:gray", "v3:alice"])]);
    route_gray(&mut observed);
    let over = planned(&[lane("alice")], &observed);
    let rules: Vec<&Change> =
        over.changes.iter().filter(|change| change.object.kind == "DestinationRule").collect();
    let [up, down] = rules.as_slice() else { panic!("two changes: {rules:?}") };
    assert_eq!((up.phase, &up.notes), (Phase::Subsets, &vec!["+ subset canary-alice".to_owned()]));
    assert_eq!((down.phase, &down.notes), (Phase::Collect, &vec!["- subset canary-gray".to_owned()]));
    assert_eq!(down.expects, crate::change::Expects::Planned);
    assert_eq!(down.body(Some("8")).expect("a body")["metadata"]["resourceVersion"], json!("8"));
}

#[test]
fn a_change_expects_what_was_read() {
    let mut observed = shop();
    observed.virtual_services.push(user_service("7"));
    let plan = planned(&[lane("gray")], &observed);
    let edit = plan.changes.iter().find(|change| change.object.name == "web").expect("the edit");
    assert_eq!(edit.body(None).expect("a body")["metadata"], json!({"resourceVersion": "7"}));
    observed.virtual_services = vec![user_service("8")];
    let conflict = apply(&mut observed, edit).expect_err("a conflict");
    assert_eq!(conflict, Conflict::Version("VirtualService shop/web".into()));
}

#[test]
fn changes_read_well_and_serialise_stably() {
    let mut observed = mesh_of(&[("web.shop", &["v1", "v2:gray"])]);
    observed.virtual_services.push(user_service("7"));
    let plan = planned(&[lane("gray")], &observed);
    let text: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
    insta::assert_json_snapshot!(plan.changes);
}

#[test]
fn ours_name_their_lanes_and_owners() {
    let observed = shop();
    let owners = Owners::from([(lane_name("gray"), crate::own::Owner { uid: "1-2".into() })]);
    let lanes = [lane("gray")];
    let desired = Desired { lanes: &lanes, tag_header: &header(), owners: &owners, edge: &[], hops: &[] };
    let plan = plan(&desired, &observed).expect("a plan");
    let body = plan.changes.last().and_then(|change| change.body(None)).expect("a body");
    assert_eq!(
        body["metadata"],
        json!({
            "name": "canaryctl-web",
            "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "canaryctl", "lane.canaryctl.io/gray": "served"},
            "ownerReferences": [{"apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "name": "gray", "uid": "1-2"}],
        })
    );
}

fn plugin(config: &str) -> Value {
    json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "edge", "namespace": "istio-system"}, "spec": {"pluginConfig": config}})
}

#[test]
fn the_edge_lets_go_first_and_takes_up_last() {
    let mut observed = shop();
    observed.edge.push(Object::new(plugin("gray")).expect("an object"));
    let edge = [EdgeObject { wanted: plugin("alice"), narrowed: Some(plugin("none")) }];
    let lanes = [lane("alice")];
    let desired =
        Desired { lanes: &lanes, tag_header: &header(), owners: &Owners::new(), edge: &edge, hops: &[] };
    let plan = plan(&desired, &observed).expect("a plan");
    let phases: Vec<Phase> = plan.changes.iter().map(|change| change.phase).collect();
    assert_eq!(phases.first(), Some(&Phase::EdgeOff));
    assert_eq!(phases.last(), Some(&Phase::EdgeOn));
    carry_out(&mut observed, &plan);
    assert_eq!(observed.edge[0].spec()["pluginConfig"], "alice");
}

#[test]
fn markers_of_the_barrier_stay() {
    let mut observed = mesh_of(&[("web.shop", &["v1", "v2:gray"])]);
    route_gray(&mut observed);
    let marked = crate::with_marker(observed.destination_rules[0].value(), 7);
    observed.destination_rules = vec![Object::new(marked).expect("an object")];
    assert_eq!(planned(&[lane("gray")], &observed).changes, []);
    let next = crate::with_marker(observed.destination_rules[0].value(), 8);
    let names: Vec<&Value> =
        next["spec"]["subsets"].as_array().expect("subsets").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("canary-gray"), &json!("m7"), &json!("m8")]);
}

#[test]
fn what_others_keep_on_our_objects_stays() {
    let mut observed = mesh_of(&[("web.shop", &["v1", "v2:gray"])]);
    route_gray(&mut observed);
    let mut value = observed.virtual_services[0].value().clone();
    value["metadata"]["annotations"] = json!({"audit": "yes"});
    value["metadata"]["labels"]["team"] = json!("a");
    value["spec"]["http"][0]["timeout"] = json!("1s");
    observed.virtual_services = vec![Object::new(value).expect("an object")];
    route_gray(&mut observed);
    let value = observed.virtual_services[0].value();
    assert_eq!(value["metadata"]["annotations"], json!({"audit": "yes"}));
    assert_eq!(value["metadata"]["labels"]["team"], json!("a"));
    assert_eq!(value["spec"]["http"][0].get("timeout"), None, "drift is repaired");
}
