//! How many flows are in flight, and until when they count as live.

use super::Limits;

/// Flows counted together. Live until `expires_s`, also those that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    in_flight: u16,
    expires_s: u32,
}

impl Count {
    pub(super) const BYTES: usize = 6;

    pub(super) fn decode([a, b, c, d, e, f]: [u8; Self::BYTES]) -> Self {
        Self { in_flight: u16::from_le_bytes([a, b]), expires_s: u32::from_le_bytes([c, d, e, f]) }
    }

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let [a, b] = self.in_flight.to_le_bytes();
        let [c, d, e, f] = self.expires_s.to_le_bytes();
        [a, b, c, d, e, f]
    }

    pub(super) fn is_live(self, now_s: u32) -> bool {
        now_s < self.expires_s
    }

    pub(super) fn is_in_flight(self, now_s: u32) -> bool {
        self.is_live(now_s) && self.in_flight > 0
    }

    pub(super) fn expires_s(self) -> u32 {
        self.expires_s
    }

    /// Counts a flow in. A count that died with flows in it starts anew.
    pub(super) fn enter(&mut self, now_s: u32, limits: &Limits) {
        if !self.is_live(now_s) {
            *self = Self::default();
        }
        self.in_flight = self.in_flight.saturating_add(1);
        self.expires_s = self.expires_s.max(now_s.saturating_add(limits.stream_life_s));
    }

    /// Counts a flow out; true when it was the last one, whose linger begins.
    ///
    /// A count that reached its maximum no longer knows how many flows it holds: it stays there and
    /// dies a stream's life after the last begin.
    pub(super) fn leave(&mut self, now_s: u32, limits: &Limits) -> bool {
        if !self.is_in_flight(now_s) || self.in_flight == u16::MAX {
            return false;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let last = self.in_flight == 0;
        if last {
            self.expires_s = now_s.saturating_add(limits.linger_s);
        }
        last
    }
}
