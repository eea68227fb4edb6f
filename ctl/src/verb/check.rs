//! `canaryctl check`: is the cluster fit for lanes, and is all well?

use crate::check::{self, Issue, Report, Weight};
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::failure::{Code, Failure};
use crate::output::{self, Format};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:  0 nothing stands in the way · 3 something does")]
pub struct Args {
    /// Before an installation: versions, gateways, and whether you may install.
    #[arg(long)]
    pre: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// With code 3 when something stands in the way.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let report = check::look(&cluster.client, args.pre).await?;
        if args.output.is_text() {
            show(&report, args.pre);
        } else {
            let value = serde_json::to_value(&report).map_err(|error| Failure::new(Code::Failed, error))?;
            output::value(&value, args.output)?;
        }
        match report.count(Weight::Error) {
            0 => Ok(()),
            _ => Err(Failure::silent(Code::Documents)),
        }
    })
}

fn show(report: &Report, pre: bool) {
    for line in &report.well {
        anstream::println!("✓ {line}");
    }
    report.issues.iter().for_each(show_issue);
    let (errors, warnings) = (report.count(Weight::Error), report.count(Weight::Warning));
    let next = match (errors, pre) {
        (0, true) => "   Next: canaryctl install",
        (0, false) => "   Next: canaryctl status",
        _ => "",
    };
    anstream::println!("{warnings} warnings, {errors} errors.{next}");
}

/// An issue with what mends it.
pub(super) fn show_issue(issue: &Issue) {
    let sign = match issue.weight {
        Weight::Error => "×",
        Weight::Warning => "!",
        Weight::Info => "·",
    };
    anstream::println!("{sign} {}  {}", issue.code, issue.message);
    anstream::println!("         mend: {}", issue.mend);
}
