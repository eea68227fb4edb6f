//! `canaryctl release render`: the Release to commit, as `start` would make it.

use super::{show, start};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::releases::Releases;

/// The arguments of `render`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl release render r-7 --image cart=shop/cart:2.4 --steps 5,25 --hold 10m > r-7.yaml

Nothing is changed: the cluster is only asked for the Deployments that are meant.")]
pub struct Args {
    #[command(flatten)]
    document: start::DocumentArgs,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

/// Runs it.
///
/// # Errors
/// When what is given makes no Release.
pub(super) async fn run(args: &Args, cluster: &Cluster, releases: &Releases) -> Result<(), Failure> {
    let release = start::wanted(&args.document, cluster, releases).await?;
    output::objects(&[show::value(&release)?], args.output.or_yaml())
}
