//! Where the filter that is to be tested has been built to.

use std::path::{Path, PathBuf};

/// Names the filter to test; `cargo xtask` sets it.
pub const FILTER_ENV: &str = "CANARY_FILTER";

/// The built filter's bytes.
///
/// # Panics
/// When there is none: tests must not pass by testing nothing.
#[must_use]
pub fn filter() -> Vec<u8> {
    read(&filter_path())
}

/// The bytes of the filter's build for sidecars, which lies beside it.
///
/// # Panics
/// As [`filter`].
#[must_use]
pub fn sidecar_filter() -> Vec<u8> {
    read(&sidecar_path(&filter_path()))
}

/// Where the build for sidecars lies beside the whole one.
#[must_use]
pub fn sidecar_path(filter: &Path) -> PathBuf {
    filter.with_file_name("canary-filter-sidecar.wasm")
}

fn read(path: &Path) -> Vec<u8> {
    match std::fs::read(path) {
        Ok(wasm) => wasm,
        Err(error) => panic!(
            "no filter to test at {}: {error}\nhelp:  cargo xtask build --filter-only, or cargo xtask test wasm",
            path.display()
        ),
    }
}

/// The path in `CANARY_FILTER`, or where `cargo xtask build` puts the filter in this build's target directory.
#[must_use]
pub fn filter_path() -> PathBuf {
    if let Some(path) = std::env::var_os(FILTER_ENV).filter(|path| !path.is_empty()) {
        return path.into();
    }
    // A test runs from <target>/<profile>/deps/<test>.
    let test = std::env::current_exe().unwrap_or_default();
    let target = test.ancestors().nth(3).unwrap_or(&test);
    target.join("canary").join("canary-filter.wasm")
}
