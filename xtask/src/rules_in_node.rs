//! The rules' suite compiled for a JavaScript engine and run in Node, as the dashboard's playground will run
//! the rules in a browser.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::Step;
use crate::tools::{self, Node};
use crate::{process, workspace};

const RUNNER: &str = "wasm-bindgen-test-runner";

/// `cargo test` of the rules, with Node as the machine that runs them.
pub(crate) fn cargo_test(node: &Node) -> Result<Command> {
    tools::ensure_rust_targets()?;
    let runner = ensure_runner()?;
    let mut cargo = workspace::cargo();
    cargo
        .args(["--config", "wasm-target.toml", "test", "--package", "canary-rules", "--test", "suite"])
        .args(["--target", "wasm32-unknown-unknown"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner)
        .env("WASM_BINDGEN_TEST_ONLY_NODE", "1")
        .env("PATH", path_with(node)?);
    Ok(cargo)
}

/// The runner must be of exactly the version that the tests are compiled with.
fn ensure_runner() -> Result<PathBuf> {
    let version = wasm_bindgen_version()?;
    let dir = workspace::tools_dir().join(format!("wasm-bindgen-cli-{version}"));
    let runner = dir.join("bin").join(RUNNER);
    let step = Step::start("node tests", &format!("looking for {RUNNER} {version}"));
    if !runner.is_file() {
        process::run(
            workspace::cargo()
                // Not with its lock file, which names versions that not every mirror of the registry has.
                .args(["install", "--quiet", "wasm-bindgen-cli", "--version", &version])
                // Without the default features: those fetch browsers' drivers, and bring a TLS stack for that.
                .args(["--no-default-features", "--bin", RUNNER, "--root"])
                .arg(&dir),
        )?;
    }
    step.done(&version, &workspace::show(&runner));
    Ok(runner)
}

fn wasm_bindgen_version() -> Result<String> {
    let path = workspace::root().join("Cargo.lock");
    let lock = std::fs::read_to_string(&path).context("reading Cargo.lock")?;
    let package = lock.split("name = \"wasm-bindgen\"\nversion = \"").nth(1);
    let version = package.and_then(|rest| rest.split('"').next());
    version.map(str::to_owned).context("Cargo.lock has no wasm-bindgen, which the rules' tests need in Node")
}

/// The search path with this Node first: the runner starts `node` by name.
fn path_with(node: &Node) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = node.program().parent().map(PathBuf::from).filter(|dir| !dir.as_os_str().is_empty());
    std::env::join_paths(first.into_iter().chain(std::env::split_paths(&path)))
        .context("joining the search path")
}
