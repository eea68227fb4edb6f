//! How long, how wide, and by which dice.

use std::time::Duration;

use crate::staged::Tools;

/// Flows in flight at a time unless told otherwise: enough for every worker to have several at every moment.
pub const IN_FLIGHT_DEFAULT: usize = 64;

/// One run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Envoy, filter and app.
    pub tools: Tools,
    /// Ends when so many hops have been judged.
    pub hops: u64,
    /// Ends after this time at the latest.
    pub time_limit: Duration,
    /// Worker threads of each proxy.
    pub workers: u32,
    /// Flows that wait for their response at a time.
    pub in_flight: usize,
    /// What the dice start from.
    pub seed: u64,
    /// How often progress is told; never if not said.
    pub progress: Option<Duration>,
}
