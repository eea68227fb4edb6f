//! One stream: bytes both ways, each way ended by itself.
//!
//! To the multiplexer a stream that was reset, one that was ended and one whose connection broke all read as ended,
//! and it forgets a stream whose writing side is closed too early to reset it. So what is sent is records, the end
//! is one of them, and the multiplexer's own half-close is not used: a stream that stops without that record broke.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use super::FRAME_BYTES;

/// Bytes before each record: its length, big-endian.
const HEAD: usize = 2;
/// The length that ends the data.
const END: u16 = 0;
/// The length of a record that says nothing: the acceptor's first, because yamux lets only 256 streams be open that
/// the other end has not answered.
const NOTHING: u16 = u16::MAX;
/// Bytes of data in a record, so that one fills one frame of the multiplexer.
pub(crate) const DATA_MAX: usize = FRAME_BYTES - HEAD;

/// A stream between client and agent.
///
/// Reading gives `Ok(0)` only where the other end has shut its writing down. A reset, or a connection that broke, is an
/// error of kind `ConnectionReset`. Dropping resets the stream unless both ends have shut down.
#[derive(Debug)]
pub struct Stream {
    inner: Compat<yamux::Stream>,
    reading: Reading,
    /// A record on its way out, and how much of it has gone.
    record: Vec<u8>,
    sent: usize,
    is_shut: bool,
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Reading {
    Head { bytes: [u8; HEAD], len: usize },
    Data { left: usize },
    Ended,
}

const HEAD_NEXT: Reading = Reading::Head { bytes: [0; HEAD], len: 0 };

impl Stream {
    pub(super) fn new(inner: yamux::Stream, slot: OwnedSemaphorePermit) -> Self {
        let inner = inner.compat();
        Self { inner, reading: HEAD_NEXT, record: Vec::new(), sent: 0, is_shut: false, _slot: slot }
    }

    /// Tells the other end that the stream has arrived.
    pub(super) fn acknowledge(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.record.extend_from_slice(&NOTHING.to_be_bytes());
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends what is left of a record.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.record.len() {
            let rest = &self.record[self.sent..];
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, rest)).map_err(|_| reset())?;
            self.sent += written;
        }
        self.record.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Starts a record; what cannot go at once goes with the next write or flush.
    fn start(&mut self, len: u16, data: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        self.record.extend_from_slice(&len.to_be_bytes());
        self.record.extend_from_slice(data);
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads at most so many bytes.
    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let wanted = limit.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(wanted));
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part)).map_err(|_| reset())?;
        let len = part.filled().len();
        if len == 0 {
            return Poll::Ready(Err(reset()));
        }
        buf.advance(len);
        Poll::Ready(Ok(len))
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the stream was reset")
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match self.reading {
                Reading::Ended => return Poll::Ready(Ok(())),
                Reading::Head { mut bytes, len } => {
                    let mut head = ReadBuf::new(&mut bytes[len..]);
                    let len = len + ready!(self.poll_some(cx, &mut head, HEAD))?;
                    self.reading = match u16::from_be_bytes(bytes) {
                        _ if len < HEAD => Reading::Head { bytes, len },
                        END => Reading::Ended,
                        NOTHING => HEAD_NEXT,
                        data => Reading::Data { left: data.into() },
                    };
                }
                Reading::Data { left } => {
                    let left = left - ready!(self.poll_some(cx, buf, left))?;
                    self.reading = if left == 0 { HEAD_NEXT } else { Reading::Data { left } };
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_drain(cx))?;
        let data = &buf[..buf.len().min(DATA_MAX)];
        if !data.is_empty() {
            self.start(data.len() as u16, data, cx)?;
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx).map_err(|_| reset())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(self.poll_drain(cx))?;
            self.is_shut = true;
            self.start(END, &[], cx)?;
        }
        self.poll_flush(cx)
    }
}
