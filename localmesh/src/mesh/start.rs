//! From a specification to running processes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex as SyncMutex;
use std::time::{Duration, Instant};

use canary_istio::{Host, Labels, Service, Workload};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::app::AppConfig;
use crate::envoy::bootstrap::{Identity, bootstrap};
use crate::envoy::listeners::{Kind, listener};
use crate::envoy::{clusters, filters, routes};
use crate::error::MeshError;
use crate::inotify;
use crate::mesh::files::{CLUSTERS_FILE, Files, GATEWAY_ROUTES_FILE, MESH_ROUTES_FILE, RunDir, filter_file};
use crate::mesh::proxy::Starting;
use crate::mesh::{Live, Mesh, POLL_MS};
use crate::ports::{Reserved, check_free};
use crate::process::Process;
use crate::spec::{AppSpec, FilterEntry, GATEWAY, MeshSpec, Role, Upstream};

/// The port that every service has in the mesh: it is part of names only.
const SERVICE_PORT: u16 = 80;
/// How often Envoy writes out access logs, in milliseconds.
const ACCESS_LOG_FLUSH_MS: u32 = 100;

/// An app with its sidecar's addresses.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) spec: AppSpec,
    pub(crate) app_port: Reserved,
    pub(crate) inbound: Reserved,
    pub(crate) outbound: Reserved,
    pub(crate) app: SyncMutex<Option<Process>>,
}

/// The services of a specification with their instances as workloads: what its lanes are compiled against.
#[must_use]
pub fn services(apps: &[AppSpec]) -> Vec<Service> {
    let mut services: BTreeMap<&Host, Vec<Workload>> = BTreeMap::new();
    for app in apps {
        let workload = Workload { name: app.name.clone(), labels: app.pod_labels() };
        services.entry(&app.service).or_default().push(workload);
    }
    let service = |(host, workloads): (&Host, _)| Service {
        host: host.clone(),
        port: SERVICE_PORT,
        workloads,
        exchanged: None,
        copies: Vec::new(),
    };
    services.into_iter().map(service).collect()
}

/// Where each instance is reached by the proxies of others.
pub(crate) fn inbound_addresses(instances: &BTreeMap<String, Instance>) -> BTreeMap<String, SocketAddr> {
    instances.iter().map(|(name, instance)| (name.clone(), instance.inbound.address())).collect()
}

pub(crate) async fn start(spec: MeshSpec) -> Result<Mesh, MeshError> {
    check(&spec)?;
    let deadline = Instant::now() + spec.ready_timeout;
    let services = services(&spec.apps);
    let plan = canary_istio::compile(&spec.lanes, &services, &spec.tag_header)?;
    let gateway_port = Reserved::wanted(spec.gateway.port, "gateway")?;
    let instances = reserve(&spec)?;
    let run_dir = RunDir::new(&spec)?;

    let mut files = Files::new(&run_dir);
    let addresses = inbound_addresses(&instances);
    files.write_clusters(&clusters::outbound(&plan, &addresses, spec.proxy.upstream))?;
    files.write_routes(&plan, &spec.gateway.entry)?;
    if let Some(wasm) = &spec.wasm {
        for role in Role::ALL {
            files.write_filter(role, wasm, wasm.configs.get(&role).map_or("", String::as_str))?;
        }
    }

    let launcher = Launcher { spec: &spec, run_dir: &run_dir };
    let mut starting = vec![launcher.gateway(gateway_port.address())?];
    for instance in instances.values() {
        starting.push(launcher.sidecar(instance)?);
    }
    for instance in instances.values() {
        let app = launch_app(&spec, &run_dir, instance)?;
        *super::locked(&instance.app) = Some(app);
    }
    let proxies = try_join_all(starting.into_iter().map(|proxy| async {
        let name = proxy.name.clone();
        proxy.ready(deadline).await.map(|proxy| (name, proxy))
    }));
    let proxies = proxies.await?.into_iter().collect();
    for instance in instances.values() {
        app_ready(instance, deadline).await?;
    }
    let gateway = gateway_port.address();
    let live = Mutex::new(Live { files, plan });
    Ok(Mesh { proxies, instances, live, spec, services, gateway, _gateway_port: gateway_port, run_dir })
}

