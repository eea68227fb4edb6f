use canary_rules::settings::MeshSettings;
use serde_json::{Value, json};

use super::*;
use crate::steer::{self, Verdict};
use crate::world::{MeshConfigs, Seen, World};

fn takeover(name: &str, born_s: u32, service: &str, user: &str, when: Value) -> Value {
    json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Takeover",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": format!("2026-01-01T11:52:{born_s:02}Z")},
        "spec": {
            "service": service, "ports": [80], "lane": format!("dev-{user}"),
            "rules": [{"when": when, "sticky": false}], "owner": {"user": user, "machine": "laptop"},
        },
    })
}

fn header(value: &str) -> Value {
    json!({"header": {"name": "x-dev", "exact": value}})
}

fn service(name: &str) -> [Value; 2] {
    [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}, {"name": "http-b", "port": 81}]},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"template": {"metadata": {"labels": {"app": name}}}},
        }),
    ]
}

fn seen(more: Vec<Value>) -> Seen {
    let objects = [service("cart"), service("stock")].concat().into_iter().chain(more).collect();
    World { objects }.see(&MeshConfigs::default()).expect("a world")
}

/// Why a Takeover is refused, in a word and in words; nothing where it is on.
#[track_caller]
fn ruling(seen: &Seen, name: &str) -> Option<(&'static str, String)> {
    match &seen.derived.rulings[&("shop".to_owned(), name.to_owned())] {
        Ruling::On(_) => None,
        Ruling::Going => Some(("Going", String::new())),
        Ruling::Refused(refusal) => Some((refusal.reason, refusal.message.clone())),
    }
}

#[track_caller]
fn check(more: Vec<Value>, name: &str, reason: &str, says: &str) {
    let (found, message) = ruling(&seen(more), name).expect("refused");
    assert_eq!(found, reason, "{message}");
    assert!(message.contains(says), "{message}");
}

#[test]
fn different_rules_are_beside_each_other_on_one_service() {
    let all = seen(vec![
        takeover("a", 1, "cart", "alice", header("alice")),
        takeover("b", 2, "cart", "bob", header("bob")),
    ]);
    assert_eq!((ruling(&all, "a"), ruling(&all, "b")), (None, None));
    let lanes: Vec<&str> = all.all_lanes().map(|lane| lane.name()).collect();
    assert_eq!(lanes, ["dev-alice", "dev-bob"]);
}

#[test]
fn of_two_that_claim_one_request_the_older_has_it() {
    // That they do cannot be told beforehand, and its name comes last.
    let mut younger = takeover("b", 2, "cart", "bob", json!({"header": {"name": "x-dev", "in": ["alice"]}}));
    younger["spec"]["lane"] = "dev-a".into();
    let all = seen(vec![takeover("a", 1, "cart", "alice", header("alice")), younger]);
    let priority = |name: &str| {
        let lane = all.all_lanes().find(|lane| lane.name() == name).expect("a lane");
        lane.spec()["priority"].as_i64().expect("a number")
    };
    assert!(priority("dev-alice") > priority("dev-a"));
    assert!(priority("dev-alice") < 0, "below what people write");
}

#[test]
fn a_link_of_each_takeover_leads_into_the_lane_and_is_kept_to() {
    let with_uid = |mut takeover: Value, uid: &str| {
        takeover["metadata"]["uid"] = uid.into();
        takeover
    };
    let cart = with_uid(takeover("a", 1, "cart", "alice", header("alice")), "u-1");
    let stock = with_uid(takeover("b", 2, "stock", "alice", header("alice")), "u-2");
    let all = seen(vec![cart, stock]);
    let lane = all.all_lanes().next().expect("a lane");
    let link = |uid: &str| json!({"when": {"query": {"name": "dev-link", "exact": uid}}});
    let own = json!({"when": header("alice"), "sticky": false});
    assert_eq!(lane.spec()["rules"], json!([own, link("u-1"), link("u-2")]));
    assert_eq!((ruling(&all, "a"), ruling(&all, "b")), (None, None));
}

#[test]
fn the_lane_of_a_takeover_is_a_developers() {
    let mut green = takeover("a", 1, "cart", "alice", header("alice"));
    green["spec"]["lane"] = "green".into();
    check(vec![green], "a", "Invalid", "its lane must be called dev-…, and not green");
}

