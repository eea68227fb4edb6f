//! A proxy-wasm host that behaves as Envoy does, for tests that need exact counts and full control.
//!
//! Runs a compiled filter through the 0.2.1 ABI with what real Envoys were seen or read to do: getters that
//! know only the first of repeated headers, shared data that is never deleted, maps that are out of reach
//! between callbacks, a trap that takes its worker's VM with it. One thread runs all workers in the order that
//! the test gives, and time stands still unless the test moves it, so every run is the same.
//!
//! Refuses to know what the filter is for: it also runs the hand-written modules of its own tests.
//!
//! Not modelled: bodies, trailers, TCP, calls to other services, shared queues. A filter that calls those traps.
//!
//! ```no_run
//! use canary_e2e::wasm_host::{Module, Proxy};
//!
//! let proxy = Proxy::load(&Module::compile(&std::fs::read("filter.wasm").unwrap()).unwrap(), 2);
//! let plugin = proxy.plugin(br#"{"role":"edge"}"#);
//! let mut stream = plugin.request(0, [(":path", "/"), ("cookie", "gray=1")]);
//! assert_eq!(stream.headers().first("x-canary-lane"), Some(&b"gray"[..]));
//! stream.response([(":status", "200")]);
//! stream.end();
//! ```

mod abi;
mod callback;
mod context;
mod cost;
mod env_imports;
mod guest_memory;
mod header_map;
mod metrics;
mod module;
mod plugin;
mod process;
mod property;
mod proxy;
mod shared_data;
mod stream;
mod vm;
mod vm_set;
mod wasi_imports;

pub use abi::HostCall;
pub use callback::Callback;
pub use cost::Cost;
pub use header_map::HeaderMap;
pub use metrics::MetricKind;
pub use module::{Module, ModuleError};
pub use plugin::{FailurePolicy, Plugin, PluginSpec};
pub use process::Crash;
pub use property::Property;
pub use proxy::Proxy;
pub use shared_data::SharedData;
pub use stream::{Action, LocalResponse, Stream};
pub use vm::Thread;

#[cfg(test)]
mod tests;
