//! A client that sends whatever bytes it is told to, each request on a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a peer may take to answer and close, in seconds.
const TIMEOUT_S: u64 = 20;

/// The status of the answer; none if the peer just closed.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Option<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(request).await.ok()?;
        let mut answer = Vec::new();
        // A peer that resets has answered nothing more.
        let _ = stream.read_to_end(&mut answer).await;
        let line = answer.split(|byte| *byte == b'\r').next()?;
        std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
    };
    let limit = Duration::from_secs(TIMEOUT_S);
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| panic!("no end after {TIMEOUT_S} s"))
}

/// `GET path` with these header lines, asking for the connection to be closed.
pub(crate) fn get(host: &str, path: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut request =
        [b"GET ", path, b" HTTP/1.1\r\nhost: ", host.as_bytes(), b"\r\nconnection: close\r\n"].concat();
    for (name, value) in headers {
        request.extend([*name, b": ", *value, b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    request
}
