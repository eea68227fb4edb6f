//! What a mesh shall be: apps, lanes, proxies and filters. Plain data; nothing is started here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use canary_istio::{Host, Labels, LaneRouting};
use canary_rules::name::HeaderName;
use serde_json::Value;

use crate::app::Behaviour;

/// Name of the gateway's proxy.
pub const GATEWAY: &str = "gateway";
/// How long a mesh may take to be ready, unless told otherwise, in seconds.
pub const READY_TIMEOUT_S_DEFAULT: u64 = 60;

/// A whole mesh.
#[derive(Debug, Clone)]
pub struct MeshSpec {
    /// The Envoy binary.
    pub envoy: PathBuf,
    /// How an app's process is started.
    pub app_command: AppCommand,
    /// The way in.
    pub gateway: GatewaySpec,
    /// One app and one sidecar each.
    pub apps: Vec<AppSpec>,
    /// The lanes at the start; see [`crate::Mesh::set_lanes`].
    pub lanes: Vec<LaneRouting>,
    /// The header that carries the tag.
    pub tag_header: HeaderName,
    /// The filter under test; without one, [`FilterEntry::Canary`] entries are left out.
    pub wasm: Option<WasmSpec>,
    /// Which HTTP filters each kind of listener has before its router.
    pub filters: FilterChains,
    /// How all proxies are set up.
    pub proxy: ProxyOptions,
    /// Where configuration and logs go; a fresh directory below the system's temporary one if not said.
    pub run_dir: Option<PathBuf>,
    /// Whether a directory of our own making stays when the mesh is gone.
    pub keep_run_dir: bool,
    /// How long the mesh may take to be ready, and a change to arrive at every proxy.
    pub ready_timeout: Duration,
}

impl MeshSpec {
    /// A mesh of these apps with one worker per proxy, no lanes and no filter.
    #[must_use]
    pub fn new(envoy: PathBuf, app_command: AppCommand, entry: Host, apps: Vec<AppSpec>) -> Self {
        Self {
            envoy,
            app_command,
            gateway: GatewaySpec { port: None, admin_port: None, entry },
            apps,
            lanes: Vec::new(),
            tag_header: HeaderName::new("x-canary-lane").expect("a valid header name"),
            wasm: None,
            filters: FilterChains::default(),
            proxy: ProxyOptions::default(),
            run_dir: None,
            keep_run_dir: false,
            ready_timeout: Duration::from_secs(READY_TIMEOUT_S_DEFAULT),
        }
    }
}

/// A command that runs an app: the program, its arguments, then `--config FILE` (see [`crate::app::main`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppCommand {
    /// The program.
    pub program: PathBuf,
    /// Arguments before `--config`.
    pub args: Vec<OsString>,
}

/// The way into the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySpec {
    /// Its port on 127.0.0.1; a free one if not said.
    pub port: Option<u16>,
    /// Its admin port on 127.0.0.1; a free one if not said.
    pub admin_port: Option<u16>,
    /// The service that requests for unknown hosts go to.
    pub entry: Host,
}

/// One app instance with its sidecar: what is a pod elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct AppSpec {
    /// Unique in the mesh, e.g. `web-v1`; also the name of its sidecar.
    pub name: String,
    /// The service that it is an instance of.
    pub service: Host,
    /// Its version; also its label `version`.
    pub version: String,
    /// Further labels, e.g. `canaryctl.io/lane`; the sidecar's filter sees them as Istio shows them.
    pub labels: Labels,
    /// Its sidecar's admin port on 127.0.0.1; a free one if not said.
    pub admin_port: Option<u16>,
    /// What it does with a request.
    pub behaviour: Behaviour,
}

impl AppSpec {
    /// An instance that answers and calls nobody, named `<service>-<version>`.
    #[must_use]
    pub fn new(service: &Host, version: &str) -> Self {
        Self {
            name: format!("{}-{version}", service.name()),
            service: service.clone(),
            version: version.into(),
            labels: Labels::new(),
            admin_port: None,
            behaviour: Behaviour::default(),
        }
    }

    /// The same with the label that makes it a member of a lane.
    #[must_use]
    pub fn in_lane(mut self, lane: &str) -> Self {
        self.labels.insert(canary_istio::lane::LANE_LABEL.into(), lane.into());
        self
    }

