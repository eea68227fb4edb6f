//! Somebody has connections of a service at ports that are not HTTP.

use serde_json::json;

use super::*;
use crate::failover::lane_key;
use crate::hosts::HostName;
use crate::lane::{EXCHANGE, LANE_LABEL};
use crate::observed::Port;
use crate::service::{Exchanged, Labels, Workload};
use crate::testing::effective::effective;
use crate::testing::{lane, mesh_of, strict};

/// A database: its sessions, and a port of the cluster's own.
fn db() -> Observed {
    let mut mesh = mesh_of(&[("db.shop", &["v1"])]);
    mesh.services[0].ports = vec![port("tcp-sql", 5432), port("redis", 6379)];
    mesh
}

/// A service with requests, and connections beside them.
fn cart() -> Observed {
    let mut mesh = mesh_of(&[("cart.shop", &["v1", "v2:gray"])]);
    mesh.services[0].ports.push(port("tcp-raw", 9000));
    mesh
}

fn port(name: &str, number: u16) -> Port {
    Port { name: Some(name.into()), number, app_protocol: None, udp: false }
}

/// The same with somebody who has these ports.
fn exchanged(mut mesh: Observed, ports: &[u16]) -> Observed {
    let service = &mut mesh.services[0];
    service.exchanged = Some(Exchanged { ports: ports.iter().copied().collect() });
    let member = (lane_key(EXCHANGE), "member".to_owned());
    let labels = Labels::from([(LANE_LABEL.into(), EXCHANGE.into()), member]);
    service.workloads.push(Workload { name: "agent".into(), labels });
    mesh
}

fn with(mut mesh: Observed, kind: &str, namespace: &str, spec: Value) -> Observed {
    let value = json!({"apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {"name": "user", "namespace": namespace, "resourceVersion": "1"}, "spec": spec});
    let list =
        if kind == "DestinationRule" { &mut mesh.destination_rules } else { &mut mesh.virtual_services };
    list.push(Object::new(value).expect("an object"));
    mesh
}

fn with_rule(mesh: Observed, spec: Value) -> Observed {
    with(mesh, "DestinationRule", "shop", spec)
}

fn with_service(mesh: Observed, spec: Value) -> Observed {
    with(mesh, "VirtualService", "shop", spec)
}

/// The objects as text, but for the version that each write changes.
fn texts(mesh: &Observed) -> Vec<String> {
    let all = mesh.virtual_services.iter().chain(&mesh.destination_rules);
    let text = |object: &Object| {
        let mut value = object.value().clone();
        value["metadata"]["resourceVersion"] = Value::Null;
        value.to_string()
    };
    all.map(text).collect()
}

/// The keys by which a client from elsewhere ranks at each port, and at the others.
fn ranks(mesh: &Observed) -> Vec<(Option<u64>, Value)> {
    let policy = effective(mesh, "front", HostName::from(&mesh.services[0].host)).policy;
    let keys = |policy: &Value| policy["loadBalancer"]["localityLbSetting"]["failoverPriority"].clone();
    let ports = policy["portLevelSettings"].as_array().into_iter().flatten();
    let ports = ports.map(|entry| (entry["port"]["number"].as_u64(), keys(entry)));
    [(None, keys(&policy))].into_iter().chain(ports).collect()
}

fn baseline() -> Value {
    json!(["canaryctl.io/lane="])
}

fn agent() -> Value {
    json!(["lane.canaryctl.io/Exchange=member"])
}

/// Does what is due.
fn settle(mesh: &mut Observed, lanes: &[LaneRouting]) -> ClusterPlan {
    let plan = planned(lanes, mesh);
    carry_out(mesh, &plan);
    plan
}

/// Does what is due, checks who comes first, and that nothing is left of it when it ends.
#[track_caller]
fn check(before: &Observed, ports: &[u16], want: &[(Option<u64>, Value)]) -> Observed {
    let mut mesh = exchanged(before.clone(), ports);
    let plan = settle(&mut mesh, &[]);
    assert_eq!(ranks(&mesh), want, "{:?}", plan.findings);
    assert_eq!(planned(&[], &mesh).changes, [], "that is all");
    let mut after = mesh.clone();
    after.services = before.services.clone();
    settle(&mut after, &[]);
    assert_eq!(texts(&after), texts(before));
    mesh
}

fn codes(mesh: &Observed) -> Vec<&'static str> {
    planned(&[], mesh).findings.iter().map(Finding::code).collect()
}

#[test]
fn who_has_a_databases_connections_comes_first_in_a_rule_of_ours() {
    let want = [(None, baseline()), (Some(5432), agent()), (Some(6379), agent())];
    let mesh = check(&db(), &[5432, 6379], &want);
    assert_eq!(codes(&mesh), [""; 0]);
    assert_eq!(mesh.virtual_services, [], "there is no request to lead");
    let [rule] = mesh.destination_rules.as_slice() else { panic!("one rule: {:?}", mesh.destination_rules) };
    insta::assert_json_snapshot!(rule.spec());
}

#[test]
fn requests_are_led_and_connections_rank() {
    let mut mesh = exchanged(cart(), &[9000]);
    settle(&mut mesh, &[lane("gray")]);
    let keys = json!(["lane.canaryctl.io/gray=", "lane.canaryctl.io/Exchange=member"]);
    assert_eq!(ranks(&mesh), [(None, baseline()), (Some(9000), keys.clone())]);
    let subsets = effective(&mesh, "front", HostName::from(&mesh.services[0].host)).subsets;
    let subset = subsets.iter().find(|subset| subset["name"] == "canary--exchange").expect("the subset");
    assert_eq!(subset["trafficPolicy"]["loadBalancer"]["localityLbSetting"]["failoverPriority"], keys);
    assert_eq!(subset["trafficPolicy"]["portLevelSettings"], Value::Null);
    let service = mesh.virtual_services.first().expect("a service of ours");
    assert!(service.spec().to_string().contains("canary--exchange"), "{}", service.spec());
}

#[test]
fn a_rule_that_says_nothing_of_the_port_gets_settings_for_it_and_loses_them() {
    let policy = json!({"tls": {"mode": "DISABLE"}, "connectionPool": {"tcp": {"maxConnections": 3}},
        "outlierDetection": {"interval": "5s", "consecutive5xxErrors": 0}});
    let zones = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];
    let then = |first: Value| {
        let zones = zones.iter().map(|zone| json!(zone));
        Value::Array(first.as_array().into_iter().flatten().cloned().chain(zones).collect())
    };
    let want = [(None, then(baseline())), (Some(5432), then(agent())), (Some(6379), then(agent()))];
    let mesh = check(&with_rule(db(), json!({"host": "db", "trafficPolicy": policy})), &[5432, 6379], &want);
    insta::assert_json_snapshot!(mesh.destination_rules[0].spec());
    let plain = [(None, baseline()), (Some(5432), agent()), (Some(6379), agent())];
    check(&with_rule(db(), json!({"host": "db"})), &[5432, 6379], &plain);
    let listed = json!({"host": "db", "trafficPolicy": {"portLevelSettings": null}});
    check(&with_rule(db(), listed), &[5432, 6379], &plain);
}

