//! A port that the API server forwards, as bytes, in the better of two ways that it offers.

mod channels;
mod frame;
mod spdy;
mod upgrade;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::core::Request;
use kube::{Client, Resource as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use channels::Channels;
use spdy::Spdy;

/// A forwarded port. Dropped, its connection to the API server ends.
pub(super) struct Forwarded<T = TokioIo<Upgraded>>(Way<T>);

enum Way<T> {
    /// Less work for the node where bytes go to the pod.
    Spdy(Spdy<T>),
    Channels(Channels<T>),
}

/// Has a port of a pod forwarded.
///
/// # Errors
/// What the API server says.
pub(super) async fn forward(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
) -> Result<Forwarded, kube::Error> {
    let request = || {
        let request = Request::new(Pod::url_path(&(), Some(namespace))).portforward(pod, &[port]);
        request.map_err(kube::Error::BuildRequest)
    };
    if let Some(socket) = upgrade::ask(client, request()?, upgrade::SPDY).await? {
        let begun = Spdy::begin(socket, port).await;
        return Ok(Forwarded(Way::Spdy(begun.map_err(|error| kube::Error::Service(error.into()))?)));
    }
    // Whatever its reason was, this says it, too.
    let connection = client.connect(request()?).await?;
    Ok(Forwarded(Way::Channels(Channels::new(connection.into_stream()))))
}

/// The next bytes of a socket; none at its end.
fn poll_message<T: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<T>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Option<Bytes>>> {
    loop {
        return Poll::Ready(match ready!(socket.poll_next_unpin(cx)) {
            Some(Ok(Message::Binary(message))) => Ok(Some(message)),
            None | Some(Ok(Message::Close(_))) => Ok(None),
            Some(Ok(_)) => continue,
            Some(Err(error)) => Err(failed(error)),
        });
    }
}

fn failed(error: tungstenite::Error) -> io::Error {
    match error {
        // rustls says at length what this is.
        tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the API server's end was closed")
        }
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

macro_rules! each {
    ($forwarded:expr, $port:ident => $call:expr) => {
        match &mut $forwarded.get_mut().0 {
            Way::Spdy($port) => $call,
            Way::Channels($port) => $call,
        }
    };
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Forwarded<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, port => Pin::new(port).poll_read(cx, buf))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Forwarded<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, port => Pin::new(port).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, port => Pin::new(port).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, port => Pin::new(port).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests;
