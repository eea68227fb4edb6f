//! `canaryctl release diff`: what a release would still change.

use canary_release::remaining;
use serde_json::json;

use super::{named, plan};
use crate::cluster::Cluster;
use crate::failure::{Code, Failure};
use crate::output::{self, Format};
use crate::releases::{Releases, journal};

/// The arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes:  0 nothing would change any more · 1 something would · more: it could not be told"
)]
pub struct Args {
    #[command(flatten)]
    release: super::NameArgs,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
///
/// # Errors
/// With code 1 when something would still change.
pub(super) async fn run(args: &Args, cluster: &Cluster, releases: &Releases) -> Result<(), Failure> {
    let release = named(releases, args.release.name.as_deref()).await?;
    let seen = plan::look(&cluster.client, &release).await?;
    let left = remaining(&release, &seen.world);
    if args.output.is_text() {
        left.iter().for_each(|one| anstream::println!("{one}"));
        if let Some(trouble) = journal(&release).trouble.filter(|trouble| trouble.needs_help) {
            anstream::eprintln!("release {} does not go on: {}", release.metadata.name, trouble.message);
        }
    } else {
        output::value(&json!({"changes": left}), args.output)?;
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(Failure::silent(Code::Failed)),
    }
}
