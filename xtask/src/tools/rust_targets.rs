//! The Rust targets that parts of the project compile to.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::step::Step;
use crate::workspace;

/// The filter and the dashboard's playground are the first; the stock SDK's empty filter, to compare with, is the second.
const TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip1"];

pub(super) fn ensure() -> Result<()> {
    let step = Step::start("rust", "looking for the Wasm targets");
    let mut added = Vec::new();
    for target in TARGETS {
        if ensure_one(target)? {
            added.push(target);
        }
    }
    let state = if added.is_empty() { "ready" } else { "added" };
    step.done(state, &TARGETS.join(", "));
    Ok(())
}

/// Adds a target that is missing, and says whether it was.
pub(super) fn ensure_one(target: &str) -> Result<bool> {
    if is_installed(target)? {
        return Ok(false);
    }
    process::run(Command::new("rustup").args(["target", "add", target]).current_dir(workspace::root()))
        .with_context(|| format!("the Rust target {target} is missing and rustup cannot add it"))?;
    Ok(true)
}

/// Asks rustc itself, so that a toolchain which did not come from rustup works too.
fn is_installed(target: &str) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libdir = process::capture(
        Command::new(rustc)
            .args(["--print", "target-libdir", "--target", target])
            .current_dir(workspace::root()),
    )?;
    Ok(Path::new(libdir.trim()).is_dir())
}
