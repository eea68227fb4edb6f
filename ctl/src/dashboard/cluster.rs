//! A cluster on the page: what its watches bring, seen and changed with the rights of whoever runs this.

mod counted;
mod flows;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use canary_istio::{Host, LaneRouting, Object, ObservedService, RoutingPlan, Service};
use canary_rules::name::LaneName;
use canary_rules::wire::Carriers;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use super::picture::{About, LaneView};
use super::release_view::ReleaseView;
use super::service_graph::{Call, Graph, id};
use super::traffic::{Counted, GATEWAY};
use super::{Action, Picture, Source};
use crate::cluster::{Cluster, api_failure};
use crate::failure::{Code, Failure};
use crate::lanes::{Lanes, condition};
use crate::releases::{self, Releases};
use crate::rights;
use crate::steer;
use crate::takeovers::InWords;
use crate::world::{self, MeshConfigs, Seen};
use flows::Watched;

/// Wait after a change: several often come together.
const SETTLE: Duration = Duration::from_millis(250);
/// Istio's note on a pod that has a sidecar.
const SIDECAR_ANNOTATION: &str = "sidecar.istio.io/status";
/// Said of the graph while no proxy has told of a call: objects of a cluster tell where gateways lead, and no more.
const CALLS_FROM: &str = "Arrows are what gateways lead to: objects do not say which service calls which.";
/// Said of it later.
const CALLS_COUNTED: &str = "Arrows are calls that proxies have counted, and what gateways lead to.";
/// Receivers of the picture that are no page: the source's own.
const NO_PAGE: usize = 1;
/// How long giving back a key for traces may take.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A cluster.
pub struct ClusterSource {
    client: Client,
    releases: Releases,
    pictures: watch::Receiver<Arc<Picture>>,
    /// The lane whose flows are to be watched.
    wanted: watch::Sender<Option<LaneName>>,
    watched: watch::Receiver<Watched>,
}

impl ClusterSource {
    /// Lists the cluster once and begins to watch it; the future keeps the picture up to date and never ends.
    ///
    /// # Errors
    /// When something cannot be listed, with the right that it takes.
    pub async fn start(
        cluster: &Cluster,
        title: String,
    ) -> Result<(Self, impl Future<Output = ()> + use<>), Failure> {
        let client = &cluster.client;
        // Where nothing is installed it says so.
        Lanes::new(client).list().await?;
        // A watch without the right to it would be silent for ever: a list says so.
        let listed = world::list(client).await;
        let listed = listed.map_err(|(kind, error)| api_failure(&format!("list {kind}"), &error))?;
        let watched = world::Watched::start(client).await;
        let (objects, run) = watched.map_err(|error| api_failure("watch the cluster", &error))?;
        let seen =
            listed.see(&MeshConfigs::default()).map_err(|error| Failure::from_error(Code::Failed, &error))?;
        let first = picture(&title, &seen, &Counted::default(), &Watched::default());
        let (shown, pictures) = watch::channel(Arc::new(first));
        let wanted = watch::Sender::new(None);
        let (tell_flows, flows) = watch::channel(Watched::default());
        let source = Self {
            client: client.clone(),
            releases: Releases::new(client),
            pictures,
            wanted: wanted.clone(),
            watched: flows.clone(),
        };
        let client = client.clone();
        let keep = async move {
            let (tell, counted) = watch::channel(Counted::default());
            tokio::join!(
                run,
                keep(&objects, title, &shown, counted, flows),
                counted::keep(client.clone(), &objects, &shown, &tell),
                flows::keep(client.clone(), &shown, &wanted, &tell_flows),
            );
        };
        Ok((source, keep))
    }

    /// Has no lane watched any more, and waits until the key for it is given back, which what [`Self::start`] returned does.
    pub async fn end(&self) {
        self.wanted.send_replace(None);
        let over = async { self.watched.clone().wait_for(Watched::is_over).await.map(|_| ()) };
        // A key that is not given back ends by itself.
        let _ = tokio::time::timeout(ENDS_WITHIN, over).await;
    }