fn check(spec: &MeshSpec) -> Result<(), MeshError> {
    if !spec.envoy.is_file() {
        return Err(MeshError::NoEnvoy { path: spec.envoy.clone() });
    }
    if let Some(shortage) = inotify::shortage(spec.apps.len() + 1) {
        return Err(MeshError::Inotify(shortage));
    }
    let mut modules = spec.wasm.iter().flat_map(|wasm| [&wasm.module, &wasm.sidecar_module]);
    if let Some(missing) = modules.find(|module| !module.is_file()) {
        return Err(MeshError::NoModule { path: missing.clone() });
    }
    let known = |host: &Host| spec.apps.iter().any(|app| app.service == *host);
    let unknown =
        |caller: &str, host: &Host| MeshError::UnknownService { caller: caller.into(), host: host.clone() };
    if !known(&spec.gateway.entry) {
        return Err(unknown("the gateway", &spec.gateway.entry));
    }
    for app in &spec.apps {
        let late = app.behaviour.after_response.iter().map(|late| &late.host);
        if let Some(host) = app.behaviour.calls.iter().chain(late).find(|host| !known(host)) {
            return Err(unknown(&app.name, host));
        }
    }
    Ok(())
}

fn reserve(spec: &MeshSpec) -> Result<BTreeMap<String, Instance>, MeshError> {
    let mut instances = BTreeMap::new();
    for app in &spec.apps {
        let instance = Instance {
            spec: app.clone(),
            app_port: Reserved::any(&app.name)?,
            inbound: Reserved::any(&app.name)?,
            outbound: Reserved::any(&app.name)?,
            app: SyncMutex::new(None),
        };
        let taken = app.name == GATEWAY || instances.insert(app.name.clone(), instance).is_some();
        if taken {
            return Err(MeshError::DuplicateName { name: app.name.clone() });
        }
    }
    Ok(instances)
}

/// Starts an instance's app.
pub(crate) fn launch_app(
    spec: &MeshSpec,
    run_dir: &RunDir,
    instance: &Instance,
) -> Result<Process, MeshError> {
    let app = &instance.spec;
    let config = AppConfig {
        service: app.service.clone(),
        version: app.version.clone(),
        instance: app.name.clone(),
        listen: instance.app_port.address(),
        outbound: Some(instance.outbound.address()),
        behaviour: app.behaviour.clone(),
    };
    let config = serde_json::to_value(config).unwrap_or_default();
    let file = run_dir.write(&format!("{}.app.json", app.name), &config)?;
    let mut command = Command::new(&spec.app_command.program);
    command.args(&spec.app_command.args).arg("--config").arg(file);
    let name = format!("app {}", app.name);
    Process::start(&name, command, &run_dir.file(&format!("{}.app.log", app.name)))
}

