//! Embeds the Wasm filter: the file that `CANARY_FILTER` names, or nothing.
//!
//! Without it the binary still explains and checks; verbs that need the filter say how to build one in.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-env-changed=CANARY_FILTER");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("filter.wasm");
    match std::env::var_os("CANARY_FILTER").map(PathBuf::from) {
        Some(filter) => {
            println!("cargo::rerun-if-changed={}", filter.display());
            let copied = std::fs::copy(&filter, &out);
            copied.unwrap_or_else(|error| panic!("CANARY_FILTER={}: {error}", filter.display()));
        }
        None => std::fs::write(&out, []).expect("OUT_DIR is writable"),
    }
}
