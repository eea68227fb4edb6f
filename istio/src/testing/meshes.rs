//! Random meshes of users: services, VirtualServices and DestinationRules of every sort.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::arbitrary::{http_match, http_routes, object};
use super::{labels, workloads};
use crate::failover::lane_key;
use crate::lane::EXCHANGE;
use crate::lane::LaneRouting;
use crate::observed::{HttpRoutes, Namespace, Object, Observed, ObservedService, Port, Speaks};
use crate::service::{Copies, Exchanged};

fn of(values: Vec<Value>) -> BoxedStrategy<Value> {
    select(values).boxed()
}

fn service(host: &'static str) -> BoxedStrategy<ObservedService> {
    let pods = vec!["v1", "v2:gray", "v3:gray.checkout", "v4:alice", "v5:only", "v6:gone"];
    let ports = select(vec!["http", "web", "http", "http", "http", "tcp"]);
    let share = option::weighted(0.2, 1..=10_000_u16);
    let rare = || proptest::bool::weighted(0.05);
    let exchange = proptest::bool::weighted(0.3);
    (subsequence(pods, 0..6), ports, rare(), rare(), share, exchange)
        .prop_map(move |(pods, port, headless, in_mesh, share, exchange)| {
            let service = ObservedService {
                host: host.parse().expect("host"),
                ports: [(port, 80), ("tcp-raw", 9000)].map(|(name, number)| self::port(name, number)).into(),
                headless,
                selector: labels(&[("app", "any")]),
                workloads: workloads(&pods),
                http_routes: HttpRoutes { in_mesh, from_gateway: false },
                distribution: None,
                exchanged: None,
                copies: share.map(|share| copies(host, share)).into_iter().collect(),
            };
            if exchange { exchanged(service) } else { service }
        })
        .boxed()
}

fn port(name: &str, number: u16) -> Port {
    Port { name: Some(name.into()), number, app_protocol: None, udp: false }
}

/// The service with somebody who has all of it.
fn exchanged(mut service: ObservedService) -> ObservedService {
    let mut agent = workloads(&[&format!("agent:{EXCHANGE}")]);
    agent.iter_mut().for_each(|agent| drop(agent.labels.insert(lane_key(EXCHANGE), "member".into())));
    service.workloads.append(&mut agent);
    let ports = service.ports.iter().filter(|port| port.speaks() == Speaks::Other);
    service.exchanged = Some(Exchanged { ports: ports.map(|port| port.number).collect() });
    service
}

/// Copies for somebody's own service beside it.
fn copies(host: &str, share: u16) -> Copies {
    let to = host.replacen('.', "-mirror-alice.", 1);
    Copies { to: to.parse().expect("host"), share }
}

fn services() -> BoxedStrategy<Vec<ObservedService>> {
    let hosts = ["cart.shop", "legacy.shop", "stock.back", "web.shop"];
    hosts.map(service).to_vec().boxed()
}

fn virtual_service() -> BoxedStrategy<(Value, Value)> {
    let hosts = prop_oneof![
        4 => of(vec![json!(["web"]), json!(["cart", "legacy"]), json!(["stock.back.svc.cluster.local"])]),
        1 => of(vec![json!(["*.shop.svc.cluster.local"]), json!(["shop.example.com"]), json!(["web.shop"])]),
    ];
    let frame = object(vec![
        ("gateways", of(vec![json!(["istio-system/public"]), json!(["mesh", "public"]), json!([])])),
        ("exportTo", of(vec![json!(["*"]), json!(["."]), json!(["shop", "front"])])),
        (
            "tcp",
            of(vec![
                json!([{"route": [{"destination": {"host": "web", "port": {"number": 9000}}}]}]),
                json!([{"match": [{"port": 9000}], "route": [{"destination": {"host": "web", "subset": "v1"}}]}]),
            ]),
        ),
        ("fieldOfTomorrow", of(vec![json!({"a": null})])),
    ]);
    let delegation = option::weighted(0.2, (vec(http_match(), 0..2), http_routes()));
    (hosts, frame, option::weighted(0.9, http_routes()), delegation)
        .prop_map(|(hosts, mut root, http, delegation)| {
            root["hosts"] = hosts;
            let mut delegate = Value::Null;
            if let Some(http) = http {
                root["http"] = http.into();
            }
            if let Some((matches, routes)) = delegation {
                let mut http = root["http"].as_array().cloned().unwrap_or_default();
                http.insert(0, json!({"match": matches, "delegate": {"name": "delegate"}}));
                root["http"] = http.into();
                delegate = json!({"http": routes});
            }
            (root, delegate)
        })
        .boxed()
}

