use std::sync::Arc;

use canary_istio::{Object, simulate};
use canary_rules::settings::MeshSettings;
use canary_rules::signing::{Key, KeyId, KeyRing};
use serde_json::{Value, json};

use super::edit::{account, edit};
use super::known::{Known, stands};
use super::review::Request;
use crate::steer;
use crate::world;

mod over_tls;

/// 2026-01-01T00:00:00Z, when every object here was made.
const BORN: i64 = 1_767_225_600;
const OWN: &str = "canaryctl-system";

fn settings() -> MeshSettings {
    let key = Key::new(KeyId::new("k1").expect("id"), vec![7; 32]).expect("key");
    MeshSettings::new(KeyRing::new([key]).expect("ring"))
}

/// A Lane with gray's member by name, and what the controller has said of it.
fn gray(accepted: &str, programmed: &str) -> Value {
    let condition =
        |kind: &str, status: &str| json!({"type": kind, "status": status, "observedGeneration": 1});
    json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane",
        "metadata": {"name": "gray", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"members": {"stock": {"version": "v2"}}},
        "status": {"conditions": [condition("Accepted", accepted), condition("Programmed", programmed)]},
    })
}

fn deployment(version: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": format!("stock-{version}"), "namespace": "shop"},
        "spec": {"template": {"metadata": {"labels": {"app": "stock", "version": version}}}},
    })
}

fn object(kind: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {"name": "stock", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
    })
}

fn service() -> Value {
    object(
        "VirtualService",
        json!({"hosts": ["stock"], "http": [{"route": [{"destination": {"host": "stock"}}]}]}),
    )
}

fn rule() -> Value {
    object(
        "DestinationRule",
        json!({"host": "stock", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 9}}}}),
    )
}

/// The shop with these objects of users, as the controller leaves it once gray is through.
fn routed(users: &[Value]) -> Vec<Value> {
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "stock", "namespace": "shop"},
            "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 80}]},
        }),
        deployment("v1"),
        deployment("v2"),
        gray("True", "True"),
    ];
    objects.extend_from_slice(users);
    let mut seen =
        world::World { objects: objects.clone() }.see(&world::MeshConfigs::default()).expect("a world");
    for change in steer::course(&seen, &settings(), BORN).plan.changes {
        simulate::apply(&mut seen.observed, &change).expect("no conflict");
    }
    objects
        .retain(|object| !["VirtualService", "DestinationRule"].map(Value::from).contains(&object["kind"]));
    let observed = seen.observed;
    let istio = observed.virtual_services.into_iter().chain(observed.destination_rules);
    objects.extend(istio.map(Object::into_value));
    objects
}

/// A world as a controller knows it, and the Lanes.
struct World {
    known: Arc<Known>,
    lanes: Arc<Vec<Object>>,
}

fn known(objects: Vec<Value>, lane: Option<Value>) -> World {
    let mut objects = objects;
    objects.retain(|object| object["kind"] != "Lane");
    objects.extend(lane);
    let seen = world::World { objects }.see(&world::MeshConfigs::default()).expect("a world");
    let lanes = seen.lanes.clone();
    let known = Known {
        standing: stands(seen, settings().carriers.header, BORN),
        own_namespace: OWN.into(),
        root_namespace: "istio-system".into(),
    };
    World { known: Arc::new(known), lanes: Arc::new(lanes) }
}

fn stored(objects: &[Value], kind: &str) -> Value {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == "stock";
    objects.iter().find(is_it).expect("it is there").clone()
}

/// A write as the API server asks about it.
fn request(operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "uid": "u-1",
        "kind": {"group": "networking.istio.io", "version": "v1", "kind": object["kind"]},
        "namespace": object["metadata"]["namespace"],
        "operation": operation,
        "userInfo": {"username": "system:serviceaccount:argocd:argocd"},
        "object": object,
        "oldObject": old,
        "options": {"kind": "UpdateOptions", "fieldManager": "argocd"},
    })
}

#[track_caller]
fn edited(world: &World, request: &Value) -> Option<Value> {
    let request: Request = serde_json::from_value(request.clone()).expect("a request");
    edit(&request, &world.known, &world.lanes, BORN).expect("a judgement")
}

