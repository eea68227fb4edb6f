//! How much may be on its way to this end in each stream.
//!
//! What is lost on the way stops a stream for a round trip or two, and as long goes on only what the window still lets;
//! so it is to be many times what the link holds. What is on its way is also ahead of whatever is sent next, an echo for
//! one; so it is to be no more than the link carries in [`AHEAD`]. How much that is, what arrives tells. And this end
//! is to keep no more than [`ALL_BYTES`] in all, or [`LEAST_BYTES`] for each where streams are many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::STREAMS_MAX;

/// The window of a stream of which nothing is known, and the least, in bytes.
const LEAST_BYTES: u32 = 128 << 10;
/// The largest window of a stream, in bytes.
const MOST_BYTES: u32 = 4 << 20;
/// What all windows together are to be at most, in bytes.
const ALL_BYTES: u32 = 64 << 20;
/// The connection's window, in bytes: the largest there is, for one of them all would let a slow reader hold up
/// everybody.
pub(super) const CONNECTION_BYTES: u32 = (1 << 31) - 1;
/// For how long what is on its way may keep the link busy.
const AHEAD: Duration = Duration::from_millis(500);
/// How often it is looked at while something arrives, and tried again what the other end has not taken yet.
const EVERY: Duration = Duration::from_millis(50);
/// How many looks one after the other must find a window too large. That little arrives may be the sender's doing.
const LOOKS_TOO_LARGE: u32 = 40;

/// What has arrived and been read since it was last looked at, of all streams.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    bytes: AtomicUsize,
    streams: AtomicUsize,
    looks: AtomicUsize,
    begun: Notify,
}

impl Arrivals {
    /// Notes bytes of one stream, which keeps the number of the look that it was last counted for; at first 0.
    pub(super) fn note(&self, bytes: usize, counted: &mut usize) {
        let look = self.looks.load(Ordering::Relaxed) + 1;
        if *counted != look {
            *counted = look;
            self.streams.fetch_add(1, Ordering::Relaxed);
        }
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) == 0 {
            self.begun.notify_one();
        }
    }

    /// The bytes, and of how many streams they are.
    fn take(&self) -> (usize, usize) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        (self.bytes.swap(0, Ordering::Relaxed), self.streams.swap(0, Ordering::Relaxed))
    }
}

/// The windows of one end's streams.
#[derive(Debug)]
pub(super) struct Windows {
    arrivals: Arc<Arrivals>,
    fitting: Fitting,
    /// What the other end has been told.
    told: u32,
    /// Whether it is to be told another.
    is_behind: bool,
    /// When it was last looked at what arrives; none while nothing does.
    looked: Option<Instant>,
}

impl Windows {
    pub(super) fn new(arrivals: Arc<Arrivals>) -> Self {
        Self { arrivals, fitting: Fitting::new(), told: LEAST_BYTES, is_behind: false, looked: None }
    }

    /// The window of a stream, in bytes.
    pub(super) fn bytes(&self) -> u32 {
        self.told
    }

    /// Tells the other end what the windows are to be while so many streams are open. It cannot be told before it has
    /// heard what it was told last.
    pub(super) fn follow<E>(&mut self, open: usize, tell: impl FnOnce(u32) -> Result<(), E>) {
        self.look(Instant::now());
        let wanted = self.fitting.bytes.min(share(open));
        if wanted != self.told && tell(wanted).is_ok() {
            self.told = wanted;
        }
        self.is_behind = wanted != self.told;
    }

    /// Returns when [`Windows::follow`] is due.
    pub(super) async fn due(&self) {
        match self.looked {
            Some(looked) => sleep_until(looked + EVERY).await,
            None if self.is_behind => sleep_until(Instant::now() + EVERY).await,
            None => self.arrivals.begun.notified().await,
        }
    }

    fn look(&mut self, now: Instant) {
        match self.looked {
            None => self.looked = (self.arrivals.bytes.load(Ordering::Relaxed) > 0).then_some(now),
            Some(looked) if now < looked + EVERY => {}
            Some(looked) => {
                let (bytes, streams) = self.arrivals.take();
                self.fitting.look(bytes, streams, now - looked);
                self.looked = (bytes > 0).then_some(now);
            }
        }
    }
}

/// A stream's share of what all may have while so many are open, in bytes.
fn share(open: usize) -> u32 {
    let open = open.clamp(1, 2 * STREAMS_MAX).next_power_of_two() as u32;
    (ALL_BYTES / open).clamp(LEAST_BYTES, MOST_BYTES)
}

