//! `cargo xtask demo`: everything from a fresh clone to a gray flow on real Envoys.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tools::Envoy;
use crate::{build, filter, workspace};

/// Build everything, then run `canaryctl demo`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments of `canaryctl demo`, such as --keep or --lanes FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let envoy = Envoy::ensure()?;
    let canaryctl = build::canaryctl(&filter::build()?, false)?;
    let mut demo = Command::new(&canaryctl);
    demo.arg("demo").arg("--envoy").arg(envoy.program()).args(&args.passed_on);
    replace_self(demo).with_context(|| format!("cannot start {}", workspace::show(&canaryctl)))
}

/// The demo takes this process's place, so that Ctrl-C and its exit code are the demo's own.
#[cfg(unix)]
fn replace_self(mut demo: Command) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    Err(demo.exec())
}

#[cfg(not(unix))]
fn replace_self(mut demo: Command) -> std::io::Result<()> {
    std::process::exit(demo.status()?.code().unwrap_or(1))
}