    async fn watch(&self, lane: &str, on: bool) -> Result<String, Failure> {
        if !on {
            self.wanted.send_replace(None);
            return Ok(format!("flows of lane {lane} are watched no more"));
        }
        let lane = LaneName::new(lane).map_err(|error| Failure::from_error(Code::Usage, &error))?;
        rights::held(&self.client, rights::Command::Trace, &[], &[rights::command::WATCH]).await?;
        let wish = Some(lane.clone());
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, wish.clone()) != wish);
        Ok(format!("flows of lane {lane} are shown once every proxy has a key for traces"))
    }
}

async fn keep(
    watched: &world::Watched,
    title: String,
    shown: &watch::Sender<Arc<Picture>>,
    mut counted: watch::Receiver<Counted>,
    mut flows: watch::Receiver<Watched>,
) {
    let mut news = watched.news();
    watched.ready().await;
    loop {
        let picture = match watched.world().see(&MeshConfigs::default()) {
            Ok(seen) => picture(&title, &seen, &counted.borrow_and_update(), &flows.borrow_and_update()),
            Err(error) => {
                let mut last = Picture::clone(&shown.borrow());
                last.about.trouble = Some(crate::failure::chain(&error));
                last
            }
        };
        shown.send_if_modified(|last| {
            let is_new = **last != picture;
            if is_new {
                *last = Arc::new(picture);
            }
            is_new
        });
        tokio::select! {
            () = news.changed() => tokio::time::sleep(SETTLE).await,
            // It lasts as long as this.
            _ = counted.changed() => {}
            _ = flows.changed() => {}
        }
    }
}

impl Source for ClusterSource {
    fn pictures(&self) -> watch::Receiver<Arc<Picture>> {
        self.pictures.clone()
    }

    fn act(&self, action: Action) -> BoxFuture<'_, Result<String, Failure>> {
        async move {
            match action {
                Action::Release { name, turn, step } => {
                    self.releases.ask(self.releases.get(&name).await?, turn, step).await?;
                    Ok(format!("release {name}: asked for; it is shown as it comes"))
                }
                Action::Lane { name, on } => {
                    let verb = if on { "enable" } else { "disable" };
                    Err(Failure::new(Code::Usage, "lanes of a cluster are not turned on or off on this page")
                        .help(format!("canaryctl {verb} {name}")))
                }
                Action::Watch { lane, on } => self.watch(&lane, on).await,
                Action::Flow(_) => {
                    Err(Failure::new(Code::Usage, "flows are sent through the demo's mesh only"))
                }
            }
        }
        .boxed()
    }
}

/// A cluster as seen.
fn picture(title: &str, seen: &Seen, counted: &Counted, watched: &Watched) -> Picture {
    let about = About { title: title.into(), shows_releases: true, watches_lanes: true, ..About::default() };
    let mut lanes: Vec<LaneView> = seen.lanes.iter().map(|lane| LaneView::of(lane.value())).collect();
    lanes.sort_by(|a, b| a.name.cmp(&b.name));
    let releases = seen.releases.iter().filter_map(|one| releases::parse(one.value()).ok());
    let mut releases: Vec<ReleaseView> = releases.map(|release| ReleaseView::of(&release)).collect();
    // Those under way first, then the latest.
    releases.sort_by_key(|view| {
        let latest = view.history.first().map_or(0, |(at, _)| *at);
        (view.waits_for.is_none(), std::cmp::Reverse(latest), view.name.clone())
    });
    let mut takeovers: Vec<InWords> = seen.takeovers.iter().map(|one| InWords::of(one.value())).collect();
    takeovers.sort_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
    let (graph, traffic) = (graph(seen, &counted.calls), counted.traffic.clone());
    let (flows, watch) = (watched.flows.iter().cloned().collect(), watched.view.clone());
    Picture { about, lanes, releases, takeovers, graph, traffic, flows, watch }
}