/// The window that fits what the link carries.
#[derive(Debug)]
struct Fitting {
    /// In bytes, a power of two.
    bytes: u32,
    /// Looks that found it too large.
    too_large: u32,
}

impl Fitting {
    fn new() -> Self {
        Self { bytes: LEAST_BYTES, too_large: 0 }
    }

    /// So much has arrived of so many streams in this time.
    fn look(&mut self, bytes: usize, streams: usize, time: Duration) {
        let carried = bytes as f64 * AHEAD.as_secs_f64() / time.as_secs_f64() / streams.max(1) as f64;
        let wanted = (carried as u32).clamp(LEAST_BYTES, MOST_BYTES).next_power_of_two();
        if bytes == 0 || wanted >= self.bytes {
            self.bytes = self.bytes.max(wanted);
            self.too_large = 0;
            return;
        }
        self.too_large += 1;
        if self.too_large == LOOKS_TOO_LARGE {
            self.bytes /= 2;
            self.too_large = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;

    #[test]
    fn many_streams_share_what_there_is() {
        for (open, want) in [
            (0, 4 * MIB),
            (16, 4 * MIB),
            (17, 2 * MIB),
            (64, MIB),
            (129, 256 * KIB),
            (2 * STREAMS_MAX, 128 * KIB),
        ] {
            assert_eq!(share(open) as usize, want, "{open}");
        }
    }

    #[track_caller]
    fn check(fitting: &mut Fitting, bytes: usize, streams: usize, want: usize) {
        fitting.look(bytes, streams, EVERY);
        assert_eq!(fitting.bytes as usize, want, "{bytes} bytes of {streams}");
    }

    #[test]
    fn a_window_is_what_the_link_carries_in_half_a_second() {
        let fitting = &mut Fitting::new();
        // 1 Mbit/s.
        check(fitting, 6 * KIB, 1, 128 * KIB);
        check(fitting, 20 * KIB, 1, 256 * KIB);
        check(fitting, 300 * KIB, 8, 512 * KIB);
        // What it has been it is, until it has been too large for two seconds.
        check(fitting, 20 * KIB, 8, 512 * KIB);
        check(fitting, 10 * MIB, 1, 4 * MIB);
    }

    #[test]
    fn a_link_that_has_become_slow_gets_small_windows_and_a_pause_none() {
        let fitting = &mut Fitting::new();
        check(fitting, 10 * MIB, 1, 4 * MIB);
        for look in 1..=10 * LOOKS_TOO_LARGE {
            let halved = (look / LOOKS_TOO_LARGE).min(5);
            check(fitting, 6 * KIB, 1, ((4 * MIB) >> halved).max(128 * KIB));
        }
        check(fitting, 10 * MIB, 1, 4 * MIB);
        for _ in 0..10 * LOOKS_TOO_LARGE {
            check(fitting, 6 * KIB, 1, 4 * MIB);
            check(fitting, 0, 0, 4 * MIB);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_while_something_arrives_and_not_else() {
        let arrivals = Arc::new(Arrivals::default());
        let mut windows = Windows::new(arrivals.clone());
        let (mut one, mut other) = (0, 0);
        let told = std::cell::Cell::new(0);
        let follow = |windows: &mut Windows, open| {
            windows.follow(open, |bytes| {
                told.set(bytes as usize);
                Ok::<_, ()>(())
            });
        };
        follow(&mut windows, 2);
        let nothing = tokio::time::timeout(100 * EVERY, windows.due()).await;
        assert!(nothing.is_err(), "nothing has arrived");
        arrivals.note(MIB, &mut one);
        windows.due().await;
        follow(&mut windows, 2);
        arrivals.note(MIB, &mut one);
        arrivals.note(MIB, &mut other);
        windows.due().await;
        follow(&mut windows, 2);
        assert_eq!(told.get(), 4 * MIB, "3 MiB in 50 ms, of two");
        // One more look finds that no more arrives.
        windows.due().await;
        follow(&mut windows, 2);
        follow(&mut windows, 64);
        assert_eq!(told.get(), MIB);
        windows.follow(2, |_| Err(()));
        let before = Instant::now();
        windows.due().await;
        assert!(before.elapsed() >= EVERY, "it is tried again, and not at once");
        follow(&mut windows, 2);
        assert_eq!(told.get(), 4 * MIB);
    }
}
