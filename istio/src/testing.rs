//! What the tests of several modules share: meshes to plan for, and how Istio reads them.

pub(crate) mod arbitrary;
pub(crate) mod effective;
pub(crate) mod meshes;

use std::collections::BTreeMap;

use canary_rules::name::{HeaderName, LaneName};
use serde_json::{Value, json};

use crate::compile::compile;
use crate::lane::{LANE_LABEL, LaneRouting, Mode, RefusalStatus};
use crate::matching::{self, Request, Terms};
use crate::observed::{HttpRoutes, Observed, ObservedService, Port};
use crate::plan::RoutingPlan;
use crate::routes::matches_of;
use crate::service::{Labels, Service, Workload};

pub(crate) const TAG_HEADER: &str = "x-canary-lane";

pub(crate) fn header() -> HeaderName {
    HeaderName::new(TAG_HEADER).expect("header")
}

pub(crate) fn lane_name(name: &str) -> LaneName {
    LaneName::new(name).expect("lane name")
}

pub(crate) fn lane(name: &str) -> LaneRouting {
    LaneRouting {
        name: lane_name(name),
        parent: None,
        mode: Mode::Permissive,
        members: BTreeMap::new(),
        mirror: 0,
    }
}

pub(crate) fn child(name: &str, parent: &str) -> LaneRouting {
    LaneRouting { parent: Some(lane_name(parent)), ..lane(name) }
}

pub(crate) fn strict(name: &str) -> LaneRouting {
    LaneRouting { mode: Mode::Strict(RefusalStatus::default()), ..lane(name) }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

/// Workloads from `name` or `name:lane-label`; each also carries `version: <name>`.
pub(crate) fn workloads(texts: &[&str]) -> Vec<Workload> {
    let workload = |text: &&str| {
        let (name, lane) = text.split_once(':').map_or((*text, None), |(name, lane)| (name, Some(lane)));
        let mut labels = labels(&[("version", name)]);
        labels.extend(lane.map(|lane| (LANE_LABEL.into(), lane.into())));
        Workload { name: name.into(), labels }
    };
    texts.iter().map(workload).collect()
}

pub(crate) fn service(host: &str, texts: &[&str]) -> Service {
    Service {
        host: host.parse().expect("host"),
        port: 80,
        workloads: workloads(texts),
        exchanged: None,
        copies: Vec::new(),
    }
}

/// Lanes of every sort: two siblings, a child, a strict one that serves `web` only.
pub(crate) fn lanes_of_every_sort() -> Vec<LaneRouting> {
    vec![lane("alice"), lane("gray"), child("gray.checkout", "gray"), strict("only")]
}

/// Services that these lanes meet in every way; `legacy` is met by the strict lane only.
pub(crate) fn services_of_every_sort() -> Vec<Service> {
    vec![
        service("cart.shop", &["v1", "v2:gray"]),
        service("legacy.shop", &["v1"]),
        service("stock.back", &["v1", "v3:gray.checkout"]),
        service("web.shop", &["v1", "v2:gray", "v4:alice", "v5:only"]),
    ]
}

pub(crate) fn compiled(lanes: &[LaneRouting], services: &[Service]) -> RoutingPlan {
    compile(lanes, services, &header()).expect("a plan")
}

/// A mesh of these services, each with one HTTP port, and nothing of Istio's.
pub(crate) fn mesh_of(services: &[(&str, &[&str])]) -> Observed {
    let observed = |(host, texts): &(&str, &[&str])| ObservedService {
        host: host.parse().expect("host"),
        ports: vec![Port { name: Some("http".into()), number: 80, app_protocol: None, udp: false }],
        headless: false,
        selector: Labels::new(),
        workloads: workloads(texts),
        http_routes: HttpRoutes::default(),
        distribution: None,
        exchanged: None,
        copies: Vec::new(),
    };
    Observed { services: services.iter().map(observed).collect(), ..Observed::default() }
}

impl Request {
    pub(crate) fn tagged(mut self, lane: &str) -> Self {
        self.headers.insert(TAG_HEADER.into(), lane.into());
        self
    }

    /// One of which everything is known.
    fn known(mut self) -> Self {
        self.scheme.get_or_insert_default();
        self.authority.get_or_insert_default();
        self.source_labels.get_or_insert_default();
        self.source_namespace.get_or_insert_default();
        self
    }
}

/// The route that serves a request: the first that matches.
pub(crate) fn choose<'a>(http: &'a [Value], request: &Request) -> Option<&'a Value> {
    let request = request.clone().known();
    let matches = |one: &Value| {
        let is = |terms: Option<Terms>| terms.is_some_and(|terms| terms.is_empty());
        is(matching::placed(one, &request)) && is(matching::holds(one, &request))
    };
    http.iter().find(|route| matches_of(route).is_empty() || matches_of(route).iter().any(matches))
}

/// A route that delegates.
pub(crate) fn delegating(matches: Value, namespace: &str, name: &str) -> Value {
    json!({"match": matches, "delegate": {"namespace": namespace, "name": name}})
}
