//! Takes an installation out of a cluster: lanes first, then what was made for them, then the filter.

use std::time::{Duration, Instant};

use canary_istio::plugins::{API_VERSION as PLUGIN_API, ROLE_LABEL};
use canary_istio::{Change, Object, ObjectRef, Phase};
use canary_rules::settings::MeshSettings;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use super::Progress;
use crate::apply::Written;
use crate::arrival::{self, News, Sidecars};
use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::lanes::Lanes;
use crate::names;
use crate::phases::Phases;
use crate::readiness;
use crate::releases::Releases;
use crate::selectors::Selectors;
use crate::settings::{self, Installation};
use crate::steer::{self, PodChange};
use crate::takeover;
use crate::takeovers::{Place, Takeovers};
use crate::world::{self, MeshConfigs};

/// How much is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// All that acts; Lane's definition and the signing keys stay, for an installation to come.
    Parts,
    /// Every trace.
    Everything,
}

/// Kinds that an installation has in the whole cluster and in namespaces, in the order they are removed.
const CLUSTER_KINDS: [(&str, &str); 5] = [
    (names::ADMISSION_API, names::WEBHOOK_KIND),
    (names::ADMISSION_API, "ValidatingAdmissionPolicyBinding"),
    (names::ADMISSION_API, "ValidatingAdmissionPolicy"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
];

/// Uninstalls.
///
/// # Errors
/// What the API server refuses, or what is not gone in time. What was done stays done; the same command goes on
/// from there.
pub async fn remove(
    client: &Client,
    removal: Removal,
    deadline: Instant,
    progress: &mut dyn Progress,
) -> Result<(), Failure> {
    let namespace = names::NAMESPACE;
    no_release_runs(client).await?;
    // Before anything is taken away that it would put back.
    silence_webhook(client).await?;
    let root_namespace = end_lanes(client, deadline, progress).await?;

    // From here on nobody else writes, so that nothing comes back.
    let started = Instant::now();
    delete_kind(client, "apps/v1", "Deployment", Some(namespace), names::CONTROLLER).await?;
    await_gone(client, "v1", "Pod", namespace, names::CONTROLLER, deadline).await?;
    let changes = restore(client, &root_namespace, deadline).await?;
    give_services_back(client, deadline).await?;
    release(client, canary_rules::lane::KIND, names::FINALIZER).await?;
    release(client, canary_release::KIND, names::RELEASE_FINALIZER).await?;
    release(client, takeover::KIND, names::TAKEOVER_FINALIZER).await?;
    progress.done("objects", &format!("{changes} restored or removed"), started.elapsed());

    let started = Instant::now();
    let plugins = remove_plugins(client, &root_namespace, deadline).await?;
    progress.done(
        "plugins",
        &format!("{plugins} removed; proxies drain their listeners once"),
        started.elapsed(),
    );

    let started = Instant::now();
    let ours = format!("{}={}", canary_istio::observed::MANAGED_BY_LABEL, canary_istio::observed::MANAGER);
    for (api_version, kind) in CLUSTER_KINDS {
        delete_labelled(client, api_version, kind, &ours).await?;
    }
    for kind in ["RoleBinding", "Role"] {
        let api_version = "rbac.authorization.k8s.io/v1";
        delete_kind(client, api_version, kind, Some(&root_namespace), names::CONTROLLER).await?;
        delete_kind(client, api_version, kind, Some(namespace), names::CONTROLLER).await?;
    }
    remove_webhook(client, namespace).await?;
    let own = [
        ("apps/v1", "Deployment", names::FILTER_SERVER),
        ("v1", "Service", names::FILTER_SERVER),
        ("policy/v1", "PodDisruptionBudget", names::FILTER_SERVER),
        ("policy/v1", "PodDisruptionBudget", names::CONTROLLER),
        ("v1", "ServiceAccount", names::CONTROLLER),
        ("coordination.k8s.io/v1", "Lease", names::CONTROLLER),
        ("v1", "ConfigMap", names::SETTINGS),
        ("v1", "Secret", names::TRACE),
    ];
    for (api_version, kind, name) in own {
        delete_kind(client, api_version, kind, Some(namespace), name).await?;
    }
    if removal == Removal::Everything {
        let everything = [
            ("v1", "Namespace", namespace),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "lanes.canaryctl.io"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "releases.canaryctl.io"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "takeovers.canaryctl.io"),
        ];
        for (api_version, kind, name) in everything {
            delete_kind(client, api_version, kind, None, name).await?;
            await_end(client, api_version, kind, name, deadline).await?;
        }
    }
    progress.done("parts", "removed", started.elapsed());
    Ok(())
}

