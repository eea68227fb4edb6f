//! `cargo xtask soak`: random flows through real Envoys, at full length.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::FILTER_ENV;
use crate::tools::Envoy;
use crate::{filter, process, workspace};

/// Drive random flows of several lanes through a chain of real Envoys and look for a wrong hop
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments of the test, such as --hops 1000000 or --seed 7; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let filter = filter::build()?;
    let envoy = Envoy::ensure()?;
    process::run(
        workspace::cargo()
            .args(["run", "--quiet", "--release", "--package", "canary-e2e", "--bin", "canary-soak", "--"])
            .args(&args.passed_on)
            .env(FILTER_ENV, filter.path)
            .env("CANARY_ENVOY", envoy.program()),
    )
}