pub(crate) fn traffic_policy() -> BoxedStrategy<Value> {
    let balancer = of(vec![
        json!({"simple": "ROUND_ROBIN"}),
        json!({"consistentHash": {"httpHeaderName": "x-user"}}),
        json!({"localityLbSetting": {"enabled": false}}),
        json!({"localityLbSetting": {"failoverPriority": ["version=v1"]}, "simple": "RANDOM"}),
        json!({"localityLbSetting": {"failover": [{"from": "a", "to": "b"}]}}),
        json!({"zoneAwareLbSetting": {"enabled": true}}),
        json!({"warmup": {"duration": "10s"}, "localityLbSetting": null}),
        json!(null),
        json!({"simple": "PASSTHROUGH"}),
    ]);
    let outliers = of(vec![json!({"consecutive5xxErrors": 5, "interval": "10s"}), json!({}), json!(null)]);
    let port = (balancer.clone(), outliers.clone())
        .prop_map(|(balancer, outliers)| json!({"loadBalancer": balancer, "outlierDetection": outliers}));
    let port = (port.clone(), select(vec![80, 9000])).prop_map(|(mut entry, number)| {
        entry["port"] = json!({"number": number});
        json!([entry, {"tls": {}}])
    });
    object(vec![
        ("loadBalancer", balancer),
        ("outlierDetection", outliers),
        ("connectionPool", of(vec![json!({"http": {"http2MaxRequests": 10}})])),
        ("tls", of(vec![json!({"mode": "ISTIO_MUTUAL"})])),
        ("portLevelSettings", port.boxed()),
        ("fieldOfTomorrow", of(vec![json!([null, {"a": null}])])),
    ])
}

fn subset(name: &'static str) -> BoxedStrategy<Value> {
    let fields = object(vec![
        ("labels", of(vec![json!({"version": "v1"}), json!({"version": "v2"}), json!({})])),
        ("trafficPolicy", traffic_policy()),
        ("fieldOfTomorrow", of(vec![json!(1)])),
    ]);
    fields
        .prop_map(move |mut fields| {
            fields["name"] = name.into();
            fields
        })
        .boxed()
}

pub(crate) fn rule_spec() -> BoxedStrategy<Value> {
    let hosts = vec![
        "web",
        "web.shop.svc.cluster.local",
        "cart.shop.svc.cluster.local",
        "stock.back.svc.cluster.local",
        "*.shop.svc.cluster.local",
        "*.local",
    ];
    let subsets = subsequence(vec!["v1", "stable", "v2"], 0..4)
        .prop_flat_map(|names| names.into_iter().map(subset).collect::<Vec<_>>())
        .prop_map(Value::Array);
    let fields = object(vec![
        ("trafficPolicy", traffic_policy()),
        ("subsets", subsets.boxed()),
        ("fieldOfTomorrow", of(vec![json!({"b": 1})])),
    ]);
    let rare = option::weighted(0.08, of(vec![json!(["."]), json!(["*"]), json!(["front", "shop"])]));
    (select(hosts), fields, rare)
        .prop_map(|(host, mut fields, export_to)| {
            fields["host"] = host.into();
            if let Some(export_to) = export_to {
                fields["exportTo"] = export_to;
            }
            fields
        })
        .boxed()
}

fn rule() -> BoxedStrategy<(&'static str, Value, Value)> {
    let namespaces =
        prop_oneof![12 => Just("shop"), 3 => Just("back"), 3 => Just("istio-system"), 1 => Just("front")];
    let annotations = of(vec![json!({"team": "a"}), json!(null), Value::Object(Default::default())]);
    (namespaces, rule_spec(), annotations).boxed()
}

fn wrap(kind: &str, namespace: &str, name: String, spec: Value, second: usize) -> Object {
    Object::new(json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "resourceVersion": "1",
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        },
        "spec": spec,
    }))
    .expect("an object")
}

/// A mesh without anything of ours in it.
pub(crate) fn mesh() -> BoxedStrategy<Observed> {
    (services(), vec(virtual_service(), 0..4), vec(rule(), 0..4))
        .prop_map(|(services, users, rules)| {
            let mut observed = Observed { services, ..Observed::default() };
            for (at, (root, delegate)) in users.into_iter().enumerate() {
                if !delegate.is_null() && at == 0 {
                    let object = wrap("VirtualService", "shop", "delegate".into(), delegate, at);
                    observed.virtual_services.push(object);
                }
                let object = wrap("VirtualService", "shop", format!("user-{at}"), root, at);
                observed.virtual_services.push(object);
            }
            for (at, (namespace, spec, annotations)) in rules.into_iter().enumerate() {
                let object = wrap("DestinationRule", namespace, format!("user-{at}"), spec, at);
                let mut value = object.into_value();
                if !annotations.is_null() {
                    value["metadata"]["annotations"] = annotations;
                }
                observed.destination_rules.push(Object::new(value).expect("an object"));
            }
            for namespace in ["back", "front", "istio-system", "shop"] {
                observed.namespaces.insert(namespace.into(), Namespace::default());
            }
            observed
        })
        .boxed()
}

/// Some lanes, parents with their children.
pub(crate) fn some_lanes() -> BoxedStrategy<Vec<LaneRouting>> {
    let keep_parents = |mut lanes: Vec<LaneRouting>| {
        let has_gray = lanes.iter().any(|lane| lane.name.as_str() == "gray");
        lanes.retain(|lane| lane.parent.is_none() || has_gray);
        lanes
    };
    let lanes = subsequence(super::lanes_of_every_sort(), 0..5).prop_map(keep_parents);
    (lanes, vec(select(vec![0, 1, 2500, 10_000]), 4))
        .prop_map(|(mut lanes, mirrors)| {
            lanes.iter_mut().zip(mirrors).for_each(|(lane, mirror)| lane.mirror = mirror);
            lanes
        })
        .boxed()
}
