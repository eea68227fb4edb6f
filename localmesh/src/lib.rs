//! A service mesh on loopback: real Envoys and app processes, for the demo and the tests.
//!
//! A [`Mesh`] is a gateway and, for every app instance, the app's process and its sidecar, with inbound and
//! outbound listeners set up as Istio sets them up. Routes come from the plan that canary-istio compiles;
//! the filter under test comes as a module and opaque configurations. This crate knows neither what the
//! filter does nor who gets into a lane.

pub mod admin;
pub mod app;
pub mod demo;
mod envoy;
pub mod error;
pub mod http;
pub mod inotify;
pub mod mesh;
mod ports;
mod process;
pub mod spec;

pub use admin::Admin;
pub use app::{AppConfig, Behaviour, Tree};
pub use envoy::UNREACHABLE_HEADER;
pub use envoy::filters::inline_wasm;
pub use error::MeshError;
pub use http::{Client, ClientError, Peer, Protocol, Reply};
pub use mesh::{Mesh, services};
pub use spec::{
    AppCommand, AppSpec, FailurePolicy, FilterChains, FilterEntry, GATEWAY, GatewaySpec, MeshSpec,
    ProxyOptions, Role, Tracing, Upstream, WasmSpec,
};
