//! `cargo xtask build`: the filter, then `canaryctl` with the filter inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::filter::{self, Filter};
use crate::step::Step;
use crate::{process, workspace};

/// Tells canaryctl's build which filter to embed, and the tests which filter to run.
pub(crate) const FILTER_ENV: &str = "CANARY_FILTER";

/// Build the filter and canaryctl, which carries it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build only the filter
    #[arg(long)]
    filter_only: bool,
    /// Build canaryctl optimised, as it is shipped
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let filter = filter::build()?;
    if !args.filter_only {
        canaryctl(&filter, args.release)?;
    }
    filter.check_size()
}

/// Builds the binary and returns where it is.
pub(crate) fn canaryctl(filter: &Filter, release: bool) -> Result<PathBuf> {
    let step = Step::start("canaryctl", "compiling");
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", "canaryctl", "--bin", "canaryctl"]).env(FILTER_ENV, &filter.path);
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    let profile = if release { "release" } else { "debug" };
    let binary = workspace::target_dir().join(profile).join("canaryctl");
    step.done("built", &workspace::show(&binary));
    Ok(binary)
}