/// Half a release is nobody's wish: who uninstalls says first which way it goes.
async fn no_release_runs(client: &Client) -> Result<(), Failure> {
    let running = Releases::new(client).list().await?.into_iter().find(|release| {
        let status = release.status.as_ref();
        !status.is_some_and(|status| status.phase.is_final())
    });
    let Some(running) = running else { return Ok(()) };
    let name = &running.metadata.name;
    Err(Failure::new(Code::Conflict, format!("release {name} is under way")).help(format!(
        "canaryctl release promote --full {name} brings it to its end, canaryctl release abort {name} back"
    )))
}

/// Lets the API server ask no more.
pub(super) async fn silence_webhook(client: &Client) -> Result<(), Failure> {
    delete_kind(client, names::ADMISSION_API, names::WEBHOOK_KIND, None, names::WEBHOOK).await
}

/// Removes what answers are given with, once nobody asks and no controller needs it to be ready.
pub(super) async fn remove_webhook(client: &Client, namespace: &str) -> Result<(), Failure> {
    for kind in ["Service", "Secret"] {
        delete_kind(client, "v1", kind, Some(namespace), names::WEBHOOK).await?;
    }
    Ok(())
}

/// Ends every Lane while the controller is there to do it in order. Returns Istio's root namespace.
async fn end_lanes(
    client: &Client,
    deadline: Instant,
    progress: &mut dyn Progress,
) -> Result<String, Failure> {
    let started = Instant::now();
    let lanes = Lanes::new(client);
    let there = match world::get(
        client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        None,
        "lanes.canaryctl.io",
    )
    .await
    {
        // One that is on its way out is known no more.
        Ok(Some(definition)) if definition["metadata"]["deletionTimestamp"].is_null() => lanes.list().await?,
        Ok(Some(_)) => Vec::new(),
        Ok(None) => Vec::new(),
        Err(error) => return Err(api_failure("look for Lanes", &error)),
    };
    for lane in &there {
        lanes.delete(lane["metadata"]["name"].as_str().unwrap_or_default(), false).await?;
    }
    let takeovers = Takeovers::new(client);
    let taken = takeovers.list(None).await?;
    let taken: Vec<Place> = taken.iter().map(Place::of).collect();
    for place in &taken {
        takeovers.delete(place).await?;
    }
    if controller_is_there(client).await? {
        for lane in &there {
            let name = lane["metadata"]["name"].as_str().unwrap_or_default();
            lanes.gone(name, deadline.saturating_duration_since(Instant::now())).await?;
        }
        for place in &taken {
            takeovers.gone(place, deadline.saturating_duration_since(Instant::now())).await?;
        }
    }
    progress.done("lanes", &format!("{} ended", there.len() + taken.len()), started.elapsed());
    let installation = Installation::read(client, names::NAMESPACE).await;
    let installation = installation.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    Ok(installation.map_or(names::ROOT_NAMESPACE.into(), |(found, _)| found.presence.root_namespace))
}

/// Whether somebody is there to end Lanes; if not, what they made is removed all the same.
async fn controller_is_there(client: &Client) -> Result<bool, Failure> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), names::NAMESPACE);
    let found = api.get_opt(names::CONTROLLER).await;
    let found = found.map_err(|error| api_failure("look for the controller", &error))?;
    let ready = found.and_then(|found| found.status).and_then(|status| status.ready_replicas);
    Ok(ready.unwrap_or(0) > 0)
}

