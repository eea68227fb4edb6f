//! What lanes would make of a mesh, without writing anything.

mod labels;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use canary_istio::{Object, ObjectRef, simulate};
use canary_rules::settings::MeshSettings;
use canary_rules::trace::Tracing;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::Value;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::names;
use crate::settings::{self, Installation};
use crate::steer::Course;
use crate::trace_key::{Asked, now_unix_s};
use crate::world::{self, MeshConfigs, Seen, World};

pub use labels::{Unlabelled, unlabelled};

/// A mesh and what it was told once.
pub struct Scene {
    /// The mesh, with its Lanes.
    pub seen: Seen,
    /// What plugins are told.
    pub settings: MeshSettings,
}

impl Scene {
    /// The mesh of a cluster. Without an installation the defaults hold.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub async fn live(client: &Client) -> Result<Self, Failure> {
        let installed = Installation::read(client, names::NAMESPACE).await;
        let installed = installed.map_err(|error| Failure::from_error(Code::Failed, &error))?;
        let (root_namespace, mut settings) = match installed {
            Some((found, settings)) => (found.presence.root_namespace, settings),
            None => (names::ROOT_NAMESPACE.to_owned(), defaults()?),
        };
        settings.trace = tracing(client).await?;
        let configs = MeshConfigs::read(client, &root_namespace).await;
        let configs = configs.map_err(|error| api_failure("read Istio's settings", &error))?;
        let world = world::list(client).await;
        let world = world.map_err(|(kind, error)| api_failure(&format!("list {kind}"), &error))?;
        let seen = world.see(&configs).map_err(|error| Failure::from_error(Code::Failed, &error))?;
        Ok(Self { seen, settings })
    }

    /// The mesh that manifests describe: Services, workloads, Istio's objects, Lanes; and, where they hold
    /// them, an installation's settings and keys.
    ///
    /// # Errors
    /// When a file cannot be read or is none.
    pub fn from_files(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut objects = Vec::new();
        for path in paths {
            objects.extend(documents(path)?);
        }
        let named = |kind: &str, name: &str| {
            objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        };
        let settings = match (named("ConfigMap", names::SETTINGS), named("Secret", names::KEYS)) {
            (Some(map), Some(keys)) => {
                let read = Installation::from_config_map(map)
                    .and_then(|found| Ok(found.mesh(settings::keys_from_secret(keys)?)));
                read.map_err(|error| Failure::from_error(Code::Documents, &error))?
            }
            _ => defaults()?,
        };
        let configs = MeshConfigs::of(&objects);
        let seen = World { objects }.see(&configs);
        let seen = seen.map_err(|error| Failure::from_error(Code::Documents, &error))?;
        Ok(Self { seen, settings })
    }

    /// The same mesh with these Lanes besides, or with the `spec` of those that are there replaced.
    ///
    /// # Errors
    /// When one is no object.
    pub fn add_lanes(&mut self, lanes: &[Value]) -> Result<(), Failure> {
        for lane in lanes {
            let failed = |error| Failure::from_error(Code::Documents, &error);
            let mut lane = Object::new(lane.clone()).map_err(failed)?;
            if let Some(at) = self.seen.lanes.iter().position(|other| other.name() == lane.name()) {
                // What the controller keeps of it between runs is kept.
                let mut kept = self.seen.lanes.remove(at).into_value();
                kept["spec"] = lane.spec().clone();
                lane = Object::new(kept).map_err(failed)?;
            }
            self.seen.lanes.push(lane);
        }
        Ok(())
    }
}

/// The key that proxies have while somebody traces; who may not read it sees it as one that goes.
async fn tracing(client: &Client) -> Result<Option<Tracing>, Failure> {
    let api: Api<Secret> = Api::namespaced(client.clone(), names::NAMESPACE);
    match api.get_opt(names::TRACE).await {
        Ok(found) => Ok(found.as_ref().and_then(Asked::read).and_then(|asked| asked.tracing(now_unix_s()))),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(api_failure("read the key for traces", &error)),
    }
}

fn defaults() -> Result<MeshSettings, Failure> {
    let keys = settings::new_keys().map_err(|error| Failure::from_error(Code::Failed, &error))?;
    Ok(MeshSettings::new(keys))
}

/// The YAML or JSON documents of a file; `-` is standard input.
fn documents(path: &Path) -> Result<Vec<Value>, Failure> {
    let text = match path == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text =
        text.map_err(|error| Failure::new(Code::Failed, format!("cannot read {}: {error}", path.display())))?;
    let read: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&text);
    let read = read.map_err(|error| Failure::new(Code::Documents, format!("{}: {error}", path.display())))?;
    Ok(read.into_iter().filter(|document| !document.is_null()).collect())
}

/// The Lanes that cannot be, as one failure.
///
/// # Errors
/// When there is one.
pub fn refused(course: &Course) -> Result<(), Failure> {
    let refused = course.lanes.iter().filter(|(_, verdict)| !verdict.faults().is_empty());
    let refused: Vec<String> = refused
        .map(|(name, verdict)| format!("lane {name} is refused: {}", verdict.faults().join("; ")))
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(Failure::list(Code::Documents, refused)) }
}

/// Every object that a course touches, as it is at the end; those that go are left out.
///
/// # Errors
/// When the changes contradict the mesh that they were planned for.
pub fn outcome(seen: &Seen, course: &Course) -> Result<Vec<Value>, Failure> {
    let mut observed = seen.observed.clone();
    let mut touched: BTreeMap<(usize, ObjectRef), ()> = BTreeMap::new();
    let rank = |kind: &str| match kind {
        "DestinationRule" => 0,
        "VirtualService" => 1,
        _ => 2,
    };
    for change in &course.plan.changes {
        simulate::apply(&mut observed, change).map_err(|error| Failure::from_error(Code::Failed, &error))?;
        touched.insert((rank(&change.object.kind), change.object.clone()), ());
    }
    let all = || observed.destination_rules.iter().chain(&observed.virtual_services).chain(&observed.edge);
    let found = touched.into_keys().filter_map(|(_, reference)| {
        all().find(|object| *object.reference() == reference).map(|object| object.value().clone())
    });
    Ok(found.collect())
}