    /// The labels of the pod that it stands for.
    #[must_use]
    pub fn pod_labels(&self) -> Labels {
        let mut labels = self.labels.clone();
        labels.entry("app".into()).or_insert_with(|| self.service.name().into());
        labels.entry("version".into()).or_insert_with(|| self.version.clone());
        labels
    }
}

/// Where a filter runs, and which of its configurations it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Gateway, first: only strips what must not come from outside.
    EdgeGuard,
    /// Gateway: decides.
    Edge,
    /// A sidecar's inbound listener.
    Inbound,
    /// A sidecar's outbound listener.
    Outbound,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EdgeGuard, Self::Edge, Self::Inbound, Self::Outbound];

    /// The filter's name in Envoy's configuration and statistics, and its Wasm plugin's name.
    #[must_use]
    pub fn filter_name(self) -> &'static str {
        match self {
            Self::EdgeGuard => "canary-edge-guard",
            Self::Edge => "canary-edge",
            Self::Inbound => "canary-inbound",
            Self::Outbound => "canary-outbound",
        }
    }
}

/// One entry of a filter chain.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterEntry {
    /// The filter under test in this role; its configuration can be swapped live.
    Canary(Role),
    /// Any Envoy `HttpFilter`, as JSON.
    Inline(Value),
}

/// The HTTP filters before the router, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterChains {
    /// Of the gateway's listener.
    pub gateway: Vec<FilterEntry>,
    /// Of every sidecar's inbound listener.
    pub inbound: Vec<FilterEntry>,
    /// Of every sidecar's outbound listener.
    pub outbound: Vec<FilterEntry>,
}

impl Default for FilterChains {
    /// The filter under test, once everywhere.
    fn default() -> Self {
        Self {
            gateway: vec![FilterEntry::Canary(Role::Edge)],
            inbound: vec![FilterEntry::Canary(Role::Inbound)],
            outbound: vec![FilterEntry::Canary(Role::Outbound)],
        }
    }
}

impl FilterChains {
    /// Nothing but routers.
    #[must_use]
    pub fn none() -> Self {
        Self { gateway: Vec::new(), inbound: Vec::new(), outbound: Vec::new() }
    }
}

/// The Wasm filter, and what it is told in each role.
///
/// All roles of a proxy share module and vm id, hence one VM and one shared-data namespace, as under Istio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasmSpec {
    /// The module of the gateway, with every role.
    pub module: PathBuf,
    /// The module of sidecars, with their roles only.
    pub sidecar_module: PathBuf,
    /// The plugin configuration of each role, opaque to us; an empty string where none is given.
    pub configs: BTreeMap<Role, String>,
    /// What Envoy does when the VM fails.
    pub failure_policy: FailurePolicy,
}

impl WasmSpec {
    /// The module of the proxies that have this role.
    #[must_use]
    pub fn module_of(&self, role: Role) -> &Path {
        match role {
            Role::EdgeGuard | Role::Edge => &self.module,
            Role::Inbound | Role::Outbound => &self.sidecar_module,
        }
    }
}

/// What Envoy does with requests when a filter's VM fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They pass without the filter; what Istio's `FAIL_OPEN` becomes.
    #[default]
    Open,
    /// They fail.
    Closed,
    /// They fail until a new VM is there.
    Reload,
}

/// How every proxy is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Worker threads.
    pub concurrency: u32,
    /// How proxies speak to each other.
    pub upstream: Upstream,
    /// Whether `x-request-id` carries a tracing decision, as under Istio's defaults.
    pub tracing: Tracing,
    /// Whether every request is logged, to `<proxy>.access.log` in the run directory.
    pub access_log: bool,
    /// Envoy's `--log-level`.
    pub log_level: &'static str,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            concurrency: 1,
            upstream: Upstream::AsReceived,
            tracing: Tracing::Off,
            access_log: false,
            log_level: "warning",
        }
    }
}

/// How proxies speak to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// In the version that the request came in.
    AsReceived,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS. WebSockets become extended CONNECT between the proxies.
    H2c,
}

/// Envoy's tracing, of which only the mark on request ids matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracing {
    /// None: ids stay as they are.
    Off,
    /// Configured without a collector: digit 14 of UUID request ids is rewritten at every proxy.
    Packed,
}