#[test]
fn the_younger_of_two_with_one_rule_is_refused_and_told_whose_it_is() {
    let both = |bobs: Value| {
        vec![takeover("b", 2, "cart", "bob", bobs), takeover("a", 1, "cart", "alice", header("dev"))]
    };
    let says = "alice has shop/cart since 2026-01-01T11:52:01Z with the same rule (header x-dev = dev)";
    check(both(header("dev")), "b", "Taken", says);
    check(both(json!({"header": {"name": "X-Dev", "exact": "dev"}})), "b", "Taken", says);
    let more = json!({"header": {"name": "x-dev", "exact": "dev"}, "cookie": {"name": "a", "exact": "1"}});
    check(both(more.clone()), "b", "Taken", says);
    check(both(json!({"all": [header("dev"), {"cookie": {"name": "a", "exact": "1"}}]})), "b", "Taken", says);
    assert_eq!(ruling(&seen(both(more)), "a"), None, "the older one stays");
}

#[test]
fn a_lane_has_one_owner_and_one_rule_whatever_the_service() {
    let stock = |user: &str, value: &str| {
        let mut second = takeover("second", 2, "stock", "alice", header(value));
        second["spec"]["owner"]["user"] = user.into();
        vec![takeover("first", 1, "cart", "alice", header("alice")), second]
    };
    assert_eq!(ruling(&seen(stock("alice", "alice")), "second"), None, "one lane through both services");
    check(stock("alice", "other"), "second", "LaneTaken", "has another rule for shop/cart");
    check(stock("bob", "bob"), "second", "LaneTaken", "lane dev-alice is alice's since");
}

#[test]
fn a_lane_has_one_agent_of_a_service_whatever_its_ports() {
    let mut second = takeover("b", 2, "cart", "alice", header("alice"));
    second["spec"]["ports"] = json!([81]);
    check(
        vec![takeover("a", 1, "cart", "alice", header("alice")), second],
        "b",
        "Taken",
        "alice has shop/cart since 2026-01-01T11:52:01Z with the same rule",
    );
}

#[test]
fn a_lane_that_somebody_wrote_is_nobodys_to_take() {
    let written = json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": "dev-alice"}, "spec": {},
    });
    let all = vec![written, takeover("a", 1, "cart", "alice", header("alice"))];
    check(all, "a", "LaneTaken", "there is a Lane dev-alice that somebody wrote");
}

#[test]
fn what_could_take_everybodys_requests_is_refused() {
    for when in [
        json!({"path": {"prefix": "/"}}),
        json!({"not": header("alice")}),
        json!({"header": {"name": "x-dev", "exists": true}}),
        json!({"header": {"name": "x-dev", "exact": ""}}),
        json!({"any": [header("alice"), {"path": {"prefix": "/"}}]}),
        // What every client sends has a value, too.
        json!({"header": {"name": "x-forwarded-proto", "in": ["http", "https"]}}),
        json!({"cookie": {"name": "session", "exact": "1"}}),
        json!({"header": {"name": "x-device", "exact": "alice"}}),
    ] {
        check(
            vec![takeover("a", 1, "cart", "alice", when)],
            "a",
            "Invalid",
            "each rule must ask for a value",
        );
    }
    let mut share = takeover("a", 1, "cart", "alice", header("alice"));
    share["spec"]["rules"][0]["percent"] = 50.into();
    check(vec![share], "a", "Invalid", "no percentage");
    for when in [
        json!({"any": [header("alice"), {"cookie": {"name": "dev", "in": ["a", "b"]}}]}),
        json!({"header": {"name": "x-dev", "exact": "alice"}, "path": {"prefix": "/"}}),
    ] {
        assert_eq!(ruling(&seen(vec![takeover("a", 1, "cart", "alice", when)]), "a"), None);
    }
}

#[test]
fn a_service_or_a_port_that_is_not_there_is_named() {
    check(
        vec![takeover("a", 1, "cat", "alice", header("a"))],
        "a",
        "Invalid",
        "there is no Service shop/cat",
    );
    let mut other = takeover("a", 1, "cart", "alice", header("a"));
    other["spec"]["ports"] = json!([80, 82]);
    check(vec![other], "a", "Invalid", "Service shop/cart has no port 82");
}