/// Waits until an app accepts connections.
pub(crate) async fn app_listens(
    app: &Process,
    instance: &Instance,
    deadline: Instant,
) -> Result<(), MeshError> {
    let start = Instant::now();
    while TcpStream::connect(instance.app_port.address()).await.is_err() {
        app.check_running()?;
        if Instant::now() >= deadline {
            return Err(MeshError::NotReady {
                name: format!("app {}", instance.spec.name),
                waited: start.elapsed(),
                waiting_for: "it to listen".into(),
                log_tail: app.log_tail(),
            });
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    Ok(())
}

/// The same for an app that is in its place.
async fn app_ready(instance: &Instance, deadline: Instant) -> Result<(), MeshError> {
    let Some(app) = super::locked(&instance.app).take() else { return Ok(()) };
    let listens = app_listens(&app, instance, deadline).await;
    *super::locked(&instance.app) = Some(app);
    listens
}

/// Starts proxies.
struct Launcher<'a> {
    spec: &'a MeshSpec,
    run_dir: &'a RunDir,
}

impl Launcher<'_> {
    fn gateway(&self, address: SocketAddr) -> Result<Starting, MeshError> {
        let routes = self.path(GATEWAY_ROUTES_FILE);
        let kind = Kind::Gateway { routes: &routes };
        let listener = self.listener(GATEWAY, &kind, address, &self.spec.filters.gateway);
        let labels = Labels::from([("app".into(), GATEWAY.into())]);
        let service = &self.spec.gateway.entry;
        let identity = Identity { kind: "router", pod: GATEWAY, service, labels: &labels };
        let admin = self.spec.gateway.admin_port;
        self.launch(GATEWAY, &identity, admin, &[listener], &[], self.roles(&[&self.spec.filters.gateway]))
    }

    fn sidecar(&self, instance: &Instance) -> Result<Starting, MeshError> {
        let (app, filters) = (&instance.spec, &self.spec.filters);
        let (plain, grpc) = ("inbound|80||", "inbound|80|grpc|");
        let inbound = Kind::Inbound { routes: routes::inbound(plain, grpc) };
        let mesh_routes = self.path(MESH_ROUTES_FILE);
        let outbound = Kind::Outbound { routes: &mesh_routes };
        let listeners = [
            self.listener(&app.name, &inbound, instance.inbound.address(), &filters.inbound),
            self.listener(&app.name, &outbound, instance.outbound.address(), &filters.outbound),
        ];
        let address = instance.app_port.address();
        let clusters = [
            clusters::local_app(plain, address, Upstream::Http1),
            clusters::local_app(grpc, address, Upstream::H2c),
        ];
        let labels = app.pod_labels();
        let identity = Identity { kind: "sidecar", pod: &app.name, service: &app.service, labels: &labels };
        let roles = self.roles(&[&filters.inbound, &filters.outbound]);
        self.launch(&app.name, &identity, app.admin_port, &listeners, &clusters, roles)
    }

    fn listener(&self, proxy: &str, kind: &Kind, address: SocketAddr, entries: &[FilterEntry]) -> Value {
        let config_file = |role| self.path(filter_file(role));
        let chain = filters::chain(entries, self.spec.wasm.as_ref(), config_file);
        let access_log = self.path(&format!("{proxy}.access.log"));
        listener(kind, address, &chain, &self.spec.proxy, &access_log)
    }

    fn launch(
        &self,
        name: &str,
        identity: &Identity,
        admin_port: Option<u16>,
        listeners: &[Value],
        clusters: &[Value],
        roles: Vec<Role>,
    ) -> Result<Starting, MeshError> {
        if let Some(port) = admin_port {
            check_free(port, &format!("admin interface of {name}"))?;
        }
        // Without a wish the system chooses, and Envoy writes down what it was given.
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, admin_port.unwrap_or(0)));
        let config = bootstrap(identity, admin, listeners, clusters, &self.path(CLUSTERS_FILE));
        let config = self.run_dir.write(&format!("{name}.bootstrap.json"), &config)?;
        let admin_file = self.run_dir.file(&format!("{name}.admin"));
        remove_if_there(&admin_file)?;
        let concurrency = self.spec.proxy.concurrency;
        let mut command = Command::new(&self.spec.envoy);
        command.arg("--config-path").arg(config);
        command.arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", &concurrency.to_string()]);
        command.args(["--log-level", self.spec.proxy.log_level]);
        command.args(["--file-flush-interval-msec", &ACCESS_LOG_FLUSH_MS.to_string()]);
        // Processes beside each other on one machine would otherwise share memory by number.
        command.arg("--disable-hot-restart");
        let process = Process::start(name, command, &self.run_dir.file(&format!("{name}.envoy.log")))?;
        Ok(Starting { name: name.into(), process, admin_file, roles, concurrency })
    }

    /// The roles that the filter under test has in these chains.
    fn roles(&self, chains: &[&Vec<FilterEntry>]) -> Vec<Role> {
        let role = |entry: &FilterEntry| match entry {
            FilterEntry::Canary(role) if self.spec.wasm.is_some() => Some(*role),
            _ => None,
        };
        chains.iter().flat_map(|chain| chain.iter().filter_map(role)).collect()
    }

    fn path(&self, file: &str) -> String {
        self.run_dir.file(file).to_string_lossy().into_owned()
    }
}

/// An address left by an earlier run in the same directory would be taken for this one's.
fn remove_if_there(path: &Path) -> Result<(), MeshError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(MeshError::File { action: "remove", path: path.into(), source })
        }
        _ => Ok(()),
    }
}
