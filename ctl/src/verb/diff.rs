//! `canaryctl diff`: what would change in a cluster.

use std::path::PathBuf;

use canary_istio::Phase;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::failure::{Code, Failure};
use crate::output::{self, Format};
use crate::preview::{self, Scene};
use crate::{files, steer};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:  0 nothing would change · 1 something would · more: it could not be told
Objects that earlier lanes left to be collected are shown and do not count.")]
pub struct Args {
    /// Lanes to look at as if they were applied; default: the cluster's own, as they are.
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to print the changes.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// With code 1 when something would change.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let mut scene = Scene::live(&cluster.client).await?;
        if !args.files.is_empty() {
            let json =
                |lane| serde_json::to_value(lane).map_err(|error| Failure::new(Code::Documents, error));
            let lanes =
                files::read(&args.files)?.lanes.iter().map(json).collect::<Result<Vec<Value>, _>>()?;
            scene.add_lanes(&lanes)?;
        }
        let course = steer::course(&scene.seen, &scene.settings, Timestamp::now().as_second());
        preview::refused(&course)?;
        let plan = &course.plan;
        if args.output.is_text() {
            for finding in &plan.findings {
                anstream::eprintln!("{} {}: {finding}", finding.code(), finding.severity());
            }
            plan.changes.iter().for_each(|change| anstream::println!("{change}"));
        } else {
            output::value(&json!({"changes": plan.changes, "findings": plan.findings}), args.output)?;
        }
        // What is only collected, no request depends on any more.
        match plan.changes.iter().any(|change| change.phase != Phase::Collect) {
            false => Ok(()),
            true => Err(Failure::silent(Code::Failed)),
        }
    })
}
