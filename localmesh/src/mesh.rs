//! A running mesh: its processes, its addresses, and the changes it takes while it runs.
//!
//! Every change is written for all proxies and then waited for, proxy by proxy, until each says that it has
//! taken it. Routes never lead where a proxy has no cluster: clusters come first and go last.

mod files;
mod proxy;
mod start;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant};

use canary_istio::{LaneRouting, RoutingPlan, Service};
use tokio::sync::Mutex;

use crate::admin::Admin;
use crate::envoy::clusters;
use crate::error::MeshError;
use crate::http::{Client, Protocol};
use crate::mesh::files::{Files, RunDir};
use crate::mesh::proxy::{Proxy, Subscription};
use crate::mesh::start::Instance;
use crate::ports::Reserved;
use crate::process::Process;
use crate::spec::{AppSpec, GATEWAY, MeshSpec, Role};

pub use start::services;

/// How long processes may take to end by themselves, in milliseconds.
const SHUTDOWN_MS_MAX: u64 = 2000;
/// Between two looks at a condition that is waited for, in milliseconds.
const POLL_MS: u64 = 20;

/// A running mesh. All its processes end when it is dropped, and when this process ends.
///
/// A process that a signal ends drops nothing: on Ctrl-C call [`Mesh::shutdown`], or the run directory stays.
#[derive(Debug)]
pub struct Mesh {
    proxies: BTreeMap<String, Proxy>,
    instances: BTreeMap<String, Instance>,
    live: Mutex<Live>,
    spec: MeshSpec,
    services: Vec<Service>,
    gateway: SocketAddr,
    _gateway_port: Reserved,
    // Last, so that it outlives the processes that write there.
    run_dir: RunDir,
}

/// What changes while the mesh runs.
#[derive(Debug)]
struct Live {
    files: Files,
    plan: RoutingPlan,
}

impl Mesh {
    /// Starts every process and waits until the whole mesh serves.
    ///
    /// # Errors
    /// When the specification contradicts itself, something is missing, or a process does not get ready in
    /// time; nothing stays behind then.
    pub async fn start(spec: MeshSpec) -> Result<Self, MeshError> {
        start::start(spec).await
    }