#[test]
fn settings_of_ports_stay_what_they_are_but_for_who_comes_first() {
    let entry = |number: u16, tls: &str| json!({"port": {"number": number}, "tls": {"mode": tls}});
    let rule = |ports: Value| {
        let policy = json!({"tls": {"mode": "ISTIO_MUTUAL"}, "portLevelSettings": ports});
        with_rule(cart(), json!({"host": "cart", "trafficPolicy": policy}))
    };
    let agent = || json!(["lane.canaryctl.io/gray=", "lane.canaryctl.io/Exchange=member"]);
    let said = [(None, baseline()), (Some(9000), agent()), (Some(80), baseline())];
    let mut ended = rule(json!([entry(9000, "SIMPLE"), entry(80, "DISABLE")]));
    ended.services[0].workloads.truncate(1);
    let agent_alone = [(None, baseline()), (Some(9000), self::agent()), (Some(80), baseline())];
    let mesh = check(&ended, &[9000], &agent_alone);
    assert_eq!(
        mesh.destination_rules[0].spec()["trafficPolicy"]["portLevelSettings"][0]["tls"],
        json!({"mode": "SIMPLE"})
    );

    let mut mesh = exchanged(rule(json!([entry(9000, "SIMPLE"), entry(80, "DISABLE")])), &[9000]);
    settle(&mut mesh, &[lane("gray")]);
    assert_eq!(ranks(&mesh), said);
    let mut mesh = exchanged(rule(json!([entry(80, "DISABLE")])), &[9000]);
    settle(&mut mesh, &[lane("gray")]);
    assert_eq!(ranks(&mesh), [(None, baseline()), (Some(80), baseline()), (Some(9000), agent())]);
}

