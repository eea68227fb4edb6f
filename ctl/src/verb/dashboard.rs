//! `canaryctl dashboard`: the lanes, releases and services of a cluster on a page of this machine.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;

use kube::config::Kubeconfig;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::dashboard::cluster::ClusterSource;
use crate::dashboard::{Dashboard, PORT_DEFAULT, Source};
use crate::failure::Failure;
use crate::signals;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl dashboard                  prints the page's address; Ctrl-C ends it
  canaryctl dashboard --read-only      nothing can be changed on it
  canaryctl demo --dashboard           without a cluster: the demo's mesh

Whoever has the address sees and may do what you may; each run has a token of its own in it. The page needs no network
but this machine. From elsewhere forward the port: ssh -L 8900:127.0.0.1:8900 HOST")]
pub struct Args {
    /// The page's port; 0 takes any free one.
    #[arg(long, default_value = PORT_DEFAULT, value_name = "PORT")]
    port: u16,
    /// The address to listen at; any but loopback sends all of it over the network in plain text.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    address: IpAddr,
    /// Only show: on the page no release can be promoted, paused or aborted, and no lane's flows be watched.
    #[arg(long)]
    read_only: bool,
}

/// Runs the verb.
///
/// # Errors
/// When the port is taken, or the cluster cannot be read.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let dashboard = Dashboard::bind_to(args.address, args.port).await?;
        let connected = Cluster::connect(cluster).await?;
        let (source, keep) = ClusterSource::start(&connected, title(cluster)).await?;
        anstream::println!("Picture:  {}     Stop: Ctrl-C", dashboard.url());
        let (source, mut keep) = (Arc::new(source), pin!(keep));
        let ended = tokio::select! {
            served = dashboard.serve(Arc::clone(&source) as Arc<dyn Source>, args.read_only) => served,
            () = &mut keep => return Ok(()),
            () = signals::stopped() => Ok(()),
        };
        // Nothing is watched for a page that is gone.
        tokio::select! {
            () = source.end() => {}
            () = keep => {}
        }
        ended
    })
}

/// The cluster as its user knows it: by the context.
fn title(cluster: &ClusterArgs) -> String {
    let read = match &cluster.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let current = || read.ok().and_then(|config| config.current_context);
    match cluster.context.clone().or_else(current) {
        Some(context) => format!("cluster {context}"),
        None => "cluster".into(),
    }
}