#[test]
fn a_service_whose_clients_would_meet_the_agent_is_refused() {
    let with = |change: &dyn Fn(&mut Value)| {
        let [mut service, workload] = service("cart");
        change(&mut service["spec"]);
        let objects = vec![service, workload, takeover("a", 1, "cart", "alice", header("alice"))];
        World { objects }.see(&MeshConfigs::default()).expect("a world")
    };
    let headless = with(&|spec| spec["clusterIP"] = "None".into());
    assert!(ruling(&headless, "a").expect("refused").1.contains("shop/cart: it is headless"));
}

#[test]
fn connections_go_on_by_a_service_of_the_takeovers_own() {
    let seen = |spec: Value| {
        let [mut service, workload] = service("cart");
        service["spec"]["ports"]
            .as_array_mut()
            .expect("ports")
            .push(json!({"name": "tcp-raw", "port": 9000}));
        let mut takeover = takeover("a", 1, "cart", "alice", header("alice"));
        for (key, value) in spec.as_object().into_iter().flatten() {
            takeover["spec"][key] = value.clone();
        }
        World { objects: vec![service, workload, takeover] }.see(&MeshConfigs::default()).expect("a world")
    };
    let unknown = ruling(&seen(json!({})), "a").expect("refused").1;
    assert!(
        unknown.contains("its port tcp-raw:9000 is not HTTP, and its agent does not know it"),
        "{unknown}"
    );
    let other = ruling(&seen(json!({"connections": [81, 9000]})), "a").expect("refused").1;
    assert!(other.contains("its agent takes port http-b:81 for one that is not HTTP"), "{other}");
    let known = seen(json!({"connections": [9000]}));
    assert_eq!(ruling(&known, "a"), None);
    let Ruling::On(on) = &known.derived.rulings[&("shop".to_owned(), "a".to_owned())] else { panic!("on") };
    assert_eq!(on.own_service().map(|host| host.name().to_owned()).as_deref(), Some("a"));
    assert_eq!(known.observed.services[0].exchanged, None);
    let all = json!({
        "connections": [9000], "ports": [80, 9000], "mode": "exchange", "rules": [], "lane": null,
    });
    let mut all = seen(all);
    let Ruling::On(on) = &all.derived.rulings[&("shop".to_owned(), "a".to_owned())] else { panic!("on") };
    assert_eq!(on.what(), "all requests and connections");
    let exchanged = all.observed.services.remove(0).exchanged.expect("it is");
    assert_eq!(exchanged.ports.into_iter().collect::<Vec<_>>(), [9000], "the others have requests");
    let raw = ruling(&seen(json!({"connections": [9000], "ports": [9000]})), "a").expect("refused").1;
    assert!(raw.contains("its port tcp-raw:9000 is not HTTP: there are no requests"), "{raw}");
}

fn exchange(name: &str, born_s: u32, user: &str) -> Value {
    let mut takeover = takeover(name, born_s, "cart", user, header(user));
    let spec = takeover["spec"].as_object_mut().expect("a spec");
    spec.insert("mode".into(), "exchange".into());
    spec.retain(|key, _| !["lane", "rules"].contains(&key.as_str()));
    takeover
}

