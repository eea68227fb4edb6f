//! What one app instance is told at start. Nothing here speaks of lanes.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use canary_istio::Host;
use serde::{Deserialize, Serialize};

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppConfig {
    /// The service that it is an instance of.
    pub service: Host,
    /// Its version, as its answers state it.
    pub version: String,
    /// Its own name, e.g. `web-v1`; without one, as in a pod, that of its host.
    #[serde(default = "host_name")]
    pub instance: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its sidecar's outbound listener: every call goes there, with the wanted service as host. Without one, as in
    /// a pod, whose calls the mesh catches, it looks the service's name up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<SocketAddr>,
    /// What it does with a request.
    #[serde(default)]
    pub behaviour: Behaviour,
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What an app does with a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Behaviour {
    /// Services that it calls before it answers.
    pub calls: Vec<Host>,
    /// Whether it makes these calls at once or in turn.
    pub order: CallOrder,
    /// Services that it calls after it has answered.
    pub after_response: Vec<LateCall>,
    /// Names of headers that it hands on from a request to the calls it makes; every line, bytes as they are.
    /// Of `traceparent` the parent id is its own, as tracing libraries do.
    pub forward: Vec<String>,
    /// Whether it starts a trace (`traceparent`) where a request brings none.
    pub starts_trace: bool,
    /// How it speaks to its sidecar.
    pub http2: bool,
    /// Whether its calls are unary gRPC.
    pub grpc: bool,
    /// How often it repeats a call that failed (no answer, or 5xx).
    pub retries: u32,
    /// How long it takes before it calls anyone, in milliseconds.
    pub delay_ms: u64,
    /// It answers every n-th request with status 500 at once.
    pub fail_every: Option<NonZeroU32>,
    /// Headers of its answers.
    pub response_headers: Vec<(String, String)>,
    /// It prints a line for every request that is answered, with the first lines of these headers; see
    /// [`crate::app::Access`].
    pub access_log: Option<Vec<String>>,
    /// How long it goes on serving once it is told to end (SIGTERM), in milliseconds: as long as callers may not
    /// know it yet.
    pub drain_ms: u64,
}

/// Whether calls are made at once or one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallOrder {
    /// At once.
    #[default]
    Parallel,
    /// One after the other.
    InTurn,
}

/// A call that is made after the response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LateCall {
    /// The service.
    pub host: Host,
    /// How long after the response, in milliseconds.
    pub delay_ms: u64,
}
