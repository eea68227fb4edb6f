//! `cargo xtask soak`: random flows through real Envoys, releases on a lab, or the tunnel, at full length.

use std::ffi::OsString;

use anyhow::Result;

use crate::build::FILTER_ENV;
use crate::tools::Envoy;
use crate::{filter, lab, process, workspace};

/// Drive random flows of several lanes through a chain of real Envoys and look for a wrong hop
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Instead: a release of each strategy on a lab, each under so many flows
    #[arg(long, value_name = "FLOWS", conflicts_with = "passed_on")]
    releases: Option<u32>,
    /// Instead: a developer's tunnel, with 1 GiB each way at once and 10,000 short connections
    #[arg(long, conflicts_with_all = ["passed_on", "releases"])]
    tunnel: bool,
    /// Arguments of the test, such as --hops 1000000 or --seed 7; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(flows) = args.releases {
        return releases(flows);
    }
    if args.tunnel {
        return tunnel();
    }
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

fn tunnel() -> Result<()> {
    process::run(
        workspace::cargo()
            .args(["test", "--release", "--package", "canary-tunnel", "--test", "tunnel", "--", "load::"])
            .env("CANARY_TUNNEL_BYTES", (1_u64 << 30).to_string())
            .env("CANARY_TUNNEL_CONNECTIONS", "10000"),
    )
}

fn releases(flows: u32) -> Result<()> {
    let mut cargo = lab::tests();
    cargo.args(["--", "a_release_of_each_strategy"]);
    cargo.env("CANARY_RELEASE_FLOWS", flows.to_string());
    process::run(&mut lab::beside_a_lab(&cargo, "", lab::Optimised::No)?)
}
