//! Tests that no single part can have: what they need to run the built filter and to watch it.
//!
//! Knows the filter only from outside, as Envoy does: a Wasm module with callbacks, a configuration, headers.

pub mod bench;
pub mod built;
pub mod carrier;
pub mod soak;
pub mod staged;
pub mod wasm_host;