/// Services of namespaces with sidecars, and where their lanes' requests go.
fn graph(seen: &Seen, calls: &BTreeSet<Call>) -> Graph {
    let meshed: BTreeSet<&str> = seen
        .pods
        .iter()
        .filter(|pod| pod.value()["metadata"]["annotations"][SIDECAR_ANNOTATION].is_string())
        .filter_map(|pod| pod.value()["metadata"]["namespace"].as_str())
        .collect();
    let observed = seen.observed.services.iter();
    let shown = observed.filter(|one| meshed.contains(one.host.namespace()) && !one.workloads.is_empty());
    let services: Vec<Service> = shown.clone().map(ObservedService::as_service).collect();
    let (plan, lanes) = plan(seen, &services);
    let mut graph = Graph::new(&services, &plan, lanes.iter().map(|lane| &lane.name));
    let from_routes = shown.filter(|one| one.http_routes.from_gateway).map(|one| id(&one.host));
    let known: BTreeSet<String> = graph.services.iter().map(|service| service.id.clone()).collect();
    let led_to = from_routes.chain(seen.observed.virtual_services.iter().flat_map(led_to));
    let (entered, called): (Vec<&Call>, Vec<&Call>) =
        calls.iter().filter(|call| known.contains(&call.to)).partition(|call| call.from == GATEWAY);
    let entered = entered.into_iter().map(|call| call.to.clone());
    graph.entries = led_to.filter(|id| known.contains(id)).chain(entered).collect();
    graph.calls = called.into_iter().filter(|call| known.contains(&call.from)).cloned().collect();
    let from = if calls.is_empty() { CALLS_FROM } else { CALLS_COUNTED };
    graph.calls_from = (!graph.services.is_empty()).then(|| from.to_owned());
    graph
}

/// What the controller's accepted lanes make of the services; lanes that contradict others are left out, as there.
fn plan(seen: &Seen, services: &[Service]) -> (RoutingPlan, Vec<LaneRouting>) {
    let lanes = steer::standing(&seen.lanes, Timestamp::now().as_second(), |lane| {
        condition(lane.value(), "Accepted").status != "False"
    });
    let mut routing: Vec<LaneRouting> =
        lanes.iter().filter_map(|lane| LaneRouting::try_from(lane).ok()).collect();
    let tag = Carriers::default().header;
    loop {
        match canary_istio::compile(&routing, services, &tag) {
            Ok(plan) => return (plan, routing),
            Err(error) => {
                let before = routing.len();
                routing.retain(|lane| Some(&lane.name) != error.lane());
                if routing.len() == before {
                    return (
                        RoutingPlan { tag_header: tag, hosts: Vec::new(), findings: Vec::new() },
                        Vec::new(),
                    );
                }
            }
        }
    }
}

