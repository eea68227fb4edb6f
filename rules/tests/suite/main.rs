//! What the rules decide, case by case. The same code decides in the proxy, on the command line and in a
//! browser, so the same cases run natively and in a JavaScript engine:
//!
//! ```text
//! cargo test -p canary-rules --test suite
//! CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner WASM_BINDGEN_TEST_ONLY_NODE=1 \
//!     cargo test -p canary-rules --test suite --target wasm32-unknown-unknown
//! ```
//!
//! The runner must be of the `wasm-bindgen` version in Cargo.lock; `cargo xtask test node` sees to it.

mod carriers;
mod causes;
mod cookies;
mod explain;
mod golden;
mod inbound;
mod kit;
mod layers;
mod names;
mod operators;
mod outbound;
mod precedence;
mod response;
mod subjects;
mod users;
mod wire;