#[test]
fn one_developer_has_all_requests_of_a_service_beside_others_who_have_their_own() {
    let all = seen(vec![exchange("a", 1, "alice"), takeover("b", 2, "cart", "bob", header("bob"))]);
    assert_eq!((ruling(&all, "a"), ruling(&all, "b")), (None, None));
    let lanes: Vec<&str> = all.all_lanes().map(|lane| lane.name()).collect();
    assert_eq!(lanes, ["dev-bob"], "everything is no lane");
    let exchanged = |seen: &Seen| {
        let services = seen.observed.services.iter().filter(|service| service.exchanged.is_some());
        services.map(|service| service.host.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(exchanged(&all), ["cart.shop"]);
    let both = vec![exchange("a", 1, "alice"), exchange("b", 2, "bob")];
    check(both, "b", "Exchanged", "alice has all requests of shop/cart since 2026-01-01T11:52:01Z");
    let mut ended = exchange("a", 1, "alice");
    ended["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z".into();
    let all = seen(vec![ended, exchange("b", 2, "bob")]);
    assert_eq!((ruling(&all, "b"), exchanged(&all)), (None, vec!["cart.shop".into()]));
}

#[test]
fn who_takes_everything_names_neither_lane_nor_rules() {
    let mut laned = exchange("a", 1, "alice");
    laned["spec"]["lane"] = "dev-alice".into();
    check(vec![laned], "a", "Invalid", "it has neither a lane nor rules");
    let mut unlaned = takeover("a", 1, "cart", "alice", header("alice"));
    unlaned["spec"].as_object_mut().expect("a spec").shift_remove("lane");
    check(vec![unlaned], "a", "Invalid", "it names no lane");
}

fn mirror(name: &str, user: &str, percent: Option<f64>) -> Value {
    let mut takeover = exchange(name, 1, user);
    takeover["spec"]["mode"] = "mirror".into();
    if let Some(percent) = percent {
        takeover["spec"]["percent"] = percent.into();
    }
    takeover
}

#[test]
fn copies_are_anybodys_beside_all_that_others_have() {
    let all = seen(vec![
        mirror("a", "alice", None),
        mirror("b", "bob", Some(12.5)),
        exchange("c", 2, "carol"),
        takeover("d", 3, "cart", "dave", header("dave")),
    ]);
    assert!(["a", "b", "c", "d"].iter().all(|name| ruling(&all, name).is_none()));
    let cart = all.observed.services.iter().find(|service| service.host.name() == "cart").expect("cart");
    let copies: Vec<_> = cart.copies.iter().map(|copies| (copies.to.to_string(), copies.share)).collect();
    assert_eq!(copies, [("a.shop".to_owned(), 10_000), ("b.shop".to_owned(), 1250)]);
    let workloads = cart.workloads.iter().filter(|workload| workload.name.starts_with("takeover"));
    assert_eq!(workloads.count(), 2, "who gets copies is none of the service's");
}

#[test]
fn copies_that_cannot_be_are_refused_in_words() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut takeover = mirror("a", "alice", None);
        change(&mut takeover["spec"]);
        takeover
    };
    check(vec![with(&|spec| spec["lane"] = "dev-alice".into())], "a", "Invalid", "neither a lane nor rules");
    for percent in [0.0, 0.001, 101.0] {
        check(vec![mirror("a", "alice", Some(percent))], "a", "Invalid", "is no percentage");
    }
    check(vec![with(&|spec| spec["ports"] = json!([82]))], "a", "Invalid", "shop/cart has no port 82");
    let [taken, _] = service("a");
    check(
        vec![mirror("a", "alice", None), taken],
        "a",
        "Invalid",
        "there is a Service shop/a that somebody made",
    );
    let service = |ports: Value, headless: bool| {
        let [mut service, _] = service("cart");
        service["spec"]["ports"] = ports;
        if headless {
            service["spec"]["clusterIP"] = "None".into();
        }
        let objects = vec![service, mirror("a", "alice", None)];
        let seen = World { objects }.see(&MeshConfigs::default()).expect("a world");
        ruling(&seen, "a").map(|(_, message)| message).unwrap_or_default()
    };
    let tcp = json!({"name": "tcp-raw", "port": 9000});
    let http = json!({"name": "http", "port": 80});
    assert_eq!(service(json!([http, tcp]), false), "", "another port's connections are nobody's business");
    let raw = service(json!([{"name": "tcp-raw", "port": 80}]), false);
    assert!(raw.contains("its port tcp-raw:80 is not HTTP"), "{raw}");
    assert!(service(json!([http]), true).contains("headless"));
}

/// One that has a service by its selector.
fn selected(name: &str, born_s: u32, user: &str) -> Value {
    let mut takeover = exchange(name, born_s, user);
    takeover["spec"]["by"] = "selector".into();
    takeover
}

#[test]
fn a_service_that_is_taken_by_its_selector_is_nothing_to_routes() {
    let tcp = json!({"name": "tcp-raw", "port": 9000});
    let [mut service, workload] = service("cart");
    service["spec"]["ports"].as_array_mut().expect("ports").push(tcp);
    service["spec"]["selector"][LABEL] = "a".into();
    let objects = vec![service, workload, selected("a", 1, "alice")];
    let seen = World { objects }.see(&MeshConfigs::default()).expect("a world");
    assert_eq!(ruling(&seen, "a"), None, "whatever is spoken there");
    let cart = &seen.observed.services[0];
    assert!(cart.exchanged.is_none() && cart.copies.is_empty());
    let workloads: Vec<&str> = cart.workloads.iter().map(|workload| workload.name.as_str()).collect();
    assert_eq!(workloads, ["cart"], "its pods are its own, and the agent is none of them");
    assert!(seen.has_selected());
}

#[test]
fn a_selector_leads_to_one_place_whatever_else_is_asked_of_the_service() {
    let both = |other: Value| vec![selected("a", 1, "alice"), other];
    let says = "alice has all requests of shop/cart since 2026-01-01T11:52:01Z";
    check(both(selected("b", 2, "bob")), "b", "Exchanged", says);
    check(both(exchange("b", 2, "bob")), "b", "Exchanged", says);
    for other in [takeover("b", 2, "cart", "bob", header("bob")), mirror("b", "bob", None)] {
        let mut other = other;
        other["metadata"]["creationTimestamp"] = "2026-01-01T11:52:09Z".into();
        check(both(other), "b", "Taken", "and its selector leads to one place");
    }
    let older = takeover("0", 0, "cart", "bob", header("bob"));
    check(vec![older, selected("a", 1, "alice")], "a", "Taken", "bob has header x-dev = bob of shop/cart");
}

#[test]
fn what_cannot_be_by_a_selector_is_refused_in_words() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut takeover = selected("a", 1, "alice");
        change(&mut takeover["spec"]);
        vec![takeover]
    };
    check(with(&|spec| spec["mode"] = "mirror".into()), "a", "Invalid", "it is for exchange");
    check(with(&|spec| spec["service"] = "cat".into()), "a", "Invalid", "there is no Service shop/cat");
    check(with(&|spec| spec["ports"] = json!([80, 82])), "a", "Invalid", "Service shop/cart has no port 82");
    let [other, _] = service("a");
    let taken = [with(&|_| {}), vec![other]].concat();
    check(taken, "a", "Invalid", "there is a Service shop/a that somebody made");
    let mut own = service("cart-exchange")[0].clone();
    own["metadata"]["labels"] = json!({LABEL: "cart-exchange"});
    let taken = [with(&|spec| spec["service"] = "cart-exchange".into()), vec![own]].concat();
    check(taken, "a", "Invalid", "it is made for takeover cart-exchange");
}

