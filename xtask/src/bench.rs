//! `cargo xtask bench`: what the filter costs, in exact counts and on a real Envoy.

use anyhow::Result;

use crate::tools::Envoy;
use crate::{filter, process, workspace};

/// Measure the filter: host calls, instructions, CPU per request, size
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the benchmarks whose name contains this
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let filter = filter::build()?;
    let envoy = Envoy::ensure()?;
    let mut cargo = workspace::cargo();
    cargo.args(["bench", "--package", "canary-e2e"]);
    if let Some(name) = &args.name {
        cargo.args(["--", name]);
    }
    process::run(cargo.env(crate::build::FILTER_ENV, filter.path).env("CANARY_ENVOY", envoy.program()))
}
