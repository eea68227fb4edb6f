//! `canaryctl status`: what is on, whether everything is well, and how to turn all of it off at once.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use canary_istio::plugins::{API_VERSION, ROLE_LABEL};

use super::lanes;
use crate::cluster::{Cluster, ClusterArgs, api_failure, block_on};
use crate::failure::{Code, Failure};
use crate::lanes::Lanes;
use crate::names;
use crate::output::{self, Format};
use crate::world;

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show it again each time it changes.
    #[arg(short, long)]
    watch: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// When the cluster cannot be asked, or nothing is installed.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let mut shown = Value::Null;
        loop {
            let now = look(&cluster).await?;
            if now != shown {
                show(&now, args.output)?;
                shown = now;
            }
            if !args.watch {
                return Ok(());
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    })
}

/// What is on.
///
/// # Errors
/// When nothing is installed, or the cluster cannot be asked.
pub(super) async fn look(cluster: &Cluster) -> Result<Value, Failure> {
    let lanes = Lanes::new(&cluster.client).list().await?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), names::NAMESPACE);
    let mut parts = Vec::new();
    for name in [names::CONTROLLER, names::FILTER_SERVER] {
        let found = deployments.get_opt(name).await;
        let found = found.map_err(|error| api_failure(&format!("read Deployment {name}"), &error))?;
        if let Some(found) = found {
            let wanted = found.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            let ready = found.status.and_then(|status| status.ready_replicas).unwrap_or(0);
            parts.push(json!({"name": name, "ready": ready, "wanted": wanted}));
        }
    }
    let plugins: Api<DynamicObject> =
        Api::all_with(cluster.client.clone(), &world::resource(API_VERSION, "WasmPlugin"));
    let listed = plugins.list(&ListParams::default().labels(ROLE_LABEL)).await;
    let listed = listed.map_err(|error| api_failure("list WasmPlugins", &error))?;
    let plugins: Vec<Value> = listed
        .items
        .iter()
        .map(|plugin| {
            let labels = plugin.metadata.labels.as_ref();
            let off =
                plugin.metadata.annotations.as_ref().and_then(|all| all.get(canary_istio::plugins::OFF));
            json!({
                "namespace": plugin.metadata.namespace,
                "name": plugin.metadata.name,
                "role": labels.and_then(|labels| labels.get(ROLE_LABEL)),
                "off": off.is_some_and(|off| off == "true"),
            })
        })
        .collect();
    if parts.is_empty() && plugins.is_empty() {
        return Err(Failure::new(Code::Failed, "canaryctl is not installed here").help("canaryctl install"));
    }
    Ok(json!({"parts": parts, "webhook": webhook(cluster).await?, "plugins": plugins, "lanes": lanes}))
}

/// Whether the API server asks the controller; null for those who may not know.
async fn webhook(cluster: &Cluster) -> Result<Value, Failure> {
    let (api_version, kind) = (names::ADMISSION_API, names::WEBHOOK_KIND);
    match world::get(&cluster.client, api_version, kind, None, names::WEBHOOK).await {
        Ok(found) => Ok(found.is_some().into()),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Value::Null),
        Err(error) => Err(api_failure(&format!("read {kind} {}", names::WEBHOOK), &error)),
    }
}

fn show(status: &Value, format: Format) -> Result<(), Failure> {
    if !format.is_text() {
        return output::value(status, format);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for part in status["parts"].as_array().into_iter().flatten() {
        let (ready, wanted) = (&part["ready"], &part["wanted"]);
        anstream::println!("{:<22} {ready} of {wanted} ready", text(&part["name"]));
    }
    if let Some(is_on) = status["webhook"].as_bool() {
        let what = if is_on { "on" } else { "off: what a tool wipes comes back a moment later" };
        anstream::println!("{:<22} {what}", "webhook");
    }
    let plugins = status["plugins"].as_array().map_or(&[][..], Vec::as_slice);
    let edges: Vec<&Value> = plugins.iter().filter(|plugin| plugin["role"] == "edge").collect();
    anstream::println!("{:<22} {} plugins, {} edges", "filter", plugins.len(), edges.len());
    for edge in edges.iter().filter(|edge| edge["off"] == true) {
        let (namespace, name) = (text(&edge["namespace"]), text(&edge["name"]));
        anstream::println!(
            "  {namespace}/{name} is switched off. On again: kubectl -n {namespace} annotate wasmplugin {name} {}-",
            canary_istio::plugins::OFF
        );
    }
    anstream::println!();
    let lanes = status["lanes"].as_array().map_or(&[][..], Vec::as_slice);
    lanes::table(lanes, format == Format::Wide);
    if !lanes.is_empty() {
        anstream::println!("\nAll off at once, with or without a controller:");
        for edge in edges {
            let patch = json!({
                "metadata": {"annotations": {canary_istio::plugins::OFF: "true"}},
                "spec": {"pluginConfig": {"lanes": []}},
            });
            anstream::println!(
                "  kubectl -n {} patch wasmplugin {} --type=merge -p '{patch}'",
                text(&edge["namespace"]),
                text(&edge["name"])
            );
        }
    }
    Ok(())
}