#[test]
fn a_base_applied_again_is_as_it_was() {
    let objects = routed(&[service(), rule()]);
    for (base, kind) in [(service(), "VirtualService"), (rule(), "DestinationRule")] {
        let live = stored(&objects, kind);
        assert_ne!(live["spec"], base["spec"], "{kind} is edited");
        for lane in [gray("True", "True"), gray("True", "Unknown")] {
            let known = known(objects.clone(), Some(lane));
            let got = edited(&known, &request("UPDATE", &base, &live)).expect("an edit");
            assert_eq!(got["spec"].to_string(), live["spec"].to_string());
            assert_eq!(edited(&known, &request("UPDATE", &live, &live)), None, "{kind} is so already");
        }
    }
}

#[test]
fn a_users_edit_stays_beside_ours() {
    let objects = routed(&[service()]);
    let mut base = service();
    base["spec"]["http"][0]["timeout"] = "3s".into();
    base["metadata"]["labels"] = json!({"team": "a"});
    let request = request("UPDATE", &base, &stored(&objects, "VirtualService"));
    let got = edited(&known(objects, Some(gray("True", "True"))), &request).expect("an edit");
    assert_eq!(got["metadata"]["labels"], json!({"team": "a"}));
    let timeouts =
        got["spec"]["http"].as_array().expect("routes").iter().map(|route| route["timeout"].clone());
    assert_eq!(timeouts.collect::<Vec<_>>(), ["3s", "3s"]);
}

#[test]
fn a_new_object_gets_what_is_programmed_as_the_lane_is_now() {
    let objects = routed(&[]);
    let old_generation = {
        let mut lane = gray("True", "True");
        lane["metadata"]["generation"] = 2.into();
        lane
    };
    let deleted = {
        let mut lane = gray("True", "True");
        lane["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        lane
    };
    let expired = {
        let mut lane = gray("True", "True");
        lane["spec"]["expires"] = "2026-01-01T00:00:00Z".into();
        lane
    };
    for (what, lane, want) in [
        ("programmed", Some(gray("True", "True")), true),
        ("coming", Some(gray("True", "Unknown")), false),
        ("stuck", Some(gray("True", "False")), false),
        ("changed since", Some(old_generation), false),
        ("going", Some(deleted), false),
        ("at its end", Some(expired), false),
        ("gone", None, false),
    ] {
        let known = known(objects.clone(), lane);
        let got = edited(&known, &request("CREATE", &service(), &Value::Null));
        assert_eq!(got.is_some(), want, "{what}");
    }
}

#[test]
fn a_world_that_is_old_by_now_leads_no_lane_that_goes() {
    let objects = routed(&[]);
    let on = known(objects.clone(), Some(gray("True", "True")));
    let gone = known(objects, None);
    let create = request("CREATE", &service(), &Value::Null);
    assert!(edited(&on, &create).is_some());
    assert_eq!(edited(&World { lanes: gone.lanes, ..on }, &create), None);
}

#[test]
fn some_writes_are_nobodys_business() {
    let objects = routed(&[service()]);
    let known = known(objects.clone(), Some(gray("True", "True")));
    let due = request("UPDATE", &service(), &stored(&objects, "VirtualService"));
    assert!(edited(&known, &due).is_some());
    let with = |pointer: &str, value: Value| {
        let mut request = due.clone();
        *request.pointer_mut(pointer).expect("the field") = value;
        request
    };
    let mut going = due.clone();
    going["object"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for (what, request) in [
        ("the controller's own", with("/userInfo/username", account(OWN).into())),
        ("canaryctl's in someone's hands", with("/options/fieldManager", "canaryctl".into())),
        ("a deletion", with("/operation", "DELETE".into())),
        ("a connection", with("/operation", "CONNECT".into())),
        ("of an object that goes", going),
        ("of another kind", with("/kind/kind", "Gateway".into())),
        ("Istio's own", with("/namespace", "istio-system".into())),
        ("Kubernetes' own", with("/namespace", "kube-system".into())),
        ("ours", with("/namespace", OWN.into())),
    ] {
        assert_eq!(edited(&known, &request), None, "{what}");
    }
}

fn pod(labels: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "stock-v2-", "namespace": "shop", "labels": labels},
        "spec": {"containers": []},
    })
}

