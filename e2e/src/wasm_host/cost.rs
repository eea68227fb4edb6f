//! What a filter used up: host calls by name and Wasm instructions.

use std::fmt;
use std::ops::{AddAssign, Sub};

use super::HostCall;

const KINDS: usize = HostCall::ALL.len();

/// Exact counts, the same in every run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    calls: [u64; KINDS],
    /// Executed Wasm instructions (wasmtime's fuel; structural ones such as `block` are free). 0 unless the
    /// module was compiled with [`Module::compile_metered`](super::Module::compile_metered).
    pub instructions: u64,
}

impl Cost {
    pub(super) fn count(&mut self, call: HostCall) {
        if let Some(calls) = self.calls.get_mut(call as usize) {
            *calls += 1;
        }
    }

    /// How often one function was called.
    #[must_use]
    pub fn calls_of(&self, call: HostCall) -> u64 {
        self.calls.get(call as usize).copied().unwrap_or(0)
    }

    /// How often any function of the host was called, WASI included.
    #[must_use]
    pub fn host_calls(&self) -> u64 {
        self.calls.iter().sum()
    }

    /// The functions that were called, with how often.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        HostCall::ALL
            .into_iter()
            .map(|call| (call.name(), self.calls_of(call)))
            .filter(|(_, calls)| *calls > 0)
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self { calls: [0; KINDS], instructions: 0 }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.calls.iter_mut().zip(other.calls).for_each(|(mine, others)| *mine += others);
        self.instructions += other.instructions;
    }
}

impl Sub for Cost {
    type Output = Self;

    /// What was used up between two readings, the later one first.
    fn sub(mut self, earlier: Self) -> Self {
        self.calls
            .iter_mut()
            .zip(earlier.calls)
            .for_each(|(mine, others)| *mine = mine.saturating_sub(others));
        self.instructions = self.instructions.saturating_sub(earlier.instructions);
        self
    }
}

impl fmt::Debug for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} host calls", self.host_calls())?;
        for (index, (name, calls)) in self.by_name().enumerate() {
            let opening = if index == 0 { " (" } else { ", " };
            write!(f, "{opening}{calls} {}", name.trim_start_matches("proxy_"))?;
        }
        if self.host_calls() > 0 {
            write!(f, ")")?;
        }
        if self.instructions > 0 {
            write!(f, ", {} instructions", self.instructions)?;
        }
        Ok(())
    }
}