#[test]
fn a_wider_rule_is_copied_with_settings_for_the_port() {
    let policy = json!({"tls": {"mode": "ISTIO_MUTUAL"}, "connectionPool": {"tcp": {"maxConnections": 3}}});
    let wide = json!({"host": "*.local", "trafficPolicy": policy});
    let before = with(db(), "DestinationRule", "istio-system", wide);
    let want = [(None, baseline()), (Some(5432), agent()), (Some(6379), agent())];
    let mesh = check(&before, &[5432, 6379], &want);
    let ours = mesh.destination_rules.iter().find(|rule| rule.is_ours()).expect("ours");
    let entry = &ours.spec()["trafficPolicy"]["portLevelSettings"][0];
    assert_eq!((&entry["tls"], &entry["connectionPool"]), (&policy["tls"], &policy["connectionPool"]));
}

/// A database with a rule of a user's, the same with somebody who has its connections, and the rule as it is by then, taken
/// out of that mesh to be written anew.
fn a_users_rule_in_use() -> (Observed, Observed, Value) {
    let before = with_rule(db(), json!({"host": "db", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}));
    let mut mesh = exchanged(before.clone(), &[5432, 6379]);
    settle(&mut mesh, &[]);
    let rule = mesh.destination_rules.remove(0).into_value();
    (before, mesh, rule)
}

#[test]
fn what_others_did_meanwhile_stays() {
    let (before, mut mesh, mut value) = a_users_rule_in_use();
    let theirs = json!({"port": {"number": 8080}, "tls": {"mode": "SIMPLE"}});
    value["spec"]["trafficPolicy"]["portLevelSettings"].as_array_mut().expect("ports").push(theirs.clone());
    value["spec"]["trafficPolicy"]["tls"]["mode"] = json!("SIMPLE");
    mesh.destination_rules.push(Object::new(value).expect("an object"));
    settle(&mut mesh, &[]);
    let entries = &mesh.destination_rules[0].spec()["trafficPolicy"]["portLevelSettings"];
    assert_eq!(entries[1]["tls"], json!({"mode": "SIMPLE"}), "it follows the rule's own: {entries}");
    mesh.services = before.services;
    settle(&mut mesh, &[]);
    let policy = &mesh.destination_rules[0].spec()["trafficPolicy"];
    assert_eq!(*policy, json!({"tls": {"mode": "SIMPLE"}, "portLevelSettings": [theirs]}));
}

#[test]
fn without_a_memory_of_it_nothing_of_it_stays() {
    let (before, mut mesh, mut value) = a_users_rule_in_use();
    value["metadata"]["annotations"] = Value::Null;
    mesh.destination_rules.push(Object::new(value).expect("an object"));
    mesh.services = before.services.clone();
    settle(&mut mesh, &[]);
    assert_eq!(mesh.destination_rules[0].spec(), before.destination_rules[0].spec());
}

#[test]
fn of_a_service_without_requests_any_ports_are_given_but_none_beside_datagrams_or_lanes() {
    let mesh = check(&db(), &[5432], &[(None, baseline()), (Some(5432), agent())]);
    assert_eq!((codes(&mesh), mesh.virtual_services), (vec![], vec![]), "the pods keep 6379");
    assert_eq!(codes(&exchanged(db(), &[])), ["CC110"], "requests are all that it could be");
    let mut datagrams = db();
    datagrams.services[0].ports[1].udp = true;
    assert_eq!(codes(&exchanged(datagrams.clone(), &[5432])), ["CC110"]);
    assert_eq!(codes(&exchanged(datagrams, &[5432, 6379])), ["CC110"]);
    let mut laned = exchanged(db(), &[5432, 6379]);
    laned.services[0].workloads.extend(mesh_of(&[("db.shop", &["v2:gray"])]).services.remove(0).workloads);
    let found = planned(&[lane("gray")], &laned).findings;
    assert_eq!(found.iter().map(Finding::code).collect::<Vec<_>>(), ["CC110"]);
}

#[test]
fn while_its_pods_are_not_gone_nobody_meets_them() {
    let tcp = json!({"hosts": ["db"], "tcp": [{"route": [{"destination": {"host": "db"}}]}]});
    let mut mesh = exchanged(with_service(db(), tcp), &[5432, 6379]);
    settle(&mut mesh, &[]);
    mesh.services[0].exchanged = None;
    let plan = settle(&mut mesh, &[]);
    assert_eq!((ranks(&mesh), plan.findings), (vec![(None, baseline())], vec![]));
    // One that is refused does not come first either, and is not met.
    mesh.services[0].exchanged = Some(Exchanged::default());
    let plan = settle(&mut mesh, &[]);
    let codes: Vec<&str> = plan.findings.iter().map(Finding::code).collect();
    assert_eq!((ranks(&mesh), codes), (vec![(None, baseline())], vec!["CC110", "CC121"]));
}

