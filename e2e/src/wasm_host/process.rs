//! What all VMs of one Envoy process have in common.

use super::metrics::Metrics;
use super::property::Properties;
use super::{Callback, SharedData, Thread};

/// When the clock of every test starts: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
const START_NS: u64 = 1_767_225_600_000_000_000;

/// Envoy's level names, `warning` being what Istio sets.
pub(super) const LOG_LEVEL_WARN: u32 = 3;

/// A VM that trapped. Envoy logs it as critical, and that is all anyone learns of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// The thread whose VM is gone.
    pub thread: Thread,
    /// What the filter was doing.
    pub callback: Callback,
    /// The trap, and the filter's own last words if it had any.
    pub message: String,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) shared: SharedData,
    pub(super) metrics: Metrics,
    /// Of the node; every context can read these.
    pub(super) properties: Properties,
    /// Nanoseconds since 1970.
    pub(super) now_ns: u64,
    pub(super) log: Vec<String>,
    pub(super) crashes: Vec<Crash>,
    random: u64,
}

impl Process {
    pub(super) fn new() -> Self {
        Self {
            shared: SharedData::default(),
            metrics: Metrics::default(),
            properties: Properties::default(),
            now_ns: START_NS,
            log: Vec::new(),
            crashes: Vec::new(),
            random: 0,
        }
    }

    /// SplitMix64: the same in every run, and good enough to look random to a filter.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
