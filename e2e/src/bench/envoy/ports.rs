//! Ports on loopback that stay ours between choosing them and Envoy's listening on them.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::net::TcpSocket;

/// A port that is ours until this is dropped: bound with `SO_REUSEPORT`, as Envoy's listeners are, and never
/// listening, so that connections go to Envoy alone.
#[derive(Debug)]
pub(super) struct Reserved {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Reserved {
    pub(super) fn any() -> Result<Self> {
        let socket = TcpSocket::new_v4().context("a socket")?;
        socket.set_reuseport(true).context("sharing a port with Envoy")?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).context("a port on loopback")?;
        Ok(Self { address: socket.local_addr().context("a port on loopback")?, _socket: socket })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}
