//! `canaryctl disable`: turns lanes off and waits until no proxy routes by them.

use std::time::Instant;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::failure::{Code, Failure};
use crate::lanes::Lanes;
use crate::progress::seconds;
use crate::rights::{self, Command, Whose};
use crate::waiting::{DryRun, Waiting};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Users of the lane are back at the baseline with their next request; requests under way are served to
their end. What no request needs any more is collected minutes later."
)]
pub struct Args {
    /// The lanes; default gray.
    #[arg(value_name = "LANE", default_value = "gray", conflicts_with = "all")]
    lanes: Vec<String>,
    /// Every lane there is.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    waiting: Waiting,
}

/// Runs the verb.
///
/// # Errors
/// When a lane does not exist, or is not off in time.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        if !args.dry_run.is_client() && !args.dry_run.is_server() {
            let waits: Vec<Whose> = args.waiting.timeout().map(|_| Whose::Waiting).into_iter().collect();
            rights::held(&cluster.client, Command::Disable, &[], &waits).await?;
        }
        let api = Lanes::new(&cluster.client);
        let name = |lane: &serde_json::Value| lane["metadata"]["name"].as_str().map(str::to_owned);
        let there: Vec<String> = api.list().await?.iter().filter_map(name).collect();
        let lanes = if args.all { there.clone() } else { args.lanes.clone() };
        if let Some(missing) = lanes.iter().find(|lane| !there.contains(lane)) {
            let known = if there.is_empty() {
                "no lane is on".into()
            } else {
                format!("on are: {}", there.join(", "))
            };
            return Err(Failure::new(Code::Failed, format!("there is no lane {missing}")).help(known));
        }
        if args.dry_run.is_client() {
            lanes.iter().for_each(|lane| anstream::println!("Lane {lane} would be off."));
            return Ok(());
        }
        let started = Instant::now();
        for lane in &lanes {
            api.delete(lane, args.dry_run.is_server()).await?;
        }
        if args.dry_run.is_server() {
            return Ok(());
        }
        for lane in &lanes {
            match args.waiting.timeout() {
                Some(timeout) => {
                    api.gone(lane, timeout).await?;
                    anstream::println!(
                        "Lane {lane} is off: no proxy routes by it.{}",
                        seconds(started.elapsed())
                    );
                }
                None => anstream::println!("Lane {lane} is on its way off."),
            }
        }
        Ok(())
    })
}
