//! Embeds what was built before: the Wasm filter, which `CANARY_FILTER` names, with the sidecars' build beside it; and
//! the playground, whose folder `CANARY_PLAYGROUND` names. Or nothing.
//!
//! Without them the binary still explains and checks; what needs them says how to build them in.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=CANARY_FILTER");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let filter = std::env::var_os("CANARY_FILTER").map(PathBuf::from);
    let sidecar = filter.as_ref().map(|filter| filter.with_file_name("canary-filter-sidecar.wasm"));
    embed(filter, &out.join("filter.wasm"));
    embed(sidecar, &out.join("filter-sidecar.wasm"));
    println!("cargo::rerun-if-env-changed=CANARY_PLAYGROUND");
    let playground = std::env::var_os("CANARY_PLAYGROUND").map(PathBuf::from);
    for name in ["rules.js", "rules_bg.wasm"] {
        embed(playground.as_ref().map(|folder| folder.join(name)), &out.join(name));
    }
}

fn embed(file: Option<PathBuf>, to: &Path) {
    match file {
        Some(file) => {
            println!("cargo::rerun-if-changed={}", file.display());
            let copied = std::fs::copy(&file, to);
            copied.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        None => std::fs::write(to, []).expect("OUT_DIR is writable"),
    }
}
