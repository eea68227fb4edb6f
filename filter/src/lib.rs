//! The Wasm filter: proxy-wasm callbacks in, decisions of `canary-rules` out.
//!
//! Owns when the rules are asked and how their answers reach the proxy: one header map, one shared
//! map, one set of counters. Decides nothing itself. Everything but [`host`]'s Envoy side and the
//! dispatch is generic over [`host::Host`], so that native tests drive it with a fake proxy.
//!
//! Feature `edge` (default): the roles of edges, rules and all. Without it the module is half the size and
//! refuses those roles: it is the one for sidecars, which are many.
//!
//! A panic kills the worker's VM and nothing restarts it, so this crate has no panic path: the lints
//! below hold everywhere outside tests, and every failure has a declared outcome and a counter.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::integer_division,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used,
        clippy::unwrap_in_result
    )
)]

pub mod clock;
#[cfg(target_family = "wasm")]
mod dispatch;
#[cfg(feature = "edge")]
pub mod edge;
pub mod flow_map;
pub mod host;
pub mod inbound;
pub mod leases;
pub mod metrics;
pub mod outbound;
pub mod pairs;
pub mod plugin;
pub mod root;
#[cfg(feature = "edge")]
pub mod samples;
pub mod spans;
pub mod stream;
pub mod streams;
pub mod traced;
pub mod vm;

#[cfg(test)]
mod tests;
