//! The shop on the cluster: opened once, with what tests do to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use canary_localmesh::Protocol;
use canary_localmesh::app::Access;
use serde_json::Value;

use crate::cluster::{Cluster, OF_TESTS, Ran, of_tests};
use crate::flows::Caller;
use crate::manifests::{self, CHAIN, Service};

/// How long pods may take to be ready, and the first request to come through.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// What no route leads to is collected sooner than it is by default, so that tests see it.
pub(crate) const INSTALL: [&str; 4] = ["install", "--yes", "--collect-after", "20s"];
/// The label of a namespace whose pods get the default revision's sidecars.
const INJECTED: (&str, &str) = ("istio-injection", "enabled");
/// That of one whose pods get none.
const NOT_INJECTED: (&str, &str) = ("istio-injection", "disabled");
const REMOVE_NAMESPACES: [&str; 4] = ["delete", "namespace", "--wait=true", "--timeout=120s"];
/// Istio's drain time, 45 s, and some.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// The services with a gray version: cart has none, and hands on no header of ours.
pub(crate) const GRAY_SERVICES: [&str; 3] = ["web", "stock", "price"];

pub(crate) struct Shop {
    cluster: Cluster,
    namespace: String,
    gateway: SocketAddr,
}

impl Shop {
    /// Opens it in a namespace of its own.
    pub(crate) async fn open(cluster: &Cluster) -> Self {
        Self::injected(cluster, INJECTED).await
    }

    /// Opens another that clients without a sidecar may call, too: an open shop that begins to let them in drains its
    /// listeners, and closes connections in use at the end of that.
    pub(crate) async fn open_to_all(cluster: &Cluster) -> Self {
        Self::of(cluster, INJECTED, "PERMISSIVE").await
    }

    /// Opens another whose pods get no sidecars.
    pub(crate) async fn outside_the_mesh(cluster: &Cluster) -> Self {
        Self::injected(cluster, NOT_INJECTED).await
    }

    /// Opens it where this label of its namespace says whose its sidecars are.
    pub(crate) async fn injected(cluster: &Cluster, label: (&str, &str)) -> Self {
        Self::of(cluster, label, "STRICT").await
    }

