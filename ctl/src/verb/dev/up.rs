//! `canaryctl dev up` and `down`: all that a file says, at once.

use std::path::PathBuf;

use serde_json::Value;

use super::file::{self, Wanted};
use crate::cluster::{Cluster, ClusterArgs};
use crate::failure::Failure;
use crate::takeovers::{Takeovers, who_am_i};
use crate::verb::mesh::Flow;
use crate::verb::mesh::hold::{self, How, Wish, machine};
use crate::verb::mesh::plan::{Ports, Taken, What};
use crate::waiting::Waiting;

/// The arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    how: How,
}

/// The arguments of `down`.
#[derive(Debug, clap::Args)]
pub struct DownArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    waiting: Waiting,
}

/// Which file.
#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The file; `-` reads standard input.
    #[arg(short, long, default_value = "dev.yaml", value_name = "FILE")]
    filename: PathBuf,
}

/// Holds what the file names until Ctrl-C, all of it or nothing.
///
/// # Errors
/// When the file makes no sense, or one of the services cannot be held.
pub(super) async fn up(args: &UpArgs, cluster: &ClusterArgs) -> Result<(), Failure> {
    let wanted = file::read(&args.file.filename)?;
    let cluster = connect(cluster, &wanted).await?;
    let me = who_am_i(&cluster.client).await?;
    let flow = Flow::new(wanted.rules, wanted.lane, &me)?;
    let mut wishes = Vec::new();
    for (service, port, to) in &wanted.mesh {
        let of = (service.as_str(), Ports::One(*port));
        wishes.push(Wish::read(&cluster, "mesh", of, to, |taken| Ok(flow.takeover(taken, &me))).await?);
    }
    for (service, ports, to) in &wanted.exchange {
        let of = (service.as_str(), Ports::Several(ports));
        let everything = |taken: &Taken| Ok(taken.takeover(What::Everything, &me, &machine()));
        wishes.push(Wish::read(&cluster, "exchange", of, to, everything).await?);
    }
    for (mirrored, to) in &wanted.mirror {
        let of = (mirrored.service.as_str(), Ports::Copied(&mirrored.ports));
        let copies = |taken: &Taken| Ok(taken.takeover(What::Copies(mirrored.percent), &me, &machine()));
        wishes.push(Wish::read(&cluster, "mirror", of, to, copies).await?);
    }
    hold::all(&wishes, &args.how, &cluster).await
}

/// Ends what the file names of one's own, from another terminal.
///
/// # Errors
/// When the file makes no sense, or a service is not given back in time.
pub(super) async fn down(args: &DownArgs, cluster: &ClusterArgs) -> Result<(), Failure> {
    let wanted = file::read(&args.file.filename)?;
    let cluster = connect(cluster, &wanted).await?;
    let takeovers = Takeovers::new(&cluster.client);
    let me = who_am_i(&cluster.client).await?;
    let all = takeovers.list(Some(&cluster.namespace)).await?;
    let services = wanted.services();
    let is_named = |one: &&Value| {
        let service = one["spec"]["service"].as_str();
        one["spec"]["owner"]["user"] == *me && service.is_some_and(|service| services.contains(&service))
    };
    let named: Vec<&Value> = all.iter().filter(is_named).collect();
    if named.is_empty() {
        anstream::println!("You have none of {}.", services.join(", "));
        return Ok(());
    }
    super::end(&cluster, &takeovers, &named, args.waiting).await
}

async fn connect(cluster: &ClusterArgs, wanted: &Wanted) -> Result<Cluster, Failure> {
    let mut cluster = cluster.clone();
    cluster.namespace = cluster.namespace.or_else(|| wanted.namespace.clone());
    Cluster::connect(&cluster).await
}