#[test]
fn a_namespace_that_istio_does_not_look_at_is_no_matter_to_a_selector() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    let config = json!({
        "kind": "ConfigMap", "metadata": {"name": "istio"},
        "data": {"mesh": "discoverySelectors: [{matchLabels: {mesh: 'on'}}]"},
    });
    let [service, _] = service("cart");
    let objects = vec![namespace, service, selected("a", 1, "alice")];
    let seen = World { objects }.see(&MeshConfigs::of(&[config])).expect("a world");
    assert_eq!((ruling(&seen, "a"), seen.observed.services.len(), seen.taken.len()), (None, 0, 1));
}

#[test]
fn the_lane_is_routed_before_its_agent_has_a_pod() {
    let course = |objects| {
        let key = canary_rules::signing::KeyId::new("k1").expect("id");
        let key = canary_rules::signing::Key::new(key, vec![7; 32]).expect("key");
        let settings = MeshSettings::new(canary_rules::signing::KeyRing::new([key]).expect("ring"));
        steer::course(&seen(objects), &settings, 0)
    };
    let made = |course: &steer::Course| {
        let changes = course.plan.changes.iter();
        changes.map(|change| change.object.to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    let alice = takeover("a", 1, "cart", "alice", header("alice"));
    let on = course(vec![alice.clone()]);
    assert!(matches!(&on.lanes["dev-alice"], Verdict::On(on) if on.members.len() == 1), "{:?}", on.lanes);
    assert!(made(&on).iter().any(|object| object.contains("VirtualService")), "{:?}", made(&on));
    let agent = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "agent", "namespace": "shop", "ownerReferences": [{"kind": "Job", "name": "x"}],
            "labels": {
                "app": "cart", "canaryctl.io/lane": "dev-alice", "lane.canaryctl.io/dev-alice": "member",
                "canaryctl.io/takeover": "a",
            },
        },
    });
    let born = course(vec![alice, agent.clone()]);
    assert_eq!(born.plan.changes, on.plan.changes, "its pod changes nothing");
    assert_eq!(born.pods, [], "and is born with every label");
    // While it ends nobody else's request may meet it.
    let left = course(vec![agent]);
    let rules = left.plan.changes.iter().map(|change| format!("{:?}", change.action)).collect::<String>();
    assert!(rules.contains("canaryctl.io/lane="), "{rules}");
}
