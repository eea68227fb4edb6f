//! `canaryctl version`: this program's, the filter's, and what a cluster runs.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::filter::BUILDS;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::failure::Failure;
use crate::filter;
use crate::names;
use crate::output::{self, Format};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// This program alone; no cluster is asked.
    #[arg(long)]
    client: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb. A cluster that cannot be asked is said to be so; that is no failure.
///
/// # Errors
/// When the result cannot be written.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let filters = BUILDS.iter().map(|(name, build)| {
        let bytes = filter::bytes(*build).ok();
        ((*name).to_owned(), bytes.map_or(Value::Null, |bytes| filter::sha256(bytes).into()))
    });
    let mut versions = json!({
        "client": env!("CARGO_PKG_VERSION"),
        "wire": canary_rules::wire::VERSION,
        "filter": filters.collect::<serde_json::Map<_, _>>(),
    });
    if !args.client {
        versions["cluster"] = block_on(async { Ok(look(cluster).await) })?;
    }
    if !args.output.is_text() {
        return output::value(&versions, args.output);
    }
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    anstream::println!("canaryctl   {}  (wire format {})", text(&versions["client"]), versions["wire"]);
    for (name, _) in BUILDS {
        anstream::println!("filter      {name}  sha256:{}", text(&versions["filter"][name]));
    }
    let found = &versions["cluster"];
    match found["error"].as_str() {
        Some(error) => anstream::println!("cluster     not asked: {error}"),
        None if !args.client => {
            anstream::println!("Kubernetes  {}", text(&found["kubernetes"]));
            anstream::println!("Istio       {}", text(&found["istio"]));
            anstream::println!("controller  {}", text(&found["controller"]));
        }
        None => {}
    }
    Ok(())
}

async fn look(args: &ClusterArgs) -> Value {
    match asked(args).await {
        Ok(found) => found,
        Err(error) => json!({"error": error}),
    }
}

async fn asked(args: &ClusterArgs) -> Result<Value, String> {
    let text = |error: kube::Error| error.to_string();
    let cluster = Cluster::connect(args).await.map_err(|failure| failure.to_string())?;
    let kubernetes = cluster.client.apiserver_version().await.map_err(text)?.git_version;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), names::NAMESPACE);
    let controller = deployments.get_opt(names::CONTROLLER).await.map_err(text)?;
    let image_of = |spec: Option<k8s_openapi::api::core::v1::PodSpec>| {
        spec.and_then(|spec| spec.containers.into_iter().next()).and_then(|container| container.image)
    };
    let controller = controller.and_then(|found| image_of(found.spec?.template.spec));
    let pods: Api<Pod> = Api::all(cluster.client);
    let istiods = pods.list(&ListParams::default().labels("app=istiod").limit(1)).await.map_err(text)?;
    let istio = istiods.items.into_iter().next().and_then(|pod| image_of(pod.spec));
    Ok(json!({"kubernetes": kubernetes, "istio": istio, "controller": controller}))
}
