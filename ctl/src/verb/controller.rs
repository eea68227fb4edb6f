//! `canaryctl controller`: runs in the cluster; started by `install`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::controller::{self, Options};
use crate::duration;
use crate::failure::Failure;
use crate::names;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its own namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = names::NAMESPACE, value_name = "NAME")]
    own_namespace: String,
    /// Its own name among controllers.
    #[arg(long, env = "POD_NAME", default_value = "canaryctl", value_name = "NAME")]
    identity: String,
    /// Where health and metrics are served.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the API server's questions are answered, over TLS; default: nowhere.
    #[arg(long, value_name = "ADDRESS")]
    webhook: Option<SocketAddr>,
    /// How long what no route leads to any more stays, for requests under way.
    #[arg(long, default_value = "2m", value_parser = duration::parse, value_name = "TIME")]
    collect_after: Duration,
    /// How long a change may take to reach every proxy; after an attempt that this was too short for, twice as long, up
    /// to 40 s.
    #[arg(long, default_value = "10s", value_parser = duration::parse, value_name = "TIME")]
    arrival_timeout: Duration,
}

/// Runs the verb.
///
/// # Errors
/// When it cannot start, or another controller took over.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let options = Options {
            namespace: args.own_namespace.clone(),
            identity: args.identity.clone(),
            collect_after: args.collect_after,
            arrival_timeout: args.arrival_timeout,
            listen: args.listen,
            webhook: args.webhook,
        };
        controller::run(cluster.client, options).await
    })
}
