//! The Wasm filter that this binary carries.

use sha2::{Digest as _, Sha256};

use crate::failure::{Code, Failure};

static GATEWAY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filter.wasm"));
static SIDECAR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filter-sidecar.wasm"));

/// A build of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// Every role.
    Gateway,
    /// The roles of sidecars, of which a mesh has many: smaller.
    Sidecar,
}

/// A build's bytes.
///
/// # Errors
/// When this binary was built without it.
pub fn bytes(build: Build) -> Result<&'static [u8], Failure> {
    let bytes = match build {
        Build::Gateway => GATEWAY,
        Build::Sidecar => SIDECAR,
    };
    if bytes.is_empty() {
        return Err(Failure::new(Code::Failed, "this canaryctl was built without the Wasm filter")
            .help("build it with `cargo xtask build`, which puts the filter in"));
    }
    Ok(bytes)
}

/// Its digest in hexadecimal, as clusters pin it.
#[must_use]
pub fn sha256(filter: &[u8]) -> String {
    Sha256::digest(filter).iter().map(|byte| format!("{byte:02x}")).collect()
}
