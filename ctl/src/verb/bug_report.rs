//! `canaryctl bug-report`: a file for whoever helps to find a fault.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{status, version};
use crate::bug_report;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::confirm::Confirm;
use crate::failure::{Code, Failure};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  canaryctl bug-report -o report.tar.gz

It holds versions, settings, Lanes, Releases, Takeovers, VirtualServices and DestinationRules that lanes are in, plugins, what
check and status say, and the ends of the controllers' logs. Secrets are never read into it. Taken out are keys, values of cookies,
headers, parameters, claims and addresses in rules and VirtualServices, and what plugins are told. Names of services,
namespaces, lanes and developers stay: look at it before you hand it on.")]
pub struct Args {
    /// Where to write it; default: canaryctl-bug-report-TIME.tar.gz in this folder.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    confirm: Confirm,
}

/// Runs the verb.
///
/// # Errors
/// When there is no way to the cluster, somebody says no, or the file cannot be written.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let path = args.output.clone().unwrap_or_else(|| {
        PathBuf::from(format!("canaryctl-bug-report-{}.tar.gz", Timestamp::now().strftime("%Y%m%dT%H%M%SZ")))
    });
    let files = block_on(async {
        let connected = Cluster::connect(cluster).await?;
        let versions = version::all(cluster).await;
        let status = status::look(&connected).await;
        Ok(bug_report::collect(&connected.client, versions, status).await)
    })?;
    for file in &files {
        anstream::println!("{:>9} bytes  {}", file.content.len(), file.name);
    }
    args.confirm.ask(&format!("write these to {}?", path.display()))?;
    bug_report::write(&path, &files).map_err(|error| {
        Failure::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
            .help("-o names another file; none is replaced")
    })?;
    anstream::println!("{} is written. Look at it before you hand it on.", path.display());
    Ok(())
}
