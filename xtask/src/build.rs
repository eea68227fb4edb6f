//! `cargo xtask build`: the filter and the playground, then `canaryctl` with both inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::filter::{self, Filter};
use crate::step::Step;
use crate::{playground, process, tools, workspace};

/// Tells canaryctl's build which filter to embed, and the tests which filter to run.
pub(crate) const FILTER_ENV: &str = "CANARY_FILTER";

/// Tells canaryctl's build where the playground is that it is to embed, and the tests which to run.
pub(crate) const PLAYGROUND_ENV: &str = "CANARY_PLAYGROUND";

/// Tells the tests which program to carry bytes with.
pub(crate) const BYTES_ENV: &str = "CANARY_BYTES";

/// Tells the tests which canaryctl to run.
pub(crate) const CTL_ENV: &str = "CANARY_CTL";

/// Build the filter, the playground, and canaryctl, which carries them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build only the filter
    #[arg(long)]
    filter_only: bool,
    /// Build canaryctl optimised, as it is shipped
    #[arg(long)]
    release: bool,
    /// Build canaryctl so that it needs nothing of a system, as its image wants it
    #[arg(long = "static")]
    is_static: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let filter = filter::build()?;
    match (args.filter_only, args.is_static) {
        (true, _) => {}
        (false, true) => drop(canaryctl_static(&filter, args.release)?),
        (false, false) => drop(canaryctl(&filter, args.release)?),
    }
    filter.check_size()
}

/// Builds the binary and returns where it is.
pub(crate) fn canaryctl(filter: &Filter, release: bool) -> Result<PathBuf> {
    let playground = playground::build()?;
    let step = Step::start("canaryctl", "compiling");
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", "canaryctl", "--bin", "canaryctl"]);
    cargo.env(FILTER_ENV, &filter.path).env(PLAYGROUND_ENV, &playground.dir);
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    let profile = if release { "release" } else { "debug" };
    let binary = workspace::target_dir().join(profile).join("canaryctl");
    step.done("built", &workspace::show(&binary));
    Ok(binary)
}

/// Builds the binary without anything that it would need of a system: for images, and for any Linux.
pub(crate) fn canaryctl_static(filter: &Filter, release: bool) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    tools::ensure_rust_target(&target)?;
    let playground = playground::build()?;
    let step = Step::start("canaryctl", &format!("compiling for {target}"));
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--package", "canaryctl", "--bin", "canaryctl", "--target", &target])
        .env(FILTER_ENV, &filter.path)
        .env(PLAYGROUND_ENV, &playground.dir)
        // Its cryptography has parts in C and assembly that need nothing of a C library.
        .env(format!("CC_{}", target.replace('-', "_")), "cc")
        .env("CARGO_PROFILE_DEV_STRIP", "debuginfo");
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    let profile = if release { "release" } else { "debug" };
    let binary = workspace::target_dir().join(&target).join(profile).join("canaryctl");
    step.done("built", &workspace::show(&binary));
    Ok(binary)
}

/// Builds the program that sends and takes bytes, at both ends of a developer's connection.
pub(crate) fn bytes(release: bool) -> Result<PathBuf> {
    static_program("bytes", "canary-tunnel", "--example", "bytes", release)
}

/// Builds a program of the tests, a `--bin` or an `--example`, that needs nothing else in its image. `step` is what it is
/// called meanwhile.
pub(crate) fn static_program(
    step: &str,
    package: &str,
    kind: &str,
    name: &str,
    release: bool,
) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    tools::ensure_rust_target(&target)?;
    let step = Step::start(step, &format!("compiling for {target}"));
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--package", package, kind, name, "--target", &target]);
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    let folder = workspace::target_dir().join(&target).join(if release { "release" } else { "debug" });
    let program = if kind == "--example" { folder.join("examples") } else { folder }.join(name);
    step.done("built", &workspace::show(&program));
    Ok(program)
}
