//! One stream: bytes both ways, each way ended by itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::{FRAME_BYTES, Place};

/// A stream between client and agent.
///
/// Reading gives `Ok(0)` only where the other end has shut its writing down. A reset, or a connection that broke, is an
/// error of kind `ConnectionReset`. Dropping resets the stream unless both ends have shut down, and what was written
/// and has not been sent is lost then: whoever says something last waits for the other end.
#[derive(Debug)]
pub struct Stream {
    sending: SendStream<Bytes>,
    receiving: Receiving,
    /// What came along when the stream was opened, and has not been read.
    first: Bytes,
    /// What has come since, and has not been read.
    come: Bytes,
    is_shut: bool,
    place: Place,
}

#[derive(Debug)]
enum Receiving {
    /// The agent has not answered yet.
    Asked(ResponseFuture),
    Answered(RecvStream),
}

impl Stream {
    /// One that the client made.
    pub(super) fn asked(
        response: ResponseFuture,
        sending: SendStream<Bytes>,
        first: Bytes,
        place: Place,
    ) -> Self {
        Self::new(sending, Receiving::Asked(response), first, place)
    }

    /// The same at the agent's end.
    pub(super) fn answered(receiving: RecvStream, sending: SendStream<Bytes>, place: Place) -> Self {
        Self::new(sending, Receiving::Answered(receiving), Bytes::new(), place)
    }

    fn new(sending: SendStream<Bytes>, receiving: Receiving, first: Bytes, place: Place) -> Self {
        Self { sending, receiving, first, come: Bytes::new(), is_shut: false, place }
    }

    /// Ends this way and waits until the other end has heard it, which it shows by ending the stream.
    pub(crate) async fn finish(mut self) {
        if self.shutdown().await.is_ok() {
            self.end_heard().await;
        }
    }

    /// Where this way has been ended, waits until the other end has heard that. What it says meanwhile is nobody's.
    pub(crate) async fn end_heard(mut self) {
        let mut nobodys = vec![0; FRAME_BYTES];
        while self.is_shut && matches!(self.read(&mut nobodys).await, Ok(1..)) {}
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the stream was reset")
}

/// Moves what fits.
fn put(from: &mut Bytes, buf: &mut ReadBuf<'_>) -> usize {
    let len = from.len().min(buf.remaining());
    buf.put_slice(&from[..len]);
    from.advance(len);
    len
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 || put(&mut this.first, buf) > 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let body = match &mut this.receiving {
                Receiving::Answered(body) => body,
                Receiving::Asked(response) => {
                    let response = ready!(Pin::new(response).poll(cx)).map_err(|_| reset())?;
                    this.receiving = Receiving::Answered(response.into_body());
                    continue;
                }
            };
            let len = put(&mut this.come, buf);
            if len > 0 {
                // What is read makes room for as much.
                body.flow_control().release_capacity(len).map_err(|_| reset())?;
                return Poll::Ready(Ok(()));
            }
            match ready!(body.poll_data(cx)) {
                Some(come) => {
                    this.come = come.map_err(|_| reset())?;
                    this.place.note(this.come.len());
                }
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let wanted = buf.len().min(FRAME_BYTES);
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        self.sending.reserve_capacity(wanted);
        let room = match self.sending.capacity() {
            0 => match ready!(self.sending.poll_capacity(cx)) {
                Some(room) => room.map_err(|_| reset())?,
                None => return Poll::Ready(Err(reset())),
            },
            room => room,
        };
        let len = wanted.min(room);
        self.sending.send_data(Bytes::copy_from_slice(&buf[..len]), false).map_err(|_| reset())?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends what it has been given.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            self.is_shut = true;
            self.sending.send_data(Bytes::new(), true).map_err(|_| reset())?;
        }
        Poll::Ready(Ok(()))
    }
}