    async fn of(cluster: &Cluster, (key, value): (&str, &str), mutual_tls: &str) -> Self {
        let namespace = format!("shop-{:08x}", fastrand::u32(..));
        cluster.apply(&[serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {key: value, (OF_TESTS.0): OF_TESTS.1}},
        })]);
        cluster.apply(&manifests::shop(&namespace, mutual_tls));
        let pods = cluster.get(&["pods", "-A", "-l", "istio=ingressgateway"]);
        let address = pods["items"][0]["status"]["podIP"].as_str().expect("a gateway").parse();
        let gateway = SocketAddr::new(address.expect("an address"), 8080);
        let shop = Self { cluster: cluster.clone(), namespace, gateway };
        shop.rolled_out();
        shop.answers(&shop.host()).await;
        shop
    }

    /// Waits until flows to a host come through: ready pods are no routes yet.
    pub(crate) async fn answers(&self, host: &str) {
        let caller = Caller::of_host(self, host, Protocol::Http1);
        let deadline = Instant::now() + READY_WITHIN;
        while let Some(failure) = caller.send(&[]).await.failure {
            assert!(Instant::now() < deadline, "no flow comes through: {failure}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    pub(crate) fn host(&self) -> String {
        manifests::host(&self.namespace)
    }

    /// Installs canaryctl where it is not yet, and waits until no connection from before passes it by.
    #[track_caller]
    pub(crate) fn installed(&self) {
        let there =
            self.cluster.kubectl(&["-n", "canaryctl-system", "get", "deploy", "canaryctl-controller"]);
        if there.code == 0 {
            return;
        }
        self.cluster.canaryctl(&INSTALL).ok();
        self.drained();
    }

    /// Waits until no proxy has connections from before its listeners last changed.
    #[track_caller]
    pub(crate) fn drained(&self) {
        let gateway = ("istio-system", "deploy/istio-ingressgateway".to_owned());
        let of_shop = CHAIN.iter().map(|service| (self.namespace(), format!("deploy/{}-v1", service.name)));
        for (namespace, proxy) in of_shop.chain([gateway]) {
            self.cluster.until("old connections are drained", DRAINED_WITHIN, || {
                let asked = ["-n", namespace, "exec", &proxy, "-c", "istio-proxy", "--"];
                let stats = ["pilot-agent", "request", "GET", "stats?filter=draining"];
                let answer = self.cluster.kubectl(&[asked.as_slice(), &stats].concat()).ok();
                let drains = |line: &str| {
                    line.starts_with("listener_manager.total_") && !line.trim_end().ends_with(": 0")
                };
                (!answer.stdout.lines().any(drains)).then_some(())
            });
        }
    }

    /// Brings the gray versions into a lane, and waits until they are ready.
    #[track_caller]
    pub(crate) fn gray(&self, lane: &str, version: &str, services: &[&str]) {
        self.gray_to_come(lane, version, services);
        self.rolled_out();
    }

    /// The same, without waiting for them.
    #[track_caller]
    pub(crate) fn gray_to_come(&self, lane: &str, version: &str, services: &[&str]) {
        let of = |name: &&str| CHAIN.iter().find(|service| service.name == *name).expect("a service");
        let deployments: Vec<Value> = services
            .iter()
            .map(of)
            .map(|service| manifests::deployment(&self.namespace, service, version, Some(lane), 1))
            .collect();
        self.cluster.apply(&deployments);
    }

    /// Takes a version away that nobody calls any more, and waits until its pods are gone: they need not serve to
    /// the end of their grace.
    #[track_caller]
    pub(crate) fn remove(&self, version: &str) {
        self.remove_deployments(version);
        self.until_gone(version, |pods| {
            let serves = |pod: &&Value| pod["metadata"]["deletionGracePeriodSeconds"].as_u64() > Some(1);
            let serving = pods.iter().filter(serves).filter_map(|pod| pod["metadata"]["name"].as_str());
            let serving: Vec<&str> = serving.collect();
            if !serving.is_empty() {
                let end = ["delete", "pods", "--grace-period=1", "--wait=false", "--ignore-not-found"];
                self.kubectl(&[end.as_slice(), &serving].concat()).ok();
            }
        });
    }

    /// The same beside requests: its pods serve as long as anyone may call them.
    #[track_caller]
    pub(crate) fn remove_in_use(&self, version: &str) {
        self.remove_deployments(version);
        self.until_gone(version, |_| {});
    }

    #[track_caller]
    fn remove_deployments(&self, version: &str) {
        let names: Vec<String> = CHAIN.iter().map(|service| format!("{}-{version}", service.name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let delete = ["delete", "deploy", "--ignore-not-found", "--wait=false"];
        self.kubectl(&[delete.as_slice(), &names].concat()).ok();
    }

    /// Waits until a version has no pods; meanwhile does this with those that are left.
    #[track_caller]
    fn until_gone(&self, version: &str, see: impl Fn(&[Value])) {
        let selector = format!("version={version}");
        self.cluster.until("pods are gone", READY_WITHIN, || {
            let pods = self.cluster.get(&["-n", &self.namespace, "pods", "-l", &selector]);
            let pods = pods["items"].as_array().map_or(&[][..], Vec::as_slice);
            see(pods);
            pods.is_empty().then_some(())
        });
    }

    pub(crate) fn service(name: &str) -> &'static Service {
        CHAIN.iter().find(|service| service.name == name).expect("a service of the shop")
    }

    /// Waits until every Deployment runs what it says, and nothing of what it said before.
    #[track_caller]
    pub(crate) fn rolled_out(&self) {
        self.cluster.kubectl(&["-n", &self.namespace, "rollout", "status", "deploy", "--timeout=120s"]).ok();
    }

    /// kubectl in the shop's namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Ran {
        self.cluster.kubectl(&[&["-n", self.namespace.as_str()], args].concat())
    }

    /// Everything that pods of a version have answered, as they themselves say.
    #[track_caller]
    pub(crate) fn access_logs(&self, version: &str) -> Vec<Access> {
        self.access_logs_of(&format!("version={version}"))
    }

    /// The same of the pods that have this label.
    #[track_caller]
    pub(crate) fn access_logs_of(&self, label: &str) -> Vec<Access> {
        let logs = self.kubectl(&["logs", "-l", label, "-c", "app", "--tail=-1", "--max-log-requests=20"]);
        logs.ok().stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Removes it.
    pub(crate) fn close(&self) {
        self.cluster.kubectl(&[&REMOVE_NAMESPACES[..], &[&self.namespace]].concat());
    }

    /// Removes every shop, and what else tests made a namespace for.
    pub(crate) fn close_all(cluster: &Cluster) {
        cluster.kubectl(&[&REMOVE_NAMESPACES[..], &["-l", &of_tests()]].concat());
    }
}
