//! How much is measured, and with what.

use std::path::PathBuf;

/// Copies of a filter in one chain: enough that the difference to none stands out of the noise.
pub const COPIES: usize = 20;

/// What to run and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Envoy binary.
    pub envoy: PathBuf,
    /// The filter as edges run it: every role.
    pub filter: PathBuf,
    /// The filter as sidecars run it: their roles only.
    pub sidecar: PathBuf,
    /// The stock SDK's empty filter.
    pub empty: PathBuf,
    /// How much of it.
    pub effort: Effort,
    /// Decides the order of turns; printed, so that a run can be repeated.
    pub seed: u64,
}

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// How often every variant gets its turn.
    pub rounds: usize,
    /// Requests per turn through a chain of [`COPIES`].
    pub stacked_requests: usize,
    /// Requests per turn through a single copy, one at a time.
    pub single_requests: usize,
    /// Requests per turn through a single copy, [`crate::bench::load::CONNECTIONS`] at a time.
    pub saturating_requests: usize,
    /// How often an Envoy is started per kind of filter.
    pub starts: usize,
    /// Requests, each with an id of its own, through the correlation map.
    pub map_requests: u64,
}

impl Effort {
    /// What published figures come from: about ten minutes.
    pub const FULL: Self = Self {
        rounds: 15,
        stacked_requests: 3_000,
        single_requests: 1_500,
        saturating_requests: 6_000,
        starts: 7,
        map_requests: 10_000_000,
    };

    /// Every variant once, to see that it runs: about a minute.
    pub const QUICK: Self = Self {
        rounds: 1,
        stacked_requests: 400,
        single_requests: 200,
        saturating_requests: 400,
        starts: 1,
        map_requests: 500_000,
    };
}
