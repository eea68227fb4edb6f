//! `cargo xtask bench`: what the filter costs, in exact counts and on a real Envoy; what lanes cost a cluster; how fast a
//! developer's connection to one is; and how fast the dashboard is.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::build::Statics;
use crate::step::Step;
use crate::tools::{Chromium, Envoy, Sshd};
use crate::{build, filter, lab, process, workspace};

/// Where the results of a full run go, from the checkout's root.
const DOCUMENT: &str = "docs/benchmarks.md";
/// Has the tests of the cluster measure instead, and names the document.
const CLUSTER_DOCUMENT_ENV: &str = "CANARY_BENCH_DOCUMENT";
/// Has them measure everything once.
const CLUSTER_QUICK_ENV: &str = "CANARY_BENCH_QUICK";
/// The same for a developer's connection, and what is measured there.
const TUNNEL_DOCUMENT_ENV: &str = "CANARY_BENCH_TUNNEL_DOCUMENT";
const TUNNEL_CANARYCTL_ENV: &str = "CANARY_BENCH_CANARYCTL";
const TUNNEL_SSHD_ENV: &str = "CANARY_BENCH_SSHD";

/// Measure the filter beside other ways to do the same, and write that into docs/benchmarks.md
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run every row once, to see that it runs and that the exact counts keep their budgets; with --cluster that is
    /// printed, and nothing is written
    #[arg(long)]
    quick: bool,
    /// Measure what lanes cost a cluster instead, on a lab (Linux, root), and write that into the same document
    #[arg(long)]
    cluster: bool,
    /// Measure how fast a developer's connection is instead, on a lab (Linux, root), and write its section of
    /// docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "cluster"])]
    tunnel: bool,
    /// Measure how fast the dashboard is in a Chromium instead, with a mesh of 500 services, and write its section of
    /// docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "cluster", "tunnel"])]
    dashboard: bool,
    /// Decides the order in which rows take their turns
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match (args.cluster, args.tunnel, args.dashboard) {
        (true, ..) => of_cluster(args),
        (_, true, _) => of_tunnel(),
        (.., true) => of_dashboard(),
        _ => of_filter(args),
    }
}

fn of_dashboard() -> Result<()> {
    const MESH: &str = "large_mesh";
    const BENCH: &str = "canary-dashboard-bench";
    let chromium = Chromium::ensure()?;
    let step = Step::start("dashboard", "compiling");
    process::run(workspace::cargo().args(["build", "--quiet", "--package", "canaryctl", "--example", MESH]))?;
    let package = ["build", "--quiet", "--package", "canary-browser-tests", "--bin", BENCH];
    process::run(workspace::cargo().args(package))?;
    let built = workspace::target_dir().join("debug");
    step.done("built", &workspace::show(&built.join(BENCH)));
    let mut bench = Command::new(built.join(BENCH));
    bench.arg(chromium.program()).arg(built.join("examples").join(MESH));
    process::run(bench.arg(workspace::root().join(DOCUMENT)))
}

fn of_cluster(args: &Args) -> Result<()> {
    let mut what = vec![(CLUSTER_DOCUMENT_ENV, workspace::root().join(DOCUMENT))];
    what.extend(args.quick.then(|| (CLUSTER_QUICK_ENV, "1".into())));
    on_a_lab(&what)
}

fn of_tunnel() -> Result<()> {
    let Statics { canaryctl, bytes, .. } = Statics::build(&filter::build()?, true)?;
    on_a_lab(&[
        (TUNNEL_DOCUMENT_ENV, workspace::root().join(DOCUMENT)),
        (TUNNEL_CANARYCTL_ENV, canaryctl),
        (build::BYTES_ENV, bytes),
        (TUNNEL_SSHD_ENV, Sshd::ensure()?.folder().to_owned()),
    ])
}

/// Has the tests of the cluster measure what these variables say.
fn on_a_lab(what: &[(&str, PathBuf)]) -> Result<()> {
    if let Some(why) = lab::impossible_here() {
        bail!("{why}\nhelp:  cargo xtask bench measures the filter alone, anywhere");
    }
    // Built before the lab is up: compiling takes the processors that are measured.
    process::run(lab::tests().args(["--quiet", "--no-run"]))?;
    let mut measured = lab::tests();
    measured.arg("--quiet").envs(what.iter().map(|(name, path)| (*name, path)));
    process::run(&mut lab::beside_a_lab(&measured, "", lab::Optimised::Yes)?)
}

fn of_filter(args: &Args) -> Result<()> {
    let filter = filter::build()?;
    let empty = empty_filter()?;
    let envoy = Envoy::ensure()?;
    let mut bench = workspace::cargo();
    // Optimised, so that Envoy waits for the load generator as little as can be.
    bench
        .args(["run", "--quiet", "--release", "--package", "canary-e2e", "--bin", "canary-bench", "--"])
        .args(["--seed", &args.seed.to_string()])
        .env("CANARY_SIDECAR_FILTER", filter.path.with_file_name("canary-filter-sidecar.wasm"))
        .env(build::FILTER_ENV, filter.path)
        .env("CANARY_EMPTY_FILTER", empty)
        .env("CANARY_ENVOY", envoy.program());
    match args.quick {
        true => bench.arg("--quick"),
        false => bench.args(["--write", DOCUMENT]),
    };
    process::run(&mut bench)
}

/// Builds the stock SDK's empty filter, with the filter's own compiler settings and nothing taken out.
fn empty_filter() -> Result<PathBuf> {
    let step = Step::start("filter", "compiling the empty one for comparison");
    process::run(
        workspace::cargo()
            .args(["--config", "wasm-target.toml", "build", "--quiet", "--package", "canary-empty-filter"])
            .args(["--profile", "filter", "--target", "wasm32-wasip1"])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    let compiled =
        workspace::target_dir().join("wasm32-wasip1").join("filter").join("canary_empty_filter.wasm");
    step.done("compiled", &workspace::show(&compiled));
    Ok(compiled)
}
