//! The local mesh against a real Envoy, whose path is in `CANARY_ENVOY`.

mod apps;
mod common;
mod filter;
mod lifecycle;
mod pods;
mod routing;
