//! The local mesh against a real Envoy, whose path is in `CANARY_ENVOY`.

mod common;
mod lifecycle;
mod routing;
