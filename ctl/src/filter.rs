//! The Wasm filter that this binary carries.

use sha2::{Digest as _, Sha256};

use crate::failure::{Code, Failure};

static FILTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filter.wasm"));

/// The filter's bytes.
///
/// # Errors
/// When this binary was built without one.
pub fn bytes() -> Result<&'static [u8], Failure> {
    if FILTER.is_empty() {
        return Err(Failure::new(Code::Failed, "this canaryctl was built without the Wasm filter")
            .help("build it with `cargo xtask build`, which puts the filter in"));
    }
    Ok(FILTER)
}

/// Its digest in hexadecimal, as clusters pin it.
#[must_use]
pub fn sha256(filter: &[u8]) -> String {
    Sha256::digest(filter).iter().map(|byte| format!("{byte:02x}")).collect()
}
