//! The least that the stock proxy-wasm SDK can do with a request: nothing, in a context per stream.
//!
//! Benchmarks measure the filter against this. It is built as the SDK's own examples are, with every callback
//! exported.

#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "the SDK's macro makes the only public items")]

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_http_context(|_, _| Box::new(Empty));
}}

struct Empty;

impl Context for Empty {}

impl HttpContext for Empty {}
