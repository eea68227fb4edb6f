//! The demo's shop: web → cart → stock → price, two versions of most, and the lanes to try on it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use canary_istio::LaneRouting;
use canary_istio::lane::LANE_LABEL;
use canary_localmesh::demo::GRAY;
use canary_localmesh::{AppCommand, AppSpec, Mesh, MeshSpec, Role, WasmSpec};
use canary_rules::document::{self, Documents, Source};
use canary_rules::edge::Edge;
use canary_rules::lane::{Lane, Mode};
use canary_rules::settings::MeshSettings;
use canary_rules::signing::{Key, KeyId, KeyRing};
use canary_rules::trace::{Sample, TraceKey, Tracing};
use canary_rules::wire::{self, Filter, FilterConfig, Peers};

use super::chain::PATH;
use crate::demo_mesh::{DemoMesh, DemoProxy};
use crate::failure::{Code, Failure};
use crate::random;

/// The lanes that the demo has when it is given none.
const LANES: &str = include_str!("lanes.yaml");
/// The lane of one developer's own price service.
const ALICE: &str = "dev-alice";

/// The services, first to last.
const CHAIN: [&str; 4] = ["web", "cart", "stock", "price"];

/// The shop's lanes and what is known of them beforehand.
pub(super) struct Shop {
    lanes: Vec<Lane>,
    settings: MeshSettings,
    configs: BTreeMap<Role, String>,
    edge: Edge,
}

/// A request to show.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Request {
    /// For the page that the demo asks for by itself.
    pub(super) fn with_headers(headers: Vec<(String, String)>) -> Self {
        Self { path: PATH.into(), headers }
    }
}

/// The lanes that ship with the demo.
pub(super) fn built_in_lanes() -> Result<Documents, Failure> {
    let source = Source { name: "lanes.yaml".into(), text: LANES.into() };
    document::read(&[source]).map_err(|faults| Failure::list(Code::Documents, faults))
}

/// The filter's builds, as the demo's proxies run them.
pub(super) struct Builds {
    pub(super) gateway: Vec<u8>,
    pub(super) sidecar: Vec<u8>,
}

impl Shop {
    /// A shop with these lanes; one that stays may be asked for traces.
    pub(super) fn new(documents: &Documents, stays: bool) -> Result<Self, Failure> {
        let mut settings = MeshSettings::new(fresh_keys()?);
        settings.trace = stays.then(fresh_tracing).transpose()?;
        // Loopback without mutual TLS: nobody but us is here.
        settings.peers = Peers::Any;
        settings.edge.show_lane = true;
        Self::with_settings(documents, settings)
    }

    /// The same shop with other lanes; what was signed stays valid.
    pub(super) fn with_lanes(&self, lanes: Vec<Lane>) -> Result<Self, Failure> {
        let compiled = canary_rules::lane::compile(&lanes).map_err(|problems| {
            let said =
                problems.0.iter().map(|problem| format!("{}: {}", problem.scope.text(), problem.message));
            Failure::list(Code::Documents, said)
        })?;
        Self::with_settings(&Documents { lanes, compiled }, self.settings.clone())
    }

    fn with_settings(documents: &Documents, mut settings: MeshSettings) -> Result<Self, Failure> {
        if let Some(tracing) = &mut settings.trace {
            tracing.samples = samples(&documents.lanes);
        }
        let config = |role| settings.config(role, &documents.compiled);
        let roles = [
            (Role::EdgeGuard, wire::Role::EdgeGuard),
            (Role::Edge, wire::Role::Edge),
            (Role::Inbound, wire::Role::Inbound),
            (Role::Outbound, wire::Role::Outbound),
        ];
        let configs = roles.map(|(role, wire)| (role, config(wire).to_json())).into();
        let edge = match Filter::try_from(config(wire::Role::Edge)) {
            Ok(Filter::Edge(edge)) => *edge,
            Ok(_) => return Err(Failure::new(Code::Failed, "the edge's configuration makes no edge")),
            Err(error) => return Err(Failure::from_error(Code::Failed, &error)),
        };
        Ok(Self { lanes: documents.lanes.clone(), settings, configs, edge })
    }

