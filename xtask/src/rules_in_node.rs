//! The rules' suite compiled for a JavaScript engine and run in Node, as the dashboard's playground runs the
//! rules in a browser.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tools::{self, Node, WasmBindgen};
use crate::workspace;

/// `cargo test` of the rules, with Node as the machine that runs them.
pub(crate) fn cargo_test(node: &Node) -> Result<Command> {
    tools::ensure_rust_targets()?;
    let runner = WasmBindgen::ensure()?.runner();
    let mut cargo = workspace::cargo();
    cargo
        .args(["test", "--package", "canary-rules", "--test", "suite"])
        .args(["--target", "wasm32-unknown-unknown"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner)
        .env("WASM_BINDGEN_TEST_ONLY_NODE", "1")
        .env("PATH", path_with(node)?);
    Ok(cargo)
}

/// The search path with this Node first: the runner starts `node` by name.
fn path_with(node: &Node) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = node.program().parent().map(PathBuf::from).filter(|dir| !dir.as_os_str().is_empty());
    std::env::join_paths(first.into_iter().chain(std::env::split_paths(&path)))
        .context("joining the search path")
}
