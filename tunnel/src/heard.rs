//! When something last came over a transport, whatever it was.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The time of the newest byte. Clones are of the same transport.
#[derive(Debug, Clone)]
pub(crate) struct LastByte(Arc<watch::Sender<Instant>>);

impl LastByte {
    pub(crate) fn now() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now())))
    }

    /// Returns when nothing has come for so long, counted from now at the earliest.
    pub(crate) async fn silent_for(&self, time: Duration) {
        let asked = Instant::now();
        loop {
            let silent = asked.max(*self.0.borrow()) + time;
            if silent <= Instant::now() {
                return;
            }
            sleep_until(silent).await;
        }
    }
}

/// A transport that notes when something comes.
pub(crate) struct Noted<T> {
    pub(crate) transport: T,
    pub(crate) last: LastByte,
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.transport).poll_read(cx, buf);
        if read.is_ready() {
            self.last.0.send_replace(Instant::now());
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
