//! `canaryctl check`: is the cluster fit for lanes, and is all well?

use serde::Serialize;

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
        told(&report, report.count(Weight::Error), args.output, || show(&report, args.pre))
    })
}

/// Prints a report of issues: by `show` as text. Fails without a word, with code 3, if any of them is an error.
pub(super) fn told(
    report: &impl Serialize,
    errors: usize,
    format: Format,
    show: impl FnOnce(),
) -> Result<(), Failure> {
    if format.is_text() {
        show();
    } else {
        let value = serde_json::to_value(report).map_err(|error| Failure::new(Code::Failed, error))?;
        output::value(&value, format)?;
    }
    match errors {
        0 => Ok(()),
        _ => Err(Failure::silent(Code::Documents)),
    }
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