    /// The running mesh, as other runs of this program need to know it to take traces.
    pub(super) fn demo_mesh(&self, mesh: &Mesh) -> Result<Option<DemoMesh>, Failure> {
        let Some(tracing) = &self.settings.trace else { return Ok(None) };
        let failed = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
        let edge = FilterConfig::parse(self.config(Role::Edge).as_bytes()).map_err(|error| failed(&error))?;
        let mut proxies = Vec::new();
        for name in mesh.proxies() {
            let app = mesh.apps().iter().find(|app| app.name == name);
            let log = mesh.proxy_log(name).map_err(|error| failed(&error))?.to_path_buf();
            proxies.push(DemoProxy {
                name: name.into(),
                log,
                service: app.map(|app| app.service.name().into()).unwrap_or_default(),
                version: app.map(|app| app.version.clone()).unwrap_or_default(),
                lane: app.and_then(|app| app.labels.get(LANE_LABEL).cloned()),
            });
        }
        Ok(Some(DemoMesh { trace_key: tracing.key, edge, proxies }))
    }

    /// Its lanes.
    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// What the filters of a role are told.
    pub(super) fn config(&self, role: Role) -> &str {
        self.configs.get(&role).map_or("", String::as_str)
    }

    /// The edge's part, to tell beforehand what it will decide.
    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The header that carries the tag.
    pub(super) fn tag_header(&self) -> &str {
        self.settings.carriers.header.as_str()
    }

    /// The cookies that the edge gives out: the lane's and the user's.
    pub(super) fn cookie_names(&self) -> [&str; 2] {
        [self.settings.edge.lane_cookie.as_str(), self.settings.edge.uid_cookie.as_str()]
    }

    /// The mesh to start; the filter's module is written below `files`.
    pub(super) fn mesh(
        &self,
        envoy: &Path,
        wasm: &Builds,
        files: &Path,
        port: u16,
    ) -> Result<MeshSpec, Failure> {
        let write = |name: &str, wasm: &[u8]| {
            let module = files.join(name);
            let written = std::fs::write(&module, wasm).map_err(|error| {
                Failure::new(Code::Failed, format!("cannot write {}: {error}", module.display()))
            });
            written.map(|()| module)
        };
        let module = write("canary-filter.wasm", &wasm.gateway)?;
        let sidecar_module = write("canary-filter-sidecar.wasm", &wasm.sidecar)?;
        let program = std::env::current_exe().map_err(|error| Failure::from_error(Code::Failed, &error))?;
        let app_command = AppCommand { program, args: vec![OsString::from("demo-app")] };
        let mut spec =
            MeshSpec::new(envoy.to_path_buf(), app_command, canary_localmesh::demo::entry(), apps());
        spec.gateway.port = (port != 0).then_some(port);
        spec.lanes = self.routing()?;
        spec.tag_header = self.settings.carriers.header.clone();
        spec.wasm = Some(WasmSpec {
            module,
            sidecar_module,
            configs: self.configs.clone(),
            failure_policy: Default::default(),
        });
        Ok(spec)
    }

    /// Requests worth looking at: nobody's, each lane's by its cookie or header, and a forged one.
    pub(super) fn requests(&self) -> Vec<Request> {
        let mut requests = vec![request(&[])];
        let lanes: Vec<&str> = self.lanes.iter().map(|lane| lane.metadata.name.as_str()).collect();
        for lane in &self.lanes {
            requests.extend(example(lane));
        }
        if let Some(lane) = lanes.first() {
            requests.push(request(&[(self.tag_header(), lane)]));
        }
        requests
    }

    /// The instance that serves a lane's requests at a service: the lane's, its parents', the baseline's.
    /// None where a strict lane serves nobody.
    fn instance_for(&self, service: &str, lane: Option<&str>) -> Option<String> {
        let mut lane = lane.and_then(|name| self.lane(name));
        while let Some(current) = lane {
            if let Some(instance) = self.member(service, current) {
                return Some(instance);
            }
            if current.spec.mode == Mode::Strict {
                return None;
            }
            lane = current.spec.parent.as_ref().and_then(|parent| self.lane(parent.as_str()));
        }
        Some(format!("{service}-v1"))
    }

