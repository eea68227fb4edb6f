//! Brings an installation into a cluster, step by step; each step can be repeated.

use std::time::{Duration, Instant};

use canary_istio::ObjectRef;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::Value;

use super::remove::{remove_webhook, silence_webhook};
use super::{Plan, Secrets};
use crate::apply::Written;
use crate::arrival::{self, News, Sidecars};
use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::names;
use crate::world;

/// Told of each step that is done.
pub trait Progress {
    /// A step is done: its name, what came of it, how long it took.
    fn done(&mut self, step: &str, what: &str, took: Duration);
}

/// Installs, or brings an installation to what the plan says.
///
/// # Errors
/// The first object that the API server refuses, or what does not get ready by the deadline. What was done
/// stays; the same command goes on from there.
pub async fn install(
    client: &Client,
    plan: &Plan,
    deadline: Instant,
    progress: &mut dyn Progress,
) -> Result<(), Failure> {
    let secrets = Secrets::of(client, &plan.namespace).await?;
    if !plan.webhook {
        silence_webhook(client).await?;
    }
    let foundation = plan.foundation(&secrets).map_err(|error| Failure::from_error(Code::Failed, &error))?;

    let started = Instant::now();
    for object in &foundation {
        apply(client, object).await?;
    }
    progress.done(
        "objects",
        &format!("{} applied in {}", foundation.len(), plan.namespace),
        started.elapsed(),
    );
    if plan.serves_filter {
        let started = Instant::now();
        await_deployment(client, &plan.namespace, names::FILTER_SERVER, deadline).await?;
        progress.done("filter", "served in the cluster", started.elapsed());
    }

    let started = Instant::now();
    let mut written = Vec::new();
    for plugin in &plan.plugins(&secrets.keys) {
        written.push(apply_plugin(client, plugin).await?);
    }
    let plugins = written.len();
    let news = News { written, plugins_come_or_go: true, ..News::default() };
    let arrived = async {
        let sidecars = Sidecars::list(client).await?;
        let root_namespace = &plan.installation.presence.root_namespace;
        arrival::wait(client, root_namespace, &news, &sidecars, deadline).await
    };
    let proxies = arrived.await.map_err(|error| {
        Failure::from_error(Code::Timeout, &error)
            .help("canaryctl install goes on from here once that is mended")
    })?;
    progress.done("plugins", &format!("{plugins} on {proxies} of {proxies} proxies"), started.elapsed());

    let started = Instant::now();
    for object in plan.controller() {
        apply(client, &object).await?;
    }
    await_deployment(client, &plan.namespace, names::CONTROLLER, deadline).await?;
    progress.done("controller", "ready", started.elapsed());

    let started = Instant::now();
    match plan.webhook(&secrets) {
        // Nobody is asked before somebody answers.
        Some(webhook) => drop(apply(client, &webhook).await?),
        None => remove_webhook(client, &plan.namespace).await?,
    }
    progress.done("webhook", if plan.webhook { "on" } else { "off" }, started.elapsed());
    Ok(())
}

/// Applies a plugin; one that is there keeps its configuration, which is the controller's.
async fn apply_plugin(client: &Client, plugin: &Value) -> Result<Written, Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, name) = (text(&plugin["apiVersion"]), text(&plugin["metadata"]["name"]));
    let namespace = text(&plugin["metadata"]["namespace"]);
    let found = world::get(client, &api_version, "WasmPlugin", Some(&namespace), &name).await;
    let found = found.map_err(|error| api_failure(&format!("read WasmPlugin {namespace}/{name}"), &error))?;
    let mut wanted = plugin.clone();
    if let Some(found) = found {
        wanted["spec"]["pluginConfig"] = found["spec"]["pluginConfig"].clone();
    }
    apply(client, &wanted).await
}

/// Applies one object as its owner.
///
/// # Errors
/// When the API server refuses it.
async fn apply(client: &Client, object: &Value) -> Result<Written, Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    let resource = world::resource(&text(&object["apiVersion"]), &kind);
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    // All of it is ours; what somebody else set in it is set back.
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
    let applied = applied.map_err(|error| api_failure(&format!("apply {kind} {name}"), &error))?;
    let namespace = text(&object["metadata"]["namespace"]);
    let object = ObjectRef { kind, namespace, name };
    Ok(Written::new(object, applied.metadata.resource_version))
}

async fn await_deployment(
    client: &Client,
    namespace: &str,
    name: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let rolled_out = await_condition(api, name, conditions::is_deployment_completed());
    match tokio::time::timeout_at(deadline.into(), rolled_out).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::from_error(Code::Failed, &error)),
        Err(_) => {
            Err(Failure::new(Code::Timeout, format!("Deployment {namespace}/{name} is not ready in time"))
                .help(format!("kubectl -n {namespace} describe pods -l app.kubernetes.io/name={name}")))
        }
    }
}
