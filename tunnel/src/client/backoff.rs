//! How long to wait before another attempt.

use std::time::Duration;

/// Before the second attempt, in milliseconds; the first is made at once.
const DELAY_MS_MIN: u64 = 250;
/// At most, in milliseconds.
const DELAY_MS_MAX: u64 = 5_000;

/// Doubles from one attempt to the next. Up to a quarter is left to chance, so that many do not come at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The number of the attempt that is next.
    pub(super) fn attempt(&self) -> u32 {
        self.attempts + 1
    }

    /// The time before it.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = 2_u64.checked_pow(self.attempts.saturating_sub(1)).unwrap_or(u64::MAX);
        let delay = DELAY_MS_MIN.saturating_mul(doubled).min(DELAY_MS_MAX);
        let delay = if self.attempts == 0 { 0 } else { delay - fastrand::u64(..=delay / 4) };
        self.attempts = self.attempts.saturating_add(1);
        Duration::from_millis(delay)
    }

    /// There was a connection.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_limit_and_begins_anew() {
        let mut backoff = Backoff::default();
        assert_eq!((backoff.attempt(), backoff.next()), (1, Duration::ZERO));
        for most in [250, 500, 1000, 2000, 4000, 5000, 5000] {
            let delay = backoff.next().as_millis();
            assert!((most * 3 / 4..=most).contains(&delay), "{delay} of {most}");
        }
        (0..100).for_each(|_| assert!(backoff.next() <= Duration::from_millis(DELAY_MS_MAX)));
        backoff.reset();
        assert_eq!((backoff.attempt(), backoff.next()), (1, Duration::ZERO));
    }
}