    /// Whether a lane has an instance of its own of a service.
    pub(super) fn has_member(&self, service: &str, lane: &str) -> bool {
        self.lane(lane).is_some_and(|lane| self.member(service, lane).is_some())
    }

    /// The path that a lane's requests take: one instance of each service, up to the first that refuses.
    pub(super) fn path(&self, lane: Option<&str>) -> Vec<String> {
        CHAIN.iter().map_while(|service| self.instance_for(service, lane)).collect()
    }

    /// A request that each lane's first rule with an example puts there, and the lane.
    pub(super) fn lane_examples(&self) -> Vec<(Request, &str)> {
        let examples = self.lanes.iter().map(|lane| (example(lane), lane.metadata.name.as_str()));
        examples.filter_map(|(request, lane)| Some((request?, lane))).collect()
    }

    /// What part of its users each lane wants, in percent.
    pub(super) fn percentages(&self) -> Vec<(&str, f64)> {
        let percent = |lane: &Lane| lane.spec.rules.iter().filter_map(|rule| rule.percent).reduce(f64::max);
        let lanes = self.lanes.iter();
        lanes.filter_map(|lane| Some((lane.metadata.name.as_str(), percent(lane)?))).collect()
    }

    fn lane(&self, name: &str) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.metadata.name.as_str() == name)
    }

    fn member(&self, service: &str, lane: &Lane) -> Option<String> {
        let name = lane.metadata.name.as_str();
        let own = match (name, service) {
            (GRAY, "web" | "stock" | "price") => Some(format!("{service}-v2")),
            (ALICE, "price") => Some("price-alice".to_string()),
            _ => None,
        };
        let named = lane.spec.members.get(service).and_then(|labels| labels.get("version"));
        own.or_else(|| named.map(|version| format!("{service}-{version}")))
    }

    /// What its lanes ask of the routes.
    pub(super) fn routing(&self) -> Result<Vec<LaneRouting>, Failure> {
        let failed = |error| Failure::from_error(Code::Documents, &error);
        self.lanes.iter().map(|lane| LaneRouting::try_from(lane).map_err(failed)).collect()
    }
}

/// A request that one of the lane's rules asks for in so many words: a cookie or a header by its value.
fn example(lane: &Lane) -> Option<Request> {
    lane.spec.rules.iter().find_map(|rule| {
        let when = rule.when.as_ref().filter(|_| rule.percent.is_none())?;
        let value = |test: &canary_rules::condition::NamedTest| {
            test.exact.clone().or_else(|| test.r#in.as_ref()?.first().cloned())
        };
        if let Some(test) = &when.cookie {
            return Some(request(&[("cookie", &format!("{}={}", test.name, value(test)?))]));
        }
        let test = when.header.as_ref()?;
        Some(request(&[(&test.name, &value(test)?)]))
    })
}

fn request(headers: &[(&str, &str)]) -> Request {
    Request::with_headers(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

/// The shop of every demo and test, and the developer's own price service.
pub(super) fn apps() -> Vec<AppSpec> {
    let mut apps = canary_localmesh::demo::shop();
    apps.push(AppSpec::new(&canary_localmesh::demo::host("price"), "alice").in_lane(ALICE));
    apps
}

/// A key for traces that lives as long as this demo.
fn fresh_tracing() -> Result<Tracing, Failure> {
    Ok(Tracing { key: TraceKey::new(random::bytes()?), expires_unix_s: u64::MAX, samples: Vec::new() })
}

/// A flow of each lane each second, for whoever watches.
fn samples(lanes: &[Lane]) -> Vec<String> {
    let lanes = lanes.iter().map(|lane| lane.metadata.name.clone());
    lanes.zip(1..).map(|(lane, watcher)| Sample { lane, every_s: 1, watcher }.to_string()).collect()
}

/// Keys that live as long as this demo.
fn fresh_keys() -> Result<KeyRing, Failure> {
    let secret: [u8; 32] = random::bytes()?;
    let failed = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let id = KeyId::new("demo").map_err(|error| failed(&error))?;
    let key = Key::new(id, secret.to_vec()).map_err(|error| failed(&error))?;
    KeyRing::new([key]).map_err(|error| failed(&error))
}