    /// Where clients come in: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway)
    }

    /// Where clients come in.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// A client of the gateway.
    #[must_use]
    pub fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.gateway, protocol)
    }

    /// Names of all proxies: `gateway`, then the instances.
    pub fn proxies(&self) -> impl Iterator<Item = &str> {
        std::iter::once(GATEWAY).chain(self.instances.keys().map(String::as_str))
    }

    /// The admin interface of a proxy.
    ///
    /// # Errors
    /// When there is no such proxy.
    pub fn admin(&self, proxy: &str) -> Result<&Admin, MeshError> {
        self.proxy(proxy).map(Proxy::admin)
    }

    /// Counters and gauges of a proxy whose names match Envoy's regular expression.
    ///
    /// # Errors
    /// When there is no such proxy, or it does not answer.
    pub async fn stats(&self, proxy: &str, filter: &str) -> Result<BTreeMap<String, u64>, MeshError> {
        self.admin(proxy)?.stats(filter).await
    }

    /// The process id of a proxy.
    ///
    /// # Errors
    /// When there is no such proxy.
    pub fn proxy_pid(&self, proxy: &str) -> Result<u32, MeshError> {
        self.proxy(proxy).map(|proxy| proxy.process().id())
    }

    /// The process ids of all apps and proxies.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let proxies = self.proxies.values().map(|proxy| proxy.process().id());
        let apps =
            self.instances.values().filter_map(|instance| locked(&instance.app).as_ref().map(Process::id));
        proxies.chain(apps).collect()
    }

    /// Where an instance's app listens, past all proxies.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn app_address(&self, instance: &str) -> Result<SocketAddr, MeshError> {
        self.instance(instance).map(|instance| instance.app_port.address())
    }

    /// Where an instance's sidecar takes requests for its app.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn inbound_address(&self, instance: &str) -> Result<SocketAddr, MeshError> {
        self.instance(instance).map(|instance| instance.inbound.address())
    }

    /// Where an instance's sidecar takes the calls that its app makes.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn outbound_address(&self, instance: &str) -> Result<SocketAddr, MeshError> {
        self.instance(instance).map(|instance| instance.outbound.address())
    }

    /// The configuration and the logs of all processes.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// What a proxy logs.
    ///
    /// # Errors
    /// When there is no such proxy.
    pub fn proxy_log(&self, proxy: &str) -> Result<&Path, MeshError> {
        self.proxy(proxy).map(|proxy| proxy.process().log())
    }

    /// The app instances of the mesh.
    #[must_use]
    pub fn apps(&self) -> &[AppSpec] {
        &self.spec.apps
    }

    /// The plan that all proxies follow.
    pub async fn plan(&self) -> RoutingPlan {
        self.live.lock().await.plan.clone()
    }

    /// Puts other lanes in force, without a request being refused in between.
    ///
    /// Returns when every proxy has accepted them. Routing alone: what the filters know of lanes is set by
    /// [`Mesh::set_filter_config`].
    ///
    /// # Errors
    /// When the lanes make no plan, or a proxy does not take it in time.
    pub async fn set_lanes(&self, lanes: &[LaneRouting]) -> Result<(), MeshError> {
        let plan = canary_istio::compile(lanes, &self.services, &self.spec.tag_header)?;
        let mut live = self.live.lock().await;
        let addresses = start::inbound_addresses(&self.instances);
        let upstream = self.spec.proxy.upstream;
        let wanted = clusters::outbound(&plan, &addresses, upstream);
        let mut both = clusters::outbound(&live.plan, &addresses, upstream);
        both.extend(wanted.clone());
        let version = live.files.write_clusters(&both)?;
        self.arrived(|_| Subscription::Clusters, version).await?;
        let version = live.files.write_routes(&plan, &self.spec.gateway.entry)?;
        self.arrived(Proxy::routes, version).await?;
        live.plan = plan;
        let version = live.files.write_clusters(&wanted)?;
        self.arrived(|_| Subscription::Clusters, version).await
    }

    /// Gives the filter under test another configuration in one role, everywhere.
    ///
    /// Returns when every proxy's main thread has accepted it; its workers follow with their next event.
    /// Does nothing in a mesh without filter.
    ///
    /// # Errors
    /// [`MeshError::Refused`] when a proxy refuses it (the one before stays in force), or one does not take
    /// it in time.
    pub async fn set_filter_config(&self, role: Role, config: &str) -> Result<(), MeshError> {
        let Some(wasm) = &self.spec.wasm else { return Ok(()) };
        let mut live = self.live.lock().await;
        let refused = self.refusals(role).await?;
        let version = live.files.write_filter(role, wasm, config)?;
        for (name, proxy) in self.proxies.iter().filter(|(_, proxy)| proxy.has(role)) {
            let before = refused.get(name.as_str()).copied().unwrap_or_default();
            proxy.arrived(&Subscription::Filter(role), version, before, self.deadline()).await?;
        }
        Ok(())
    }

    /// Whether everything runs that was not killed through this mesh.
    ///
    /// # Errors
    /// [`MeshError::Ended`] names a process that has ended by itself, and quotes its log.
    pub fn check_running(&self) -> Result<(), MeshError> {
        for proxy in self.proxies.values() {
            proxy.process().check_running()?;
        }
        for instance in self.instances.values() {
            locked(&instance.app).as_ref().map_or(Ok(()), Process::check_running)?;
        }
        Ok(())
    }

    /// Kills an app and leaves its sidecar; does nothing if it does not run.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn kill_app(&self, instance: &str) -> Result<(), MeshError> {
        // Dropped, it is killed and waited for.
        locked(&self.instance(instance)?.app).take();
        Ok(())
    }

    /// Kills an app and its sidecar, as when a node dies.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn kill_instance(&self, instance: &str) -> Result<(), MeshError> {
        self.kill_app(instance)?;
        self.proxy(instance)?.process().kill();
        Ok(())
    }

    /// Starts a killed app again, at its old address, and waits until it listens.
    ///
    /// # Errors
    /// When there is no such instance, or its app does not get ready in time.
    pub async fn restart_app(&self, instance: &str) -> Result<(), MeshError> {
        self.kill_app(instance)?;
        let instance = self.instance(instance)?;
        let app = start::launch_app(&self.spec, &self.run_dir, instance)?;
        start::app_listens(&app, instance, self.deadline()).await?;
        *locked(&instance.app) = Some(app);
        Ok(())
    }

    /// Ends every process, giving each the time to write out its logs.
    pub async fn shutdown(self) {
        let deadline = Instant::now() + Duration::from_millis(SHUTDOWN_MS_MAX);
        for proxy in self.proxies.values() {
            proxy.process().ask_to_end();
        }
        while self.proxies.values().any(|proxy| proxy.process().runs()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    async fn arrived(
        &self,
        subscription: impl Fn(&Proxy) -> Subscription,
        version: u64,
    ) -> Result<(), MeshError> {
        for proxy in self.proxies.values().filter(|proxy| proxy.process().runs()) {
            proxy.arrived(&subscription(proxy), version, 0, self.deadline()).await?;
        }
        Ok(())
    }

    /// How often each proxy has refused a role's configuration so far.
    async fn refusals(&self, role: Role) -> Result<BTreeMap<String, u64>, MeshError> {
        let mut refused = BTreeMap::new();
        for (name, proxy) in self.proxies.iter().filter(|(_, proxy)| proxy.has(role)) {
            refused.insert(name.clone(), proxy.refusals(&Subscription::Filter(role)).await?);
        }
        Ok(refused)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.spec.ready_timeout
    }

    fn proxy(&self, name: &str) -> Result<&Proxy, MeshError> {
        self.proxies.get(name).ok_or_else(|| MeshError::NoInstance { name: name.into() })
    }

    fn instance(&self, name: &str) -> Result<&Instance, MeshError> {
        self.instances.get(name).ok_or_else(|| MeshError::NoInstance { name: name.into() })
    }
}

fn locked(app: &SyncMutex<Option<Process>>) -> std::sync::MutexGuard<'_, Option<Process>> {
    app.lock().unwrap_or_else(PoisonError::into_inner)
}
