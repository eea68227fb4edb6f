//! Holds the filter to the callbacks that it uses, and strips everything that Envoy does not need.
//!
//! Envoy calls only what a module exports: a missing callback costs nothing per request, an empty one costs an
//! entry into the VM.

use anyhow::{Context, Result, bail};
use walrus::{ModuleConfig, passes};

/// Everything Envoy needs to run the filter.
pub(super) const KEPT: [&str; 11] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_delete",
];

/// The module with only [`KEPT`] exported and everything unreachable from it collected, names included.
///
/// Errors: `wasm` is no module, or lacks one of [`KEPT`] (each is needed, so that is a broken build).
pub(super) fn prune(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .parse(wasm)
        .context("the compiled filter is no Wasm module")?;
    for kept in KEPT {
        if !module.exports.iter().any(|export| export.name == kept) {
            bail!("the compiled filter does not export {kept}");
        }
    }
    let dropped: Vec<_> =
        module.exports.iter().filter(|e| !KEPT.contains(&e.name.as_str())).map(|e| e.id()).collect();
    for export in dropped {
        module.exports.delete(export);
    }
    passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

#[cfg(test)]
mod tests;
