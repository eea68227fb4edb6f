//! The run directory: configuration that proxies watch, bootstraps, and logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use canary_istio::{Host, RoutingPlan};
use serde_json::Value;
use tempfile::TempDir;

use crate::envoy::{discovery_response, filters, routes, type_url};
use crate::error::MeshError;
use crate::spec::{MeshSpec, Role, WasmSpec};

/// A directory for one run, removed at the end if it is ours and nobody wants to keep it.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl RunDir {
    pub(crate) fn new(spec: &MeshSpec) -> Result<Self, MeshError> {
        if let Some(path) = &spec.run_dir {
            std::fs::create_dir_all(path).map_err(failed("create", path))?;
            // Envoy watches absolute paths best: its working directory is not ours to know.
            let path = path.canonicalize().map_err(failed("resolve", path))?;
            return Ok(Self { path, _temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("canary-mesh-").tempdir();
        let mut temporary = temporary.map_err(failed("create", &std::env::temp_dir()))?;
        temporary.disable_cleanup(spec.keep_run_dir);
        Ok(Self { path: temporary.path().into(), _temporary: Some(temporary) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it, as text.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &Value) -> Result<PathBuf, MeshError> {
        let path = self.file(name);
        write_whole(&path, content)?;
        Ok(path)
    }
}

/// The files that all proxies watch, with the version of each.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    versions: BTreeMap<&'static str, u64>,
}

pub(crate) const CLUSTERS_FILE: &str = "clusters.json";
pub(crate) const GATEWAY_ROUTES_FILE: &str = "routes-gateway.json";
pub(crate) const MESH_ROUTES_FILE: &str = "routes-mesh.json";

/// The file of the filter under test in one role.
pub(crate) fn filter_file(role: Role) -> &'static str {
    match role {
        Role::EdgeGuard => "filter-edge-guard.json",
        Role::Edge => "filter-edge.json",
        Role::Inbound => "filter-inbound.json",
        Role::Outbound => "filter-outbound.json",
    }
}

impl Files {
    pub(crate) fn new(dir: &RunDir) -> Self {
        Self { dir: dir.path().into(), versions: BTreeMap::new() }
    }

    /// Replaces the clusters; returns their version.
    pub(crate) fn write_clusters(&mut self, clusters: &BTreeMap<String, Value>) -> Result<u64, MeshError> {
        let typed = |cluster: &Value| {
            let mut cluster = cluster.clone();
            cluster["@type"] = type_url("envoy.config.cluster.v3.Cluster").into();
            cluster
        };
        self.replace(CLUSTERS_FILE, clusters.values().map(typed).collect())
    }

    /// Replaces both route configurations; returns their version, which is one.
    pub(crate) fn write_routes(&mut self, plan: &RoutingPlan, entry: &Host) -> Result<u64, MeshError> {
        self.replace(GATEWAY_ROUTES_FILE, vec![routes::gateway(plan, entry)])?;
        self.replace(MESH_ROUTES_FILE, vec![routes::mesh(plan)])
    }

    /// Replaces a role's filter configuration; returns its version.
    pub(crate) fn write_filter(
        &mut self,
        role: Role,
        wasm: &WasmSpec,
        config: &str,
    ) -> Result<u64, MeshError> {
        self.replace(filter_file(role), vec![filters::resource(role, wasm, config)])
    }

    fn replace(&mut self, file: &'static str, resources: Vec<Value>) -> Result<u64, MeshError> {
        let version = self.versions.entry(file).or_default();
        *version += 1;
        write_whole(&self.dir.join(file), &discovery_response(*version, resources))?;
        Ok(*version)
    }
}

/// Readers see the old file or the new one, never a part: Envoy reads when a file is moved into place.
fn write_whole(path: &Path, content: &Value) -> Result<(), MeshError> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, content.to_string()).map_err(failed("write", path))?;
    std::fs::rename(&draft, path).map_err(failed("write", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> MeshError {
    let path = path.into();
    move |source| MeshError::File { action, path, source }
}