/// Lets objects of a kind go that a controller did not live to see end.
async fn release(client: &Client, kind: &str, finalizer: &str) -> Result<(), Failure> {
    let resource = world::resource(canary_rules::lane::API_VERSION, kind);
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let found = match all.list(&ListParams::default()).await {
        Ok(found) => found,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(api_failure(&format!("list {kind}s"), &error)),
    };
    for object in found.items {
        let name = object.metadata.name.unwrap_or_default();
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let all = object.metadata.finalizers.into_iter().flatten();
        let rest: Vec<String> = all.filter(|held| held != finalizer).collect();
        let patch = serde_json::json!({"metadata": {"finalizers": rest}});
        match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(api_failure(&format!("let {kind} {name} go"), &error)),
        }
    }
    Ok(())
}

/// Gives users' objects back as they were and removes ours, without waiting minutes: nothing leads there. Tells
/// the plugins that there are no lanes, for they are at work until the last proxy has let them go.
async fn restore(client: &Client, root_namespace: &str, deadline: Instant) -> Result<usize, Failure> {
    let settings = Installation::read(client, names::NAMESPACE).await;
    let settings = settings.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    let mesh_configs = MeshConfigs::read(client, root_namespace).await;
    let mesh_configs = mesh_configs.map_err(|error| api_failure("read Istio's settings", &error))?;
    let mut written = 0;
    let mut is_settled = false;
    // What an earlier change made possible is only planned once that is there.
    loop {
        let world = world::list(client).await;
        let world = world.map_err(|(kind, error)| api_failure(&format!("list {kind}"), &error))?;
        let mut seen = world.see(&mesh_configs).map_err(|error| Failure::from_error(Code::Failed, &error))?;
        seen.lanes.clear();
        seen.derived = takeover::Derived::default();
        // Without workloads no service is in need of a preference for its baseline.
        for service in &mut seen.observed.services {
            service.workloads.clear();
            service.copies.clear();
        }
        let course = match &settings {
            Some((_, settings)) => steer::course(&seen, settings, Timestamp::now().as_second()),
            None => {
                // Half an installation: nobody knows what its plugins were told, and they go whole.
                seen.observed.edge.clear();
                let keys = settings::new_keys().map_err(|error| Failure::from_error(Code::Failed, &error))?;
                steer::course(&seen, &MeshSettings::new(keys), Timestamp::now().as_second())
            }
        };
        let changes: Vec<&Change> = course.plan.changes.iter().collect();
        let timeout = deadline.saturating_duration_since(Instant::now());
        let mut phases = Phases::new(client, root_namespace, &seen, timeout).taking_back();
        if changes.is_empty() {
            let labelled: Vec<&PodChange> = course.pods.iter().collect();
            let done = phases.unlabel(&labelled, &mut Vec::new()).await;
            let refused = done.map_err(|error| Failure::from_error(Code::Failed, &error))?;
            // Nobody else would let them be ready any more.
            let held = seen.pods.iter().filter(|pod| readiness::is_held(pod));
            let still_held = readiness::release(client, held.map(Object::reference)).await;
            return match refused.or(still_held) {
                Some(error) => Err(Failure::from_error(Code::Failed, &error)),
                None => Ok(written),
            };
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                Code::Timeout,
                format!("{} objects are not restored yet", changes.len()),
            )
            .help("run the same command again"));
        }
        // What goes last, no proxy may still lead to; there is no waiting for minutes here.
        let (last, first): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| change.phase == Phase::Collect);
        if first.is_empty() && !is_settled {
            let settled = phases.settle(&seen.observed, &[], false).await;
            settled.map_err(|error| {
                Failure::from_error(Code::Timeout, &error).help("run the same command again")
            })?;
            is_settled = true;
            continue;
        }
        let due = if first.is_empty() { last } else { first };
        let done = phases.run(&due).await;
        written += done.map_err(|error| Failure::from_error(Code::Failed, &error))?.written.len();
    }
}

