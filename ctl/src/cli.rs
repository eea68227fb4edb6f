//! The verbs and their arguments' home; each verb's own arguments are beside its code.

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::verb;

/// Full-link gray routing for Istio meshes.
///
/// Decides at the edge which lane a user's flow belongs to, and keeps it there through every service, with
/// no change to any application.
#[derive(Debug, Parser)]
#[command(name = "canaryctl", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Start here:  canaryctl demo        Why is a request in a lane?  canaryctl explain --help
Exit codes:  0 done · 1 failed · 2 wrong usage · 3 documents with errors ·
             4 timed out · 5 somebody else's change"
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show a gray flow end to end on real Envoys, on this machine, without a cluster.
    Demo(Box<verb::demo::Args>),
    /// Tell which lane a request gets, why, and what the edge would set.
    Explain(verb::explain::Args),
    /// Work with Lane files.
    Rules(verb::rules::Args),
    /// One application of the demo's mesh; started by `demo`.
    #[command(hide = true)]
    DemoApp(verb::demo_app::Args),
}

/// Runs what was typed.
///
/// # Errors
/// [`Failure`], ready to print.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.verb {
        Verb::Demo(args) => verb::demo::run(&args),
        Verb::Explain(args) => verb::explain::run(&args),
        Verb::Rules(args) => verb::rules::run(&args),
        Verb::DemoApp(args) => verb::demo_app::run(&args),
    }
}
