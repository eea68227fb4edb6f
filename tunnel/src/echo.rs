//! Whether the other end is there: bytes that go the way that all bytes go, and come back.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::heard::LastByte;
use crate::mux::Stream;

/// How often a session is proved, and how long it counts without a proof.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between one echo and the next.
    pub every: Duration,
    /// The connection is dead to the agent when it has heard no echo for so long, and to the client when nothing at all
    /// has come.
    pub dead_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), dead_after: Duration::from_secs(15) }
    }
}

/// Sends echoes until nothing comes any more; tells of each how long it took.
///
/// Each is sent without the one before having come back, and all are waited for as long as anything comes: on a slow
/// link much may be ahead of them.
pub(crate) async fn ask(
    stream: Stream,
    timing: Timing,
    last: &LastByte,
    mut answered: impl FnMut(Duration),
) -> io::Error {
    let (mut read, mut write) = split(stream);
    let (asked, mut waiting) = mpsc::unbounded_channel();
    let asking = async {
        let mut due = interval(timing.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0_u64.. {
            due.tick().await;
            let _ = asked.send(Instant::now());
            write.write_u64(number).await?;
            write.flush().await?;
        }
        Ok(())
    };
    let hearing = async {
        for number in 0_u64.. {
            let back = read.read_u64().await?;
            match waiting.try_recv() {
                Ok(sent) if back == number => answered(sent.elapsed()),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "another echo came back")),
            }
        }
        Ok(())
    };
    let ended: io::Result<()> = tokio::select! {
        asking = asking => asking,
        hearing = hearing => hearing,
        () = last.silent_for(timing.dead_after) => Ok(()),
    };
    ended.err().unwrap_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "nothing came back in time"))
}

/// Sends back what comes, and notes when.
pub(crate) async fn answer(mut stream: Stream, heard: &watch::Sender<Instant>) -> io::Result<()> {
    loop {
        let number = stream.read_u64().await?;
        heard.send_replace(Instant::now());
        stream.write_u64(number).await?;
        stream.flush().await?;
    }
}

/// Returns when nothing was heard for so long.
pub(crate) async fn silence(mut heard: watch::Receiver<Instant>, dead_after: Duration) {
    loop {
        let dead = *heard.borrow_and_update() + dead_after;
        tokio::select! {
            () = sleep_until(dead) => return,
            changed = heard.changed() => if changed.is_err() {
                return sleep_until(dead).await;
            },
        }
    }
}
