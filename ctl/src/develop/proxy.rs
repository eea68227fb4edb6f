//! What this machine's programs talk to: SOCKS and HTTP on one port, told apart by the first byte.

mod datagrams;
mod http;
mod pac;
mod socks;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use canary_tunnel::{DialError, Problem};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

pub use pac::{PATH as PAC_PATH, pac};

use super::network::Network;

/// The first byte that a SOCKS5 client sends.
const SOCKS5: u8 = 5;
/// How long a client may take to say what it wants.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, cluster: Network) {
    let here = listener.local_addr().ok();
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let cluster = cluster.clone();
                tokio::spawn(async move {
                    if let Err(error) = one(connection, cluster, here).await {
                        tracing::debug!(%error, "a connection to the proxy broke");
                    }
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn one(connection: TcpStream, cluster: Network, here: Option<SocketAddr>) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut first = [0];
    let peeked = timeout(ASK_TIMEOUT, connection.peek(&mut first)).await;
    match peeked.map_err(|_| io::ErrorKind::TimedOut)?? {
        0 => Ok(()),
        _ if first[0] == SOCKS5 => socks::serve(connection, &cluster).await,
        _ => http::serve(connection, cluster, here).await,
    }
}

/// Whether it took too long, rather than failed.
fn is_timeout(error: &DialError) -> bool {
    matches!(error.problem(), Some(Problem::TimedOut)) || matches!(error, DialError::NotConnected { .. })
}

#[cfg(test)]
mod tests;
