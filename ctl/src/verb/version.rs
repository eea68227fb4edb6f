//! `canaryctl version`: this program's, the filter's, and what a cluster runs.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::filter::BUILDS;
use crate::cluster::{Cluster, ClusterArgs, api_failure, block_on};
use crate::failure::{Code, Failure};
use crate::filter;
use crate::names;
use crate::output::{self, Format};
use crate::world::ISTIOD_SELECTOR;

/// How long a cluster may take to answer all questions, in seconds.
const ANSWERS_S_MAX: u64 = 10;

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
    let versions = if args.client { own() } else { block_on(async { Ok(all(cluster).await) })? };
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

/// This program's versions.
fn own() -> Value {
    let filters = BUILDS.iter().map(|(name, build)| {
        let bytes = filter::bytes(*build).ok();
        ((*name).to_owned(), bytes.map_or(Value::Null, |bytes| filter::sha256(bytes).into()))
    });
    json!({
        "client": env!("CARGO_PKG_VERSION"),
        "wire": canary_rules::wire::VERSION,
        "filter": filters.collect::<serde_json::Map<_, _>>(),
    })
}

/// This program's versions, and the cluster's.
pub(super) async fn all(cluster: &ClusterArgs) -> Value {
    let mut versions = own();
    versions["cluster"] = look(cluster, Duration::from_secs(ANSWERS_S_MAX)).await;
    versions
}

async fn look(args: &ClusterArgs, limit: Duration) -> Value {
    let late = |_| Failure::new(Code::Timeout, format!("no answer within {limit:?}"));
    match tokio::time::timeout(limit, asked(args)).await.map_err(late).flatten() {
        Ok(found) => found,
        Err(failure) => json!({"error": failure.to_string()}),
    }
}

async fn asked(args: &ClusterArgs) -> Result<Value, Failure> {
    let failed = |tried| move |error| api_failure(tried, &error);
    let cluster = Cluster::connect(args).await?;
    let kubernetes = cluster.client.apiserver_version().await.map_err(failed("ask its version"))?.git_version;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), names::NAMESPACE);
    let controller = deployments.get_opt(names::CONTROLLER).await.map_err(failed("read the controller"))?;
    let image_of = |spec: Option<k8s_openapi::api::core::v1::PodSpec>| {
        spec.and_then(|spec| spec.containers.into_iter().next()).and_then(|container| container.image)
    };
    let controller = controller.and_then(|found| image_of(found.spec?.template.spec));
    let pods: Api<Pod> = Api::all(cluster.client);
    let istiods = pods
        .list(&ListParams::default().labels(ISTIOD_SELECTOR))
        .await
        .map_err(failed("list istiod's pods"))?;
    // One of each revision, and two while one is upgraded.
    let images: BTreeSet<String> = istiods.items.into_iter().filter_map(|pod| image_of(pod.spec)).collect();
    let istio = (!images.is_empty()).then(|| Vec::from_iter(images).join(", "));
    Ok(json!({"kubernetes": kubernetes, "istio": istio, "controller": controller}))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// What comes of asking a server at this address, whatever kubeconfig this machine has.
    async fn error_at(address: std::net::SocketAddr, within: Duration) -> String {
        let mut kubeconfig = tempfile::NamedTempFile::new().expect("a file");
        write!(
            kubeconfig,
            "{{clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}], users: [{{name: u, user: {{}}}}], \
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}], current-context: x}}"
        )
        .expect("written");
        let args = ClusterArgs { kubeconfig: Some(kubeconfig.path().into()), ..ClusterArgs::default() };
        look(&args, within).await["error"].as_str().expect("an error").to_owned()
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let limit = Duration::from_millis(300);
        assert_eq!(error_at(address, limit).await, "no answer within 300ms");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said_to_be_so() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        // However busy the machine is.
        let error = error_at(address, Duration::from_secs(60)).await;
        assert!(error.contains("Connection refused"), "{error}");
    }
}