/// The services that a VirtualService leads to from gateways.
fn led_to(rule: &Object) -> Vec<String> {
    let spec = &rule.value()["spec"];
    let gateways = spec["gateways"].as_array().map_or(&[][..], Vec::as_slice);
    if !gateways.iter().any(|gateway| gateway != "mesh") {
        return Vec::new();
    }
    let namespace = rule.value()["metadata"]["namespace"].as_str().unwrap_or_default();
    let routes = spec["http"].as_array().into_iter().flatten();
    let to = routes.flat_map(|route| route["route"].as_array().into_iter().flatten());
    let hosts = to.filter_map(|to| to["destination"]["host"].as_str());
    let host = |name: &str| match name.contains('.') {
        true => name.parse::<Host>().ok(),
        false => Host::new(name, namespace).ok(),
    };
    hosts.filter_map(host).map(|host| id(&host)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::world::World;

    fn deployment(name: &str, labels: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"template": {"metadata": {"labels": labels}}},
        })
    }

    fn service(name: &str, namespace: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "name": "http"}]},
        })
    }

    fn lane(name: &str, accepted: &str) -> Value {
        json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": name, "generation": 1},
            "spec": {"rules": [{"percent": 5}]},
            "status": {"conditions": [{"type": "Accepted", "status": accepted, "observedGeneration": 1}]},
        })
    }

    fn shown(objects: Vec<Value>) -> Value {
        let seen = World { objects }.see(&MeshConfigs::default()).expect("sound objects");
        serde_json::to_value(picture("cluster dev", &seen, &Counted::default(), &Watched::default()))
            .expect("JSON")
    }

    fn shop() -> Vec<Value> {
        vec![
            service("web", "shop"),
            service("dns", "kube-system"),
            deployment("web-v1", &json!({"app": "web", "version": "v1"})),
            deployment("web-v2", &json!({"app": "web", "version": "v2", "canaryctl.io/lane": "gray"})),
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {
                    "name": "web-1", "namespace": "shop", "annotations": {"sidecar.istio.io/status": "{}"},
                },
            }),
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": "shop", "namespace": "shop"},
                "spec": {"hosts": ["shop.test"], "gateways": ["shop/edge"],
                    "http": [{"route": [{"destination": {"host": "web"}}, {"destination": {"host": "elsewhere"}}]}]},
            }),
        ]
    }

    #[test]
    fn a_cluster_is_shown_by_its_objects() {
        let mut objects = shop();
        objects.extend([lane("gray", "True"), lane("faulty", "False")]);
        let picture = shown(objects);
        assert_eq!(picture["about"]["title"], "cluster dev");
        let names: Vec<&Value> =
            picture["lanes"].as_array().expect("a list").iter().map(|lane| &lane["name"]).collect();
        assert_eq!(names, ["faulty", "gray"]);
        let graph = &picture["graph"];
        assert_eq!(
            graph["services"].as_array().expect("a list").len(),
            1,
            "no service outside the mesh: {graph}"
        );
        assert_eq!(graph["services"][0]["workloads"][1]["lane"], "gray");
        assert_eq!(graph["entries"], json!(["shop/web"]));
        assert_eq!(graph["paths"]["gray"]["shop/web"]["workloads"], json!(["web-v2"]));
        assert_eq!(graph["paths"].get("faulty"), None, "a refused lane has no path");
    }

    #[test]
    fn calls_that_proxies_have_counted_are_arrows() {
        let mut objects = shop();
        objects.push(service("cart", "shop"));
        objects.push(deployment("cart-v1", &json!({"app": "cart"})));
        let seen = World { objects }.see(&MeshConfigs::default()).expect("sound objects");
        let call = |from: &str, to: &str| Call { from: from.into(), to: to.into() };
        let calls = [
            call(GATEWAY, "shop/cart"),
            call("shop/web", "shop/cart"),
            call("shop/web", "elsewhere/api"),
            call("kube-system/dns", "shop/cart"),
        ];
        let graph = graph(&seen, &calls.into());
        assert_eq!(graph.calls, [call("shop/web", "shop/cart")], "of services that are shown");
        assert_eq!(graph.entries, ["shop/cart".to_owned(), "shop/web".to_owned()].into());
        assert_eq!(graph.calls_from.as_deref(), Some(CALLS_COUNTED));
    }

    #[test]
    fn whoever_has_a_service_is_named() {
        let takeover = |name: &str, service: &str, user: &str| {
            json!({
                "apiVersion": "canaryctl.io/v1alpha1", "kind": "Takeover",
                "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:10Z"},
                "spec": {
                    "service": service, "ports": [80], "owner": {"user": user, "machine": "laptop"},
                    "rules": [{"when": {"header": {"name": "x-dev", "exact": user}}}], "lane": format!("dev-{user}"),
                },
                "status": {"state": "On"},
            })
        };
        let mut objects = shop();
        objects.extend([takeover("b", "web", "bob"), takeover("a", "web", "alice")]);
        let picture = shown(objects);
        let want = json!([
            {
                "name": "a", "service": "shop/web", "owner": "alice on laptop", "what": "header x-dev = alice",
                "state": "on", "message": "", "since_unix_s": 1_767_225_610,
            },
            {
                "name": "b", "service": "shop/web", "owner": "bob on laptop", "what": "header x-dev = bob",
                "state": "on", "message": "", "since_unix_s": 1_767_225_610,
            },
        ]);
        assert_eq!(picture["takeovers"], want);
    }

    #[test]
    fn releases_under_way_come_first() {
        let release = |name: &str, phase: &str| {
            json!({
                "apiVersion": "canaryctl.io/v1alpha1", "kind": "Release", "metadata": {"name": name},
                "spec": {"workloads": [{"deployment": "shop/web", "images": {"app": "web:2"}}]},
                "status": {"phase": phase},
            })
        };
        let mut objects = shop();
        objects.extend([release("a", "Completed"), release("b", "Stepping")]);
        let picture = shown(objects);
        assert_eq!(
            (&picture["releases"][0]["name"], &picture["releases"][1]["name"]),
            (&json!("b"), &json!("a"))
        );
    }
}
