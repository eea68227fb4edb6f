//! A forwarded port as every Kubernetes has it: messages of a WebSocket, each of one channel.
//!
//! Source: Kubernetes, `pkg/kubelet/cri/streaming/portforward/websocket.go`. Of a forwarded port the channel 0 has the
//! bytes and 1 what went wrong, and the first message of each is the port.
//! kube's own sends 4 KiB in a message, and passes each through more tasks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{failed, poll_message};

/// The channel of the bytes.
const DATA: u8 = 0;
/// The channel that says why there are none.
const PROBLEM: u8 = 1;
/// Bytes in a message at the most.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// A forwarded port. Dropped, its connection to the API server ends.
pub(super) struct Channels<T> {
    socket: WebSocketStream<T>,
    /// What has come and was not read.
    unread: Bytes,
    /// Which channels have said their port.
    begun: [bool; 2],
}

impl<T> Channels<T> {
    pub(super) fn new(socket: WebSocketStream<T>) -> Self {
        Self { socket, unread: Bytes::new(), begun: [false; 2] }
    }

    /// Takes a message; its bytes are what is read next.
    fn take(&mut self, mut message: Bytes) -> io::Result<()> {
        let channel = if message.is_empty() { return Ok(()) } else { message.get_u8() };
        let Some(begun) = self.begun.get_mut(usize::from(channel)) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a message of channel {channel}"),
            ));
        };
        match (std::mem::replace(begun, true), channel) {
            (false, _) => Ok(()),
            (true, PROBLEM) => Err(io::Error::other(String::from_utf8_lossy(&message).into_owned())),
            (true, _) => {
                self.unread = message;
                Ok(())
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Channels<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(poll_message(&mut self.socket, cx))? {
                Some(message) => self.take(message)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Channels<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(failed)?;
        let data = &buf[..buf.len().min(MESSAGE_BYTES_MAX)];
        let message = Message::binary([&[DATA], data].concat());
        Pin::new(&mut self.socket).start_send(message).map_err(failed)?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// The two ends: ours, and the API server's.
    async fn ends() -> (Channels<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (here, there) = duplex(1 << 20);
        let here = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
        (Channels::new(here), WebSocketStream::from_raw_socket(there, Role::Server, None).await)
    }

    async fn say(server: &mut WebSocketStream<DuplexStream>, message: &[u8]) {
        server.send(Message::binary(message.to_vec())).await.expect("sent");
    }

    #[tokio::test]
    async fn bytes_of_all_messages_are_one_stream_that_ends_with_the_socket() {
        let (mut port, mut server) = ends().await;
        for message in [&b"\x00\xae\x42"[..], b"\x01\xae\x42", b"\x00a", b"\x00", b"", b"\x00bc"] {
            say(&mut server, message).await;
        }
        server.close(None).await.expect("closed");
        let mut read = String::new();
        port.read_to_string(&mut read).await.expect("an end");
        assert_eq!(read, "abc");
    }

    #[tokio::test]
    async fn what_went_wrong_is_said() {
        let (mut port, mut server) = ends().await;
        for message in [&b"\x01\xae\x42"[..], b"\x01nobody listens"] {
            say(&mut server, message).await;
        }
        assert_eq!(port.read_u8().await.expect_err("no byte").to_string(), "nobody listens");
        say(&mut server, b"\x07?").await;
        assert_eq!(port.read_u8().await.expect_err("no byte").kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn what_is_written_goes_in_large_messages_of_the_first_channel() {
        let (mut port, mut server) = ends().await;
        let sent: Vec<u8> = (0..MESSAGE_BYTES_MAX + 5).map(|at| at as u8).collect();
        port.write_all(&sent).await.expect("written");
        port.flush().await.expect("flushed");
        let mut received = Vec::<u8>::new();
        for len in [MESSAGE_BYTES_MAX, 5] {
            let message = server.next().await.expect("a message").expect("a message").into_data();
            assert_eq!((message[0], message.len()), (DATA, 1 + len));
            received.extend(&message[1..]);
        }
        assert_eq!(received, sent);
    }
}
