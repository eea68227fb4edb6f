//! Embeds the Wasm filter: the file that `CANARY_FILTER` names and the sidecars' build beside it, or
//! nothing.
//!
//! Without it the binary still explains and checks; verbs that need the filter say how to build one in.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=CANARY_FILTER");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let filter = std::env::var_os("CANARY_FILTER").map(PathBuf::from);
    let sidecar = filter.as_ref().map(|filter| filter.with_file_name("canary-filter-sidecar.wasm"));
    embed(filter, &out.join("filter.wasm"));
    embed(sidecar, &out.join("filter-sidecar.wasm"));
}

fn embed(filter: Option<PathBuf>, to: &Path) {
    match filter {
        Some(filter) => {
            println!("cargo::rerun-if-changed={}", filter.display());
            let copied = std::fs::copy(&filter, to);
            copied.unwrap_or_else(|error| panic!("{}: {error}", filter.display()));
        }
        None => std::fs::write(to, []).expect("OUT_DIR is writable"),
    }
}