/// Whether a pod is made with our readiness gate.
fn waits(pod: &Value) -> bool {
    pod["spec"]["readinessGates"] == json!([{"conditionType": "canaryctl.io/arrived"}])
}

#[test]
fn a_members_pod_is_born_with_its_labels() {
    let known = known(routed(&[]), Some(gray("True", "Unknown")));
    let born = |pod: &Value| edited(&known, &request("CREATE", pod, &Value::Null));
    let member = pod(json!({"app": "stock", "version": "v2", "pod-template-hash": "1"}));
    let labelled = born(&member).expect("labels");
    assert_eq!(
        labelled["metadata"]["labels"],
        json!({
            "app": "stock", "version": "v2", "pod-template-hash": "1",
            "canaryctl.io/lane": "gray", "lane.canaryctl.io/gray": "member",
        })
    );
    assert_eq!(
        labelled["metadata"]["annotations"],
        json!({
            "canaryctl.io/labelled": "canaryctl.io/lane,lane.canaryctl.io/gray",
            "canaryctl.io/readiness": "held",
        })
    );
    assert!(waits(&labelled), "{labelled}");
    assert_eq!(born(&labelled), None, "it has them");
    for (what, labels) in [
        ("the baseline's", json!({"app": "stock", "version": "v1"})),
        ("nobody's", json!({"version": "v2"})),
        ("without labels", Value::Null),
    ] {
        assert_eq!(born(&pod(labels)), None, "{what}");
    }
    assert_eq!(
        edited(&known, &request("UPDATE", &member, &member)),
        None,
        "the controller sees to running pods"
    );
    let mut own = member.clone();
    own["metadata"]["labels"]["canaryctl.io/lane"] = "gray".into();
    let annotations = &born(&own).expect("the lane's own key")["metadata"]["annotations"];
    assert_eq!(
        *annotations,
        json!({"canaryctl.io/labelled": "lane.canaryctl.io/gray", "canaryctl.io/readiness": "held"}),
        "what its owner wrote stays"
    );
}

#[test]
fn a_pod_for_a_lane_waits_before_anything_is_known_of_its_workload() {
    let nothing_yet: Vec<Value> =
        routed(&[]).into_iter().filter(|object| object["metadata"]["name"] != "stock-v2").collect();
    let known = known(nothing_yet, Some(gray("True", "True")));
    let born = |labels: Value| edited(&known, &request("CREATE", &pod(labels), &Value::Null));
    for (what, labels) in [
        ("named by a lane", json!({"app": "stock", "version": "v2"})),
        ("of a lane to come", json!({"app": "stock", "canaryctl.io/lane": "blue"})),
        ("of no service", json!({"canaryctl.io/lane": "blue"})),
    ] {
        assert!(born(labels).as_ref().is_some_and(waits), "{what}");
    }
    let agent = json!({"app": "stock", "canaryctl.io/lane": "dev", "canaryctl.io/takeover": "dev"});
    assert_eq!(born(agent), None, "an agent hands on by itself what is not its laptop's");
}

#[test]
fn a_pod_gets_no_label_of_a_lane_that_is_not_accepted() {
    let member = pod(json!({"app": "stock", "version": "v2"}));
    for lane in [Some(gray("False", "False")), None] {
        let known = known(routed(&[]), lane);
        assert_eq!(edited(&known, &request("CREATE", &member, &Value::Null)), None);
    }
}

#[test]
fn what_is_no_object_is_an_error() {
    let world = known(routed(&[]), None);
    let mut nameless = service();
    nameless["metadata"]["name"] = Value::Null;
    let asked: Request =
        serde_json::from_value(request("CREATE", &nameless, &Value::Null)).expect("a request");
    let error = edit(&asked, &world.known, &world.lanes, BORN).expect_err("it has no name");
    assert!(error.to_string().starts_with("an object without metadata.name"), "{error}");
}