/// Gives back Services that are taken by their selector.
async fn give_services_back(client: &Client, deadline: Instant) -> Result<(), Failure> {
    let mut selectors = Selectors::default();
    loop {
        let world = world::list(client).await;
        let world = world.map_err(|(kind, error)| api_failure(&format!("list {kind}"), &error))?;
        let seen = world.see(&MeshConfigs::default());
        let seen = seen.map_err(|error| Failure::from_error(Code::Failed, &error))?;
        if !seen.has_selected() {
            return Ok(());
        }
        let turned = selectors.round(client, &seen.taken, |_| None).await;
        let turned = turned.map_err(|error| api_failure("give Services back to their pods", &error))?;
        if turned.is_over() {
            return Ok(());
        }
        if let Some((place, why)) = turned.troubles().next() {
            let what = format!("the Service of takeover {place} cannot be given back: {why}");
            return Err(Failure::new(Code::Failed, what).help("run the same command again"));
        }
        if Instant::now() > deadline {
            return Err(Failure::new(Code::Timeout, "Services do not lead to their pods yet")
                .help("run the same command again"));
        }
        tokio::time::sleep(turned.again_in.unwrap_or_default()).await;
    }
}

/// Removes the plugins and waits until every proxy has let the filter go: until then it may be fetched.
async fn remove_plugins(client: &Client, root_namespace: &str, deadline: Instant) -> Result<usize, Failure> {
    let plugins = delete_labelled(client, PLUGIN_API, "WasmPlugin", ROLE_LABEL).await?;
    if plugins.is_empty() {
        return Ok(0);
    }
    let gone = |object: &DynamicObject| {
        let object = ObjectRef {
            kind: "WasmPlugin".into(),
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        };
        Written::new(object, None)
    };
    let written = plugins.iter().map(gone).collect();
    let news = News { written, plugins_come_or_go: true, ..News::default() };
    let arrived = async {
        let sidecars = Sidecars::list(client).await?;
        arrival::wait(client, root_namespace, &news, &sidecars, deadline).await
    };
    arrived.await.map_err(|error| Failure::from_error(Code::Timeout, &error))?;
    Ok(plugins.len())
}

async fn delete_kind(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<(), Failure> {
    let resource = world::resource(api_version, kind);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(api_failure(&format!("delete {kind} {name}"), &error)),
    }
}

/// Deletes all objects of a kind with a label, wherever they are.
async fn delete_labelled(
    client: &Client,
    api_version: &str,
    kind: &str,
    selector: &str,
) -> Result<Vec<DynamicObject>, Failure> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &world::resource(api_version, kind));
    let found = api.list(&ListParams::default().labels(selector)).await;
    let found = found.map_err(|error| api_failure(&format!("list {kind}s"), &error))?;
    for object in &found.items {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        delete_kind(client, api_version, kind, object.metadata.namespace.as_deref(), name).await?;
    }
    Ok(found.items)
}

/// Waits for what the API server ends in its own time: a namespace with its objects, a definition with its own.
async fn await_end(
    client: &Client,
    api_version: &str,
    kind: &str,
    name: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &world::resource(api_version, kind));
    let gone = await_condition(api, name, |found: Option<&DynamicObject>| found.is_none());
    match tokio::time::timeout_at(deadline.into(), gone).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::from_error(Code::Failed, &error)),
        Err(_) => Err(Failure::new(Code::Timeout, format!("{kind} {name} does not end"))
            .help(format!("kubectl get {} {name} -o yaml says what holds it", kind.to_lowercase()))),
    }
}

async fn await_gone(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: &str,
    name: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    let resource = world::resource(api_version, kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let params = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
    loop {
        let found = api.list(&params).await.map_err(|error| api_failure(&format!("list {kind}s"), &error))?;
        if found.items.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                Code::Timeout,
                format!("{} {kind}s of {name} do not end", found.items.len()),
            ));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
