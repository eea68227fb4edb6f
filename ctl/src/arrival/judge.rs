//! What istiod's answers say. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use canary_istio::ObjectRef;
use serde::Deserialize;
use serde_json::Value;

use super::watches::Watcher;
use super::{Labelled, Part, ReadyPod};
use crate::apply::Written;

/// A proxy, as one istiod sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// `pod.namespace`.
    pub(super) name: String,
    /// Whether it can know of the marker.
    pub(super) in_sight: bool,
    /// Whether it has subscribed to the marker.
    pub(super) has_marker: bool,
    /// Whether it has acknowledged what was sent to it, as far as that matters.
    pub(super) is_settled: bool,
    /// Whether it has not acknowledged any clusters on its connection, and is none that asks for other things: what it
    /// knows is from an earlier connection.
    pub(super) is_new: bool,
}

/// A proxy in an answer of `/debug/syncz`, as far as it matters.
#[derive(Debug, Deserialize)]
pub(super) struct Sync {
    proxy: String,
    #[serde(default)]
    cluster_sent: String,
    #[serde(default)]
    cluster_acked: String,
    #[serde(default)]
    endpoint_sent: String,
    #[serde(default)]
    endpoint_acked: String,
    #[serde(default)]
    listener_sent: String,
    #[serde(default)]
    listener_acked: String,
    #[serde(default)]
    route_sent: String,
    #[serde(default)]
    route_acked: String,
    #[serde(default)]
    extensionconfig_sent: String,
    #[serde(default)]
    extensionconfig_acked: String,
}

impl Sync {
    fn has_acknowledged(&self, part: Part) -> bool {
        let (sent, acked) = match part {
            Part::Clusters => (&self.cluster_sent, &self.cluster_acked),
            Part::Endpoints => (&self.endpoint_sent, &self.endpoint_acked),
            Part::Listeners => (&self.listener_sent, &self.listener_acked),
            Part::Routes => (&self.route_sent, &self.route_acked),
            Part::Extensions => (&self.extensionconfig_sent, &self.extensionconfig_acked),
        };
        sent == acked
    }
}

/// Joins what an istiod says of its proxies. What they watch was asked first: what they acknowledge is then
/// at least as new. Of what was sent to them, these parts matter.
pub(super) fn proxies(watchers: Vec<Watcher>, sync: &[Sync], parts: &BTreeSet<Part>) -> Vec<Proxy> {
    let mut by_proxy: HashMap<&str, Vec<&Sync>> = HashMap::new();
    for sync in sync {
        by_proxy.entry(&sync.proxy).or_default().push(sync);
    }
    let proxy = |watcher: Watcher| {
        let sync = by_proxy.get(watcher.name.as_str()).map_or(&[][..], Vec::as_slice);
        Proxy {
            in_sight: watcher.in_sight,
            has_marker: watcher.has_marker,
            // One that has just gone may come back with less than it was sent.
            is_settled: is_settled(sync, parts),
            is_new: watcher.asks_for_clusters && sync.iter().all(|sync| sync.cluster_acked.is_empty()),
            name: watcher.name,
        }
    };
    watchers.into_iter().map(proxy).collect()
}

/// An answer of `/debug/endpointShardz`, as far as it matters: by host and namespace.
pub(super) type Endpoints = HashMap<String, HashMap<String, Shards>>;

#[derive(Debug, Deserialize)]
pub(super) struct Shards {
    #[serde(rename = "Shards", default)]
    by_registry: HashMap<String, Option<Vec<Endpoint>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    #[serde(rename = "Addresses", default)]
    addresses: Option<Vec<String>>,
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "HealthStatus", default)]
    health: u32,
}

/// How istiod says that an endpoint is not ready, or is ending: nobody is sent there.
///
/// Source: `HealthStatus` in pilot/pkg/model/service.go.
const SERVING_NOBODY: [u32; 2] = [2, 4];

