//! `cargo xtask build`: the filter and the playground, then `canaryctl` with both inside.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::filter::{self, Filter};
use crate::playground::{self, Playground};
use crate::step::Step;
use crate::{process, tools, workspace};

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
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", "canaryctl", "--bin", "canaryctl"]);
    compile_canaryctl(cargo, filter, release)
}

/// The same with dependencies as tests have them.
pub(crate) fn canaryctl_of_tests(filter: &Filter) -> Result<PathBuf> {
    compile_canaryctl(workspace::build_of_all("canaryctl"), filter, false)
}

fn compile_canaryctl(mut cargo: Command, filter: &Filter, release: bool) -> Result<PathBuf> {
    let playground = playground::build()?;
    let step = Step::start("canaryctl", "compiling");
    carry(&mut cargo, filter, &playground);
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    let binary = workspace::target_dir().join(profile(release)).join("canaryctl");
    step.done("built", &workspace::show(&binary));
    Ok(binary)
}

/// Tells canaryctl's build what it is to embed.
fn carry(cargo: &mut Command, filter: &Filter, playground: &Playground) {
    cargo.env(FILTER_ENV, &filter.path).env(PLAYGROUND_ENV, &playground.dir);
}

fn profile(release: bool) -> &'static str {
    if release { "release" } else { "debug" }
}

/// Builds the binary without anything that it would need of a system: for images, and for any Linux.
pub(crate) fn canaryctl_static(filter: &Filter, release: bool) -> Result<PathBuf> {
    let built = statically("canaryctl", filter, release, &["--package", "canaryctl", "--bin", "canaryctl"])?;
    Ok(built.join("canaryctl"))
}

/// What runs in a lab's pods, and what carries bytes to it and back; each needs nothing else in its image.
pub(crate) struct Statics {
    pub(crate) canaryctl: PathBuf,
    /// The local mesh's app.
    pub(crate) app: PathBuf,
    /// Sends and takes bytes, at both ends of a developer's connection.
    pub(crate) bytes: PathBuf,
}

impl Statics {
    /// Builds them together, so that what they share is built once.
    pub(crate) fn build(filter: &Filter, release: bool) -> Result<Self> {
        const APP: &str = "canary-mesh-app";
        const BYTES: &str = "bytes";
        let packages =
            ["--package", "canaryctl", "--package", "canary-localmesh", "--package", "canary-tunnel"];
        let targets = ["--bin", "canaryctl", "--bin", APP, "--example", BYTES];
        let built = statically("programs", filter, release, &[&packages[..], &targets[..]].concat())?;
        Ok(Self {
            canaryctl: built.join("canaryctl"),
            app: built.join(APP),
            bytes: built.join("examples").join(BYTES),
        })
    }
}

/// Compiles what these arguments of cargo choose for a target without a C library of the system's; returns the folder
/// where it is. `what` is what it is called meanwhile.
fn statically(what: &str, filter: &Filter, release: bool, chosen: &[&str]) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    tools::ensure_rust_target(&target)?;
    let playground = playground::build()?;
    let step = Step::start(what, &format!("compiling for {target}"));
    let mut cargo = workspace::cargo();
    carry(&mut cargo, filter, &playground);
    cargo
        .args(["build", "--target", &target])
        .args(chosen)
        // canaryctl's cryptography has parts in C and assembly that need nothing of a C library.
        .env(format!("CC_{}", target.replace('-', "_")), "cc")
        .env("CARGO_PROFILE_DEV_STRIP", "debuginfo");
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    let folder = workspace::target_dir().join(&target).join(profile(release));
    step.done("built", &workspace::show(&folder));
    Ok(folder)
}
