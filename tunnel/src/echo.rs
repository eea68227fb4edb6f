//! Whether the other end is there: bytes that go the way that all bytes go, and come back.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::mux::Stream;

/// How often a session is proved, and how long it counts without a proof.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between one echo's answer and the next.
    pub every: Duration,
    /// Without one for so long, the connection is dead. Each end counts for itself.
    pub dead_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), dead_after: Duration::from_secs(15) }
    }
}

/// Sends echoes until one is not answered; tells of each how long it took.
pub(crate) async fn ask(mut stream: Stream, timing: Timing, mut answered: impl FnMut(Duration)) -> io::Error {
    let mut proved = Instant::now();
    for number in 0_u64.. {
        let sent = Instant::now();
        match timeout_at(proved + timing.dead_after, once(&mut stream, number)).await {
            Ok(Ok(())) => proved = Instant::now(),
            Ok(Err(error)) => return error,
            Err(_) => break,
        }
        answered(proved - sent);
        sleep_until(sent + timing.every).await;
    }
    io::Error::new(io::ErrorKind::TimedOut, "no echo came back in time")
}

async fn once(stream: &mut Stream, number: u64) -> io::Result<()> {
    stream.write_u64(number).await?;
    stream.flush().await?;
    match stream.read_u64().await? {
        back if back == number => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "another echo came back")),
    }
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
