//! A WebSocket of the API server's with a subprotocol of one's own: kube names always those of `kubectl exec`.

use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::{Body, UpgradeConnectionError};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Bytes of a message at the most; the API server's have what it reads of a node at once, which is 32 KiB.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A forwarded port in SPDY. Kubernetes has it by default since 1.31; older API servers refuse it.
pub(super) const SPDY: &str = "SPDY/3.1+portforward.k8s.io";

/// Asks for a socket with a subprotocol; none when the API server answers anything else.
///
/// # Errors
/// When it does not answer.
pub(super) async fn ask(
    client: &Client,
    mut request: Request<Vec<u8>>,
    protocol: &'static str,
) -> Result<Option<WebSocketStream<TokioIo<Upgraded>>>, kube::Error> {
    let key = generate_key();
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    headers.insert(
        SEC_WEBSOCKET_KEY,
        key.parse().map_err(|error| kube::Error::HttpError(http::Error::from(error)))?,
    );
    let response = client.send(request.map(Body::from)).await?;
    let is_taken = response.status() == StatusCode::SWITCHING_PROTOCOLS
        && says(response.headers(), &SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes()))
        && says(response.headers(), &SEC_WEBSOCKET_PROTOCOL, protocol);
    if !is_taken {
        return Ok(None);
    }
    let upgraded = hyper::upgrade::on(response).await;
    let upgraded = upgraded
        .map_err(UpgradeConnectionError::GetPendingUpgrade)
        .map_err(kube::Error::UpgradeConnection)?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    Ok(Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(limits)).await))
}

fn says(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|said| said.as_bytes() == value.as_bytes())
}
