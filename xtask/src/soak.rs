//! `cargo xtask soak`: the randomized chain test at its full length.

use anyhow::Result;

use crate::tools::Envoy;
use crate::{filter, process, workspace};

/// Drive random flows of several lanes through a chain of real Envoys and look for a wrong hop
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many hops to watch
    #[arg(long, default_value_t = 1_000_000)]
    hops: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let filter = filter::build()?;
    let envoy = Envoy::ensure()?;
    process::run(
        workspace::cargo()
            .args([
                "test",
                "--release",
                "--package",
                "canary-e2e",
                "--test",
                "envoy_chain",
                "--",
                "--nocapture",
            ])
            .env(crate::build::FILTER_ENV, filter.path)
            .env("CANARY_ENVOY", envoy.program())
            .env("CANARY_SOAK_HOPS", args.hops.to_string()),
    )
}
