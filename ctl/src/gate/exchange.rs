//! One request on a connection of its own, in the version in which it came.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request as it is sent on: as it came, or a copy of one that had no body.
pub(super) type Outgoing = Request<Either<Incoming, Empty<Bytes>>>;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no response.
pub(super) enum Failed {
    /// Nobody has seen the request.
    Unsent(Box<Outgoing>),
    /// Somebody may have.
    Sent,
}

impl From<TrySendError<Outgoing>> for Failed {
    fn from(mut error: TrySendError<Outgoing>) -> Self {
        error.take_message().map_or(Self::Sent, |request| Self::Unsent(Box::new(request)))
    }
}

/// Makes a connection.
///
/// # Errors
/// When nobody takes it in time.
pub(super) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await??;
    // Small writes are not to wait for each other; one that cannot be told so is slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Sends a request to the first of these addresses that takes it. The next is tried only where nobody has seen it.
///
/// # Errors
/// [`Failed`]: none took it, or one did and broke off.
pub(super) async fn with_first(
    addresses: impl IntoIterator<Item = SocketAddr>,
    mut request: Outgoing,
    caller: Option<&OnUpgrade>,
) -> Result<Response<Incoming>, Failed> {
    for address in addresses {
        let Ok(stream) = connect(address).await else { continue };
        match with(stream, request, caller).await {
            Err(Failed::Unsent(unsent)) => request = *unsent,
            answered => return answered,
        }
    }
    Err(Failed::Unsent(Box::new(request)))
}

/// What the caller's connection becomes where the request asks for an upgrade. Taken once, whoever answers.
pub(super) fn upgrade_of(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    asks_to_upgrade(request.headers()).then(|| hyper::upgrade::on(request))
}

/// Sends a request over a connection and returns the response's head; its body follows. What is upgraded is joined
/// with the caller's.
///
/// # Errors
/// [`Failed`].
pub(super) async fn with(
    stream: TcpStream,
    request: Outgoing,
    caller: Option<&OnUpgrade>,
) -> Result<Response<Incoming>, Failed> {
    let stream = TokioIo::new(stream);
    if request.version() == Version::HTTP_2 {
        let Ok((mut sender, connection)) = http2::handshake(TokioExecutor::new(), stream).await else {
            return Err(Failed::Unsent(Box::new(request)));
        };
        tokio::spawn(connection);
        return sender.try_send_request(request).await.map_err(Failed::from);
    }
    let Ok((mut sender, connection)) = http1::handshake(stream).await else {
        return Err(Failed::Unsent(Box::new(request)));
    };
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.try_send_request(request).await.map_err(Failed::from)?;
    if let Some(caller) = caller.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        let (caller, answered) = (caller.clone(), hyper::upgrade::on(&mut response));
        tokio::spawn(async move {
            if let (Ok(caller), Ok(answered)) = tokio::join!(caller, answered) {
                // It ends when either side does, however that is.
                let _ = copy_bidirectional(&mut TokioIo::new(caller), &mut TokioIo::new(answered)).await;
            }
        });
    }
    Ok(response)
}

fn asks_to_upgrade(headers: &HeaderMap) -> bool {
    let said = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(UPGRADE)
        && said.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}