#[test]
fn a_service_of_connections_needs_no_http_route() {
    let spec = json!({"hosts": ["db"], "tcp": [{"route": [{"destination": {"host": "db"}}]}]});
    assert_eq!(codes(&exchanged(with_service(db(), spec), &[5432, 6379])), [""; 0]);
}

#[test]
fn routes_that_lead_connections_past_it_refuse_it() {
    let spec =
        |destination: Value| json!({"hosts": ["db"], "tcp": [{"route": [{"destination": destination}]}]});
    let past = with_service(db(), spec(json!({"host": "db", "subset": "v1"})));
    let mut mesh = exchanged(past.clone(), &[5432, 6379]);
    let plan = planned(&[], &mesh);
    let [finding] = plan.findings.as_slice() else { panic!("one finding: {:?}", plan.findings) };
    assert_eq!((finding.code(), finding.severity()), ("CC127", Severity::Refused));
    insta::assert_snapshot!(finding);
    carry_out(&mut mesh, &plan);
    assert_eq!(ranks(&mesh), [(None, baseline())], "nobody meets the agent");
    let other = with_service(db(), spec(json!({"host": "legacy"})));
    assert_eq!(codes(&exchanged(other, &[5432, 6379])), ["CC127"]);

    let mut idle = past;
    idle.services = exchanged(db(), &[]).services;
    idle.services[0].exchanged = None;
    assert!(!codes(&idle).contains(&"CC127"), "only who has connections minds");
}

/// Checks that an exchange of 9000 is refused by itself: what lanes have is as if nobody had asked for it.
#[track_caller]
fn check_refused_alone(before: &Observed, code: &str) {
    let lanes = [lane("gray"), strict("only")];
    let mut refused = exchanged(before.clone(), &[9000]);
    let mut unasked = refused.clone();
    unasked.services[0].exchanged = None;
    let plan = settle(&mut refused, &lanes);
    settle(&mut unasked, &lanes);
    let finding = plan.findings.iter().find(|finding| finding.refused().is_some());
    let host = &before.services[0].host;
    assert_eq!(finding.map(|one| (one.code(), one.refused())), Some((code, Some(Refused::Exchange(host)))));
    assert_eq!(texts(&refused), texts(&unasked));
    assert_eq!(planned(&lanes, &refused).changes, [], "that is all");
    let routes: String = refused.virtual_services.iter().map(|object| object.spec().to_string()).collect();
    let subsets = effective(&refused, "front", HostName::from(host)).subsets;
    let names: Vec<&Value> = subsets.iter().map(|subset| &subset["name"]).collect();
    assert!(routes.contains("canary-gray") && routes.contains("strict lane only"), "{routes}");
    assert_eq!(names, ["canary-gray"]);
    assert_eq!(ranks(&refused), [(None, baseline())], "nobody meets the agent");
}

#[test]
fn an_exchange_that_cannot_have_connections_takes_nothing_from_lanes() {
    let tcp = json!([{"match": [{"port": 9000}], "route": [{"destination": {"host": "legacy"}}]}]);
    let led =
        json!({"hosts": ["cart"], "http": [{"route": [{"destination": {"host": "cart"}}]}], "tcp": tcp});
    check_refused_alone(&with_service(cart(), led.clone()), "CC127");
    let policy = json!({"proxyProtocol": {"version": "V1"}});
    let rule = json!({"host": "cart", "trafficPolicy": policy});
    check_refused_alone(&with_rule(cart(), rule.clone()), "CC128");
    check_refused_alone(&with_rule(with_service(cart(), led), rule), "CC127");
    let wide = json!({"host": "*.local", "trafficPolicy": policy});
    check_refused_alone(&with(cart(), "DestinationRule", "istio-system", wide), "CC128");
}

#[test]
fn what_refuses_everybody_is_found_behind_what_refuses_an_exchange() {
    let subset = json!({"name": "all", "trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}});
    let policy = json!({"proxyProtocol": {"version": "V1"}});
    let rule = json!({"host": "cart", "trafficPolicy": policy, "subsets": [subset]});
    let mut mesh = exchanged(with_rule(cart(), rule), &[9000]);
    let plan = settle(&mut mesh, &[lane("gray")]);
    let found: Vec<&str> = plan.findings.iter().map(Finding::code).collect();
    assert_eq!((found, mesh.virtual_services), (vec!["CC128", "CC134"], vec![]));
}
