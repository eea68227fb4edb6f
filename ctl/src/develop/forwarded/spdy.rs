//! A forwarded port as kubectl has it: one stream of SPDY inside a WebSocket, which the API server takes off.
//!
//! Source: Kubernetes, `staging/src/k8s.io/apiserver/pkg/util/proxy/streamtunnel.go` and
//! `pkg/kubelet/cri/streaming/portforward/httpstream.go`. A port is two streams, one for the bytes and one that says
//! what went wrong. Messages begin and end anywhere in the frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::frame::{self, Frames, NotSpdy, Part};
use super::{failed, poll_message};

/// The stream that says what went wrong.
const PROBLEM: u32 = 1;
/// The stream of the bytes.
const DATA: u32 = 3;
/// Bytes of a frame at the most. The node keeps up to 50 frames that the pod has not read yet.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes of what went wrong at the most.
const PROBLEM_BYTES_MAX: usize = 4 << 10;

/// A forwarded port. Dropped, its connection to the API server ends.
pub(super) struct Spdy<T> {
    socket: WebSocketStream<T>,
    frames: Frames,
    /// Where messages are put together: its memory is used again, once a message has been handed over.
    message: BytesMut,
    /// What has come and was not looked at: a message at the most, for no other is taken before.
    came: Bytes,
    /// What of it is to be read.
    unread: Bytes,
    problem: Vec<u8>,
    /// A ping whose answer has not been taken by the socket. Nothing more is looked at before.
    ping: Option<u32>,
    /// Whether the socket holds an answer back.
    holds_answer: bool,
    has_ended: bool,
    has_finished: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Spdy<T> {
    /// Has a port forwarded over a socket that the API server has taken for this.
    ///
    /// # Errors
    /// When the socket breaks. What the node says of the port comes when it is read.
    pub(super) async fn begin(mut socket: WebSocketStream<T>, port: u16) -> io::Result<Self> {
        let port = port.to_string();
        let headers = |kind| [("streamtype", kind), ("port", port.as_str()), ("requestid", "0")];
        let begin = [
            frame::begin(PROBLEM, &headers("error"), true),
            frame::data_head(PROBLEM, true, 0).to_vec(),
            frame::begin(DATA, &headers("data"), false),
        ];
        socket.send(Message::binary(begin.concat())).await.map_err(failed)?;
        Ok(Self {
            socket,
            message: BytesMut::new(),
            frames: Frames::default(),
            came: Bytes::new(),
            unread: Bytes::new(),
            problem: Vec::new(),
            ping: None,
            holds_answer: false,
            has_ended: false,
            has_finished: false,
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, parts: [&[u8]; 2]) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_ready_unpin(cx)).map_err(failed)?;
        self.message.reserve(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| self.message.put_slice(part));
        let message = Message::Binary(self.message.split().freeze());
        Poll::Ready(self.socket.start_send_unpin(message).map_err(failed))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(id) = self.ping {
            ready!(self.poll_send(cx, [&frame::ping(id), &[]]))?;
            (self.ping, self.holds_answer) = (None, true);
        }
        if self.holds_answer
            && let Poll::Ready(flushed) = self.socket.poll_flush_unpin(cx)
        {
            self.holds_answer = false;
            flushed.map_err(failed)?;
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, part: Part) -> io::Result<()> {
        match part {
            Part::Data { stream: DATA, bytes } => self.unread = bytes,
            Part::Data { stream: PROBLEM, bytes } => {
                let room = PROBLEM_BYTES_MAX - self.problem.len();
                self.problem.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Part::DataEnd { stream: PROBLEM, .. } if !self.problem.is_empty() => {
                return Err(io::Error::other(String::from_utf8_lossy(&self.problem).into_owned()));
            }
            Part::DataEnd { stream: DATA, fin: true } | Part::Other { stream: DATA, fin: true } => {
                self.has_ended = true;
            }
            Part::DataEnd { stream: DATA | PROBLEM, .. } | Part::Other { .. } => {}
            Part::Data { stream, .. } | Part::DataEnd { stream, .. } => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("data of stream {stream}")));
            }
            Part::Reset { status, .. } => {
                let why = format!("the node broke the forwarded port off (SPDY status {status})");
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, why));
            }
            // Those with odd numbers answer ours, of which there is none.
            Part::Ping { id } => self.ping = (id % 2 == 0).then_some(id),
            Part::GoAway => {
                let why = "the node ends the connection of the forwarded port";
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
            }
        }
        Ok(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Spdy<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.unread.is_empty() && !this.has_ended {
            ready!(this.poll_answer(cx))?;
            match this.frames.next(&mut this.came) {
                Ok(Some(part)) => {
                    this.take(part)?;
                    continue;
                }
                Ok(None) => {}
                Err(NotSpdy) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, NotSpdy))),
            }
            match ready!(poll_message(&mut this.socket, cx))? {
                Some(message) => this.came = message,
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Spdy<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let data = &buf[..buf.len().min(FRAME_BYTES_MAX)];
        ready!(self.poll_send(cx, [&frame::data_head(DATA, false, data.len()), data]))?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(cx).map_err(failed)
    }

    /// Ends what is written; what comes can still be read.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_finished {
            ready!(self.poll_send(cx, [&frame::data_head(DATA, true, 0), &[]]))?;
            self.has_finished = true;
        }
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests;