/// The first pod with an endpoint that does not have the pod's labels as they are now. One that is not ready serves nobody
/// yet, and will have them once it does: until then istiod does not look at its labels anew.
pub(super) fn unlabelled<'l>(endpoints: &Endpoints, labelled: &'l [Labelled]) -> Option<&'l Labelled> {
    let shards = endpoints.values().flat_map(HashMap::values);
    let all = shards.flat_map(|shards| shards.by_registry.values().flatten().flatten());
    let mut by_address: HashMap<&str, Vec<&Endpoint>> = HashMap::new();
    for endpoint in all {
        for address in endpoint.addresses.iter().flatten() {
            by_address.entry(address).or_default().push(endpoint);
        }
    }
    let carries = |endpoint: &Endpoint, pod: &Labelled| {
        let own = endpoint.labels.as_ref();
        pod.labels.iter().all(|(key, value)| own.and_then(|own| own.get(key)) == value.as_ref())
    };
    labelled.iter().find(|pod| {
        let own = pod.addresses.iter().flat_map(|address| by_address.get(address.as_str())).flatten();
        own.into_iter().any(|endpoint| !SERVING_NOBODY.contains(&endpoint.health) && !carries(endpoint, pod))
    })
}

/// The pods that are no endpoint to which anything is sent.
pub(super) fn absent<'p>(endpoints: &Endpoints, pods: &[&'p ReadyPod]) -> impl Iterator<Item = &'p ReadyPod> {
    let shards = endpoints.values().flat_map(HashMap::values);
    let all = shards.flat_map(|shards| shards.by_registry.values().flatten().flatten());
    let serving = all.filter(|endpoint| !SERVING_NOBODY.contains(&endpoint.health));
    let known: BTreeSet<&str> =
        serving.flat_map(|endpoint| endpoint.addresses.iter().flatten()).map(String::as_str).collect();
    pods.iter()
        .copied()
        .filter(move |pod| !pod.addresses.iter().any(|address| known.contains(address.as_str())))
}

/// Whether an istiod knows of a proxy, and that it has acknowledged these parts of what it was sent.
fn is_settled(of_proxy: &[&Sync], parts: &BTreeSet<Part>) -> bool {
    let has_all = |sync: &&Sync| parts.iter().all(|part| sync.has_acknowledged(*part));
    !of_proxy.is_empty() && of_proxy.iter().all(has_all)
}

/// The proxies that have not confirmed.
pub(super) fn late(proxies: &[Proxy]) -> BTreeSet<String> {
    let late = |proxy: &&Proxy| proxy.is_new || (proxy.in_sight && !(proxy.has_marker && proxy.is_settled));
    proxies.iter().filter(late).map(|proxy| proxy.name.clone()).collect()
}

