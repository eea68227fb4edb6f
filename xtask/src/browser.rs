//! The dashboard in a real browser: its tests, and the pictures that the documents show.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::build::{self, CTL_ENV};
use crate::tools::{Chromium, Envoy};
use crate::{filter, process, workspace};

pub(crate) const BROWSER_ENV: &str = "CANARY_BROWSER";
/// Tells tests on a cluster what drives the dashboard there.
pub(crate) const DRIVER_ENV: &str = "CANARY_DASHBOARD_DRIVER";
const ENVOY_ENV: &str = "CANARY_ENVOY";
/// Names the script that tells what of a page keeps people from using it.
pub(crate) const AXE_ENV: &str = "CANARY_AXE";
/// Has the tests make pictures in a folder instead.
const SCREENSHOTS_ENV: &str = "CANARY_SCREENSHOTS";

/// Make the pictures of the dashboard that the documents show
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn screenshots(_: &Args) -> Result<()> {
    let canaryctl = build::canaryctl(&filter::build()?, false)?;
    let envoy = Envoy::ensure()?;
    let mut cargo = cargo_test(&Chromium::ensure()?);
    cargo.env(CTL_ENV, &canaryctl).env(ENVOY_ENV, envoy.program());
    process::run(cargo.env(SCREENSHOTS_ENV, workspace::root().join("docs").join("images")))
}

/// `cargo test` of the dashboard in this browser; what else it needs is for the caller to say.
pub(crate) fn cargo_test(chromium: &Chromium) -> Command {
    let mut cargo = workspace::cargo_of_all("test");
    cargo.args(["--test", "browser"]).env(BROWSER_ENV, chromium.program());
    cargo
}

/// Builds what drives the dashboard of a cluster, and returns where it is.
pub(crate) fn driver() -> Result<PathBuf> {
    const DRIVER: &str = "canary-dashboard-driver";
    process::run(&mut workspace::build_of_all(DRIVER))?;
    Ok(workspace::target_dir().join("debug").join(DRIVER))
}
