//! Ports on loopback that nobody else can take between choosing and using them.
//!
//! A reservation is a bound socket that never listens. Whoever listens on the port afterwards must be ours:
//! the system admits others only under the same user and with `SO_REUSEPORT`, which Envoy's listeners and our
//! apps set; connections go to listening sockets alone. So a chosen port cannot be lost in between, also not
//! to outgoing connections, and a restarted process finds its port free.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

use crate::error::MeshError;

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Reserved {
    /// Reserves any free port.
    pub(crate) fn any(wanted_by: &str) -> Result<Self, MeshError> {
        bind(0).map_err(|source| MeshError::NoPort { wanted_by: wanted_by.into(), source })
    }

    /// Reserves this port.
    pub(crate) fn exactly(port: u16, wanted_by: &str) -> Result<Self, MeshError> {
        check_free(port, wanted_by)?;
        bind(port).map_err(|source| refused(port, wanted_by, source))
    }

    /// The port asked for, or any.
    pub(crate) fn wanted(port: Option<u16>, wanted_by: &str) -> Result<Self, MeshError> {
        port.map_or_else(|| Self::any(wanted_by), |port| Self::exactly(port, wanted_by))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Finds a port taken also where its holder would share it, as another mesh of the same user does.
pub(crate) fn check_free(port: u16, wanted_by: &str) -> Result<(), MeshError> {
    let socket = TcpSocket::new_v4().and_then(|socket| {
        // Connections of a mesh that is gone may linger on the port.
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())
    });
    socket.map_err(|source| refused(port, wanted_by, source))
}

fn bind(port: u16) -> std::io::Result<Reserved> {
    let socket = TcpSocket::new_v4()?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(Reserved { address: socket.local_addr()?, _socket: socket })
}

fn refused(port: u16, wanted_by: &str, source: std::io::Error) -> MeshError {
    let wanted_by = wanted_by.into();
    match source.kind() {
        ErrorKind::AddrInUse => MeshError::PortTaken { port, wanted_by },
        _ => MeshError::NoPort { wanted_by, source },
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = holder.local_addr().expect("address").port();
        let error = Reserved::exactly(port, "gateway").expect_err("taken");
        assert_eq!(error.to_string(), format!("port {port} for the gateway is taken"));
    }

    #[tokio::test]
    async fn a_port_that_another_mesh_holds_is_taken() {
        let other = Reserved::any("gateway").expect("a port");
        let error = Reserved::exactly(other.address().port(), "gateway").expect_err("taken");
        assert!(matches!(error, MeshError::PortTaken { .. }), "{error}");
    }

    #[tokio::test]
    async fn nobody_else_gets_a_reserved_port_and_we_can_listen_on_it() {
        let reserved = Reserved::any("app").expect("a port");
        TcpListener::bind(reserved.address()).expect_err("reserved");
        let ours = TcpSocket::new_v4().expect("socket");
        ours.set_reuseport(true).expect("option");
        ours.bind(reserved.address()).expect("ours");
        let _listener = ours.listen(1).expect("listening");
        tokio::net::TcpStream::connect(reserved.address()).await.expect("reaches the listener");
    }
}