/// The first write that an answer of `/debug/configz` holds neither as it was made nor as it is by now.
pub(super) fn unknown<'w>(
    config: &[Value],
    mut written: impl Iterator<Item = &'w Written>,
) -> Option<&'w Written> {
    let key = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        ObjectRef {
            kind: text(&object["kind"]),
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
        }
    };
    let version =
        |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let theirs: HashMap<ObjectRef, String> =
        config.iter().map(|object| (key(object), version(object))).collect();
    written.find(|write| match (&write.resource_version, theirs.get(&write.object)) {
        (None, found) => found.is_some(),
        (Some(_), None) => true,
        // Versions of one API server are numbers that grow.
        (Some(ours), Some(theirs)) => match (theirs.parse::<u64>(), ours.parse::<u64>()) {
            (Ok(theirs), Ok(ours)) => theirs < ours,
            _ => theirs != ours,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::arrival::News;
    use crate::arrival::marker::Marked;
    use crate::arrival::watches::{self, CLUSTERS, ENDPOINTS};

    fn answer(watched: &[&str], route_acked: &str) -> Vec<Proxy> {
        let watches = json!({"totalClients": 1, "clients": [{
            "connectionId": "web-v1-7d4f-x2x.shop-12",
            "watches": {ENDPOINTS: watched},
        }]});
        let sync = json!([{
            "proxy": "web-v1-7d4f-x2x.shop", "cluster_sent": "a/1x", "cluster_acked": "a/1x",
            "route_sent": "a/2y", "route_acked": route_acked,
        }]);
        let sync: Vec<Sync> = serde_json::from_value(sync).expect("sync");
        proxies(watchers(&watches, &["stock"]), &sync, &BTreeSet::from([Part::Routes]))
    }

    /// What proxies have subscribed to, as to a marker of ours and these services.
    fn watchers(answer: &Value, services: &[&str]) -> Vec<Watcher> {
        let marked = Marked {
            subset: "m7".into(),
            services: services.iter().map(|name| (*name).into()).collect(),
            own: "ours".into(),
            blind: BTreeSet::from(["blind".into()]),
        };
        watches::read(answer.to_string().as_bytes(), &marked).expect("watches")
    }

    #[test]
    fn a_proxy_has_it_when_it_watches_the_marker_and_acknowledges_it() {
        let (base, marked) = ("outbound|80||ours", "outbound|80|m7|ours");
        let named = BTreeSet::from(["web-v1-7d4f-x2x.shop".to_owned()]);
        assert_eq!(late(&answer(&[base, marked], "a/2y")), BTreeSet::new());
        assert_eq!(late(&answer(&[base, marked], "a/1w")), named, "routes not acknowledged");
        assert_eq!(late(&answer(&[base], "a/2y")), named, "an answer from before the change");
        assert_eq!(late(&answer(&[base, "outbound|80|m6|ours"], "a/2y")), named, "an older marker");
        assert_eq!(late(&answer(&["outbound|80||others"], "a/2y")), BTreeSet::new(), "out of sight");
    }

    #[test]
    fn what_a_proxy_refuses_elsewhere_does_not_matter() {
        let sync: Sync = serde_json::from_value(json!({
            "proxy": "a.shop", "cluster_sent": "2", "cluster_acked": "2", "endpoint_sent": "2",
            "endpoint_acked": "2", "listener_sent": "2", "listener_acked": "1", "route_sent": "2",
            "route_acked": "2", "extensionconfig_sent": "2",
        }))
        .expect("sync");
        let written = |kind: &str| {
            let object = ObjectRef { kind: kind.into(), namespace: "shop".into(), name: "x".into() };
            vec![Written::new(object, None)]
        };
        let settled = |news: &News| is_settled(&[&sync], &news.parts());
        let of = |kind: &str| News { written: written(kind), ..News::default() };
        assert!(settled(&of("DestinationRule")));
        assert!(settled(&of("VirtualService")));
        assert!(!settled(&of("WasmPlugin")), "its plugins were not told");
        assert!(!settled(&News { plugins_come_or_go: true, ..News::default() }), "its listeners are old");
        assert!(!is_settled(&[], &BTreeSet::new()), "nobody knows of it");
    }

    #[test]
    fn a_proxy_that_may_not_see_our_service_shows_it_by_those_that_it_calls() {
        let named = BTreeSet::from(["web-v1-7d4f-x2x.shop".to_owned()]);
        let (base, grpc) = ("outbound|80||stock", "outbound|90||stock");
        assert_eq!(
            late(&answer(&[base, grpc, "outbound|80|m7|stock"], "a/2y")),
            named,
            "one port is missing"
        );
        let unheard = json!({"clients": [
            {"connectionId": "a.shop-1", "watches": {ENDPOINTS: ["outbound|80||ours", "outbound|80|m7|ours"]}},
        ]});
        let gone = late(&proxies(watchers(&unheard, &[]), &[], &BTreeSet::new()));
        assert_eq!(gone.len(), 1, "it went between two questions");
        let all = [base, grpc, "outbound|80|m7|stock", "outbound|90|m7|stock"];
        assert_eq!(late(&answer(&all, "a/2y")), BTreeSet::new());
    }

    #[test]
    fn a_proxy_that_has_just_connected_is_waited_for() {
        let judged = |watches: Value, sync: Value| {
            let watches = json!({"clients": [{"connectionId": "a.shop-1", "watches": watches}]});
            let sync: Vec<Sync> = serde_json::from_value(sync).expect("sync");
            late(&proxies(watchers(&watches, &[]), &sync, &BTreeSet::from([Part::Clusters]))).len()
        };
        let acked = json!([{"proxy": "a.shop", "cluster_sent": "n", "cluster_acked": "n"}]);
        let sent = json!([{"proxy": "a.shop", "cluster_sent": "n"}]);
        assert_eq!(judged(json!({}), json!([])), 1, "nothing is heard of it yet");
        assert_eq!(judged(json!({CLUSTERS: []}), sent), 1, "it has not taken its clusters");
        assert_eq!(judged(json!({CLUSTERS: []}), acked), 0, "it knows no service of ours");
        assert_eq!(judged(json!({"other": ["x"]}), json!([])), 0, "it asks for no clusters");
    }

    #[test]
    fn a_proxy_whose_namespace_has_its_own_rule_for_everything_is_not_waited_for() {
        let mut watches = json!({"clients": [{"connectionId": "a.blind-1", "watches": {ENDPOINTS: ["outbound|80||ours"]}}]});
        let judged = |watches: &Value| late(&proxies(watchers(watches, &[]), &[], &BTreeSet::new()));
        assert_eq!(judged(&watches), BTreeSet::new());
        watches["clients"][0]["connectionId"] = "a.other-1".into();
        assert_eq!(judged(&watches).len(), 1);
    }

    #[track_caller]
    fn check(theirs: Option<&str>, ours: Option<&str>, is_known: bool) {
        let config: Vec<Value> = theirs
            .iter()
            .map(|version| {
                json!({"kind": "VirtualService", "metadata":
                    {"name": "web", "namespace": "shop", "resourceVersion": version}})
            })
            .collect();
        let object =
            ObjectRef { kind: "VirtualService".into(), namespace: "shop".into(), name: "web".into() };
        let written = [Written::new(object, ours.map(str::to_owned))];
        assert_eq!(unknown(&config, written.iter()).is_none(), is_known, "{theirs:?} {ours:?}");
    }

    #[test]
    fn labels_have_arrived_when_every_endpoint_of_the_pod_has_them() {
        let endpoint =
            |address: &str, lane: Value| json!({"Addresses": [address], "Labels": lane, "HealthStatus": 1});
        let endpoints = |lane: Value| -> Endpoints {
            let ports = [endpoint("10.0.0.7", lane), endpoint("10.0.0.8", Value::Null)];
            let shards = json!({"Shards": {"Kubernetes/one": ports, "Kubernetes/two": null}});
            serde_json::from_value(json!({"stock.shop": {"shop": shards}})).expect("endpoints")
        };
        let pod = |address: &str| Labelled {
            pod: ObjectRef { kind: "Pod".into(), namespace: "shop".into(), name: "stock-a".into() },
            addresses: vec![address.into()],
            labels: [("lane".to_owned(), Some("gray".to_owned())), ("old".to_owned(), None)].into(),
        };
        let check = |address: &str, lane: Value, has_arrived: bool| {
            assert_eq!(unlabelled(&endpoints(lane), &[pod(address)]).is_none(), has_arrived);
        };
        check("10.0.0.7", json!({"lane": "gray", "app": "stock"}), true);
        check("10.0.0.7", json!({"lane": "blue"}), false);
        check("10.0.0.7", json!({"lane": "gray", "old": "1"}), false);
        check("10.0.0.7", Value::Null, false);
        check("10.0.0.9", Value::Null, true);
        let mut unready =
            json!({"stock.shop": {"shop": {"Shards": {"one": [endpoint("10.0.0.7", Value::Null)]}}}});
        unready["stock.shop"]["shop"]["Shards"]["one"][0]["HealthStatus"] = 2.into();
        let unready = serde_json::from_value(unready).expect("endpoints");
        assert!(unlabelled(&unready, &[pod("10.0.0.7")]).is_none(), "it serves nobody yet");
    }

    #[test]
    fn a_pod_that_is_ready_has_arrived_once_it_is_an_endpoint() {
        let of_one = json!([{"Addresses": ["10.0.0.7"]}, {"Addresses": ["10.0.0.9"], "HealthStatus": 2}]);
        let shards = json!({"Shards": {"Kubernetes/one": of_one, "Kubernetes/two": null}});
        let endpoints: Endpoints =
            serde_json::from_value(json!({"stock.shop": {"shop": shards}})).expect("endpoints");
        let check = |addresses: &[&str], has_arrived: bool| {
            let pod = ObjectRef { kind: "Pod".into(), namespace: "shop".into(), name: "stock-a".into() };
            let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
            assert_eq!(absent(&endpoints, &[&ReadyPod { pod, addresses }]).next().is_none(), has_arrived);
        };
        check(&["10.0.0.7"], true);
        check(&["fd00::7", "10.0.0.7"], true);
        check(&["10.0.0.8"], false);
        check(&["10.0.0.9"], false);
        check(&[], false);
    }

    #[test]
    fn a_write_is_known_when_it_or_a_later_one_is_there() {
        check(Some("9"), Some("10"), false);
        check(Some("10"), Some("10"), true);
        check(Some("11"), Some("10"), true);
        check(None, Some("10"), false);
        check(Some("10"), None, false);
        check(None, None, true);
    }
}
