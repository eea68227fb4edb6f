//! A local mesh with the built filter in it: what lanes and settings make of apps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use canary_istio::{Host, LaneRouting};
use canary_localmesh::{AppCommand, AppSpec, MeshSpec, Role, WasmSpec};
use canary_rules::document::{self, Documents, Source};
use canary_rules::edge::Edge;
use canary_rules::lane::Compiled;
use canary_rules::settings::MeshSettings;
use canary_rules::signing::{Key, KeyId, KeyRing};
use canary_rules::wire::{self, Filter, Peers};

/// Names the Envoy to run; `cargo xtask` sets it.
pub const ENVOY_ENV: &str = "CANARY_ENVOY";

/// Lanes and settings of one mesh.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// The documents.
    pub documents: Documents,
    /// What the mesh decides for all of them.
    pub settings: MeshSettings,
}

impl Lanes {
    /// Lane documents, YAML, under default settings of a mesh without mutual TLS; no text: no lanes.
    ///
    /// # Panics
    /// When the documents are faulty: they are the test's own.
    #[must_use]
    pub fn new(yaml: &str) -> Self {
        let mut settings = MeshSettings::new(keys(&["k1"]));
        settings.peers = Peers::Any;
        Self { documents: documents(yaml), settings }
    }

    /// The same settings with other documents.
    #[must_use]
    pub fn with(&self, yaml: &str) -> Self {
        Self { documents: documents(yaml), settings: self.settings.clone() }
    }

    /// What the filter is told in a role.
    #[must_use]
    pub fn config(&self, role: Role) -> String {
        self.settings.config(wire_role(role), &self.documents.compiled).to_json()
    }

    /// The same of every role.
    #[must_use]
    pub fn configs(&self) -> BTreeMap<Role, String> {
        Role::ALL.into_iter().map(|role| (role, self.config(role))).collect()
    }

    /// What routing needs to know of the lanes.
    ///
    /// # Panics
    /// When a lane names what cannot be a service.
    #[must_use]
    pub fn routing(&self) -> Vec<LaneRouting> {
        let lanes = self.documents.lanes.iter();
        lanes.map(|lane| LaneRouting::try_from(lane).expect("members that can be services")).collect()
    }

    /// The gateway's decisions, to be asked beforehand.
    ///
    /// # Panics
    /// When the configuration makes no edge.
    #[must_use]
    pub fn edge(&self) -> Edge {
        let config = self.settings.config(wire::Role::Edge, &self.documents.compiled);
        match Filter::try_from(config) {
            Ok(Filter::Edge(edge)) => *edge,
            other => panic!("no edge: {other:?}"),
        }
    }

    /// A mesh of these apps with these lanes in force.
    #[must_use]
    pub fn mesh(&self, tools: &Tools, entry: Host, apps: Vec<AppSpec>) -> MeshSpec {
        let mut spec = MeshSpec::new(tools.envoy.clone(), tools.app.clone(), entry, apps);
        spec.lanes = self.routing();
        spec.tag_header = self.settings.carriers.header.clone();
        spec.wasm = Some(WasmSpec {
            module: tools.filter.clone(),
            sidecar_module: crate::built::sidecar_path(&tools.filter),
            configs: self.configs(),
            failure_policy: Default::default(),
        });
        spec
    }
}

/// The programs that a mesh is made of.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Envoy.
    pub envoy: PathBuf,
    /// The built filter.
    pub filter: PathBuf,
    /// What runs an app.
    pub app: AppCommand,
}

impl Tools {
    /// As the environment names them; `app` is a program that runs an app when told `app --config FILE`.
    ///
    /// # Panics
    /// When it names no Envoy: tests must not pass by testing nothing.
    #[must_use]
    pub fn from_env(app: PathBuf) -> Self {
        let envoy = std::env::var_os(ENVOY_ENV).filter(|path| !path.is_empty());
        let envoy =
            envoy.expect("these tests run a real Envoy: set CANARY_ENVOY to its path, or use cargo xtask");
        let app = AppCommand { program: app, args: vec!["app".into()] };
        Self { envoy: envoy.into(), filter: crate::built::filter_path(), app }
    }
}

/// A ring of keys with these ids, the first of which signs; a key's secret is made of its id.
///
/// # Panics
/// When an id is none.
#[must_use]
pub fn keys(ids: &[&str]) -> KeyRing {
    let key = |id: &&str| {
        let secret = format!("the secret of the key {id}, long enough").into_bytes();
        Key::new(KeyId::new(id).expect("a key id"), secret).expect("a secret of a good length")
    };
    KeyRing::new(ids.iter().map(key)).expect("a ring")
}

fn wire_role(role: Role) -> wire::Role {
    match role {
        Role::EdgeGuard => wire::Role::EdgeGuard,
        Role::Edge => wire::Role::Edge,
        Role::Inbound => wire::Role::Inbound,
        Role::Outbound => wire::Role::Outbound,
    }
}

fn documents(yaml: &str) -> Documents {
    if yaml.is_empty() {
        return Documents { lanes: Vec::new(), compiled: Compiled::default() };
    }
    let source = Source { name: "lanes.yaml".into(), text: yaml.into() };
    document::read(&[source]).unwrap_or_else(|faults| panic!("{faults:?}"))
}
