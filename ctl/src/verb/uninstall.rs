//! `canaryctl uninstall`: takes everything away again.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::confirm::Confirm;
use crate::duration;
use crate::failure::Failure;
use crate::install::{self, Removal};
use crate::progress::Printed;
use crate::rights::{self, Command};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Lanes end first, in order; then your objects are put back as they were found, ours are removed, and
proxies let the filter go. Without --purge Lane's definition, the namespace and the signing keys stay, so
that an installation to come knows its users again."
)]
pub struct Args {
    /// Remove every trace: the namespace, the signing keys and Lane's definition too.
    #[arg(long)]
    purge: bool,
    /// How long it may take.
    #[arg(long, default_value = "3m", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    confirm: Confirm,
}

/// Runs the verb.
///
/// # Errors
/// When something is refused or not gone in time.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let besides = args.purge.then_some(rights::command::PURGING);
        let besides: Vec<_> = besides.into_iter().collect();
        rights::held(&cluster.client, Command::Uninstall, &[], &besides).await?;
        args.confirm
            .ask("Every lane ends, and proxies let the filter go: streams of more than 45 s are drained once. Go on?")?;
        let removal = if args.purge { Removal::Everything } else { Removal::Parts };
        install::remove(&cluster.client, removal, Instant::now() + args.timeout, &mut Printed).await?;
        anstream::println!("Uninstalled.");
        Ok(())
    })
}
