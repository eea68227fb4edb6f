//! Coarse time: read once a tick, so that no request pays a host call for it.

use std::cell::Cell;

use crate::host::Host;

/// Period of the tick, in milliseconds.
pub const TICK_MS: u32 = 1_000;

/// A tick earlier than this after the last is another plugin's of the same VM, in milliseconds.
const TICK_MS_MIN: u64 = 500;

/// A gap between ticks, in seconds, after which other workers may have been still as long: less than
/// [`canary_rules::flows::RENEWAL_SLACK_S`], so that no lease has run out unnoticed.
const STILL_S: u32 = 4;

/// How long after such a gap every worker has had time to renew its leases, in seconds.
const SETTLE_S: u32 = 3;

/// The time as of the last tick.
#[derive(Debug, Default)]
pub struct Clock {
    unix_s: Cell<u64>,
    monotonic_ms: Cell<u64>,
    ticked_ms: Cell<Option<u64>>,
    settled_s: Cell<u32>,
}

impl Clock {
    /// Reads the time. True when this VM's once-a-tick work is due.
    pub fn read<H: Host>(&self, host: &H) -> bool {
        let now_ms = host.monotonic_ms();
        self.unix_s.set(host.unix_s());
        self.monotonic_ms.set(now_ms);
        let since_ms = self.ticked_ms.get().map(|ticked_ms| now_ms.saturating_sub(ticked_ms));
        let due = since_ms.is_none_or(|since_ms| since_ms >= TICK_MS_MIN);
        if due {
            self.ticked_ms.set(Some(now_ms));
        }
        if since_ms.is_some_and(|since_ms| seconds(since_ms) >= STILL_S) {
            self.settled_s.set(self.now_s().saturating_add(SETTLE_S));
        }
        due
    }

    /// Seconds since 1970.
    pub fn unix_s(&self) -> u64 {
        self.unix_s.get()
    }

    /// Seconds of the clock that the correlation map runs on.
    pub fn now_s(&self) -> u32 {
        seconds(self.monotonic_ms.get())
    }

    /// Whether the whole proxy stood still a moment ago: flows of workers that have not ticked since may
    /// be missing in the map, so one tag alone proves nothing.
    pub fn is_settling(&self) -> bool {
        self.now_s() < self.settled_s.get()
    }
}

/// Whole seconds, as many as fit: 136 years.
fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.checked_div(1_000).unwrap_or_default()).unwrap_or(u32::MAX)
}
