//! SOCKS5, RFC 1928: CONNECT to a name or an address. Names are the cluster's to resolve, and who asks DNS by UDP ASSOCIATE
//! is answered by it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use canary_tunnel::{DialError, Problem, Target, splice};
use fast_socks5::server::{Socks5ServerProtocol, SocksServerError};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ASK_TIMEOUT, datagrams, is_timeout};
use crate::develop::network::Network;

/// The address that we are bound to is the agent's; nobody here could use it.
const BOUND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

pub(super) async fn serve(connection: TcpStream, cluster: &Network) -> io::Result<()> {
    let (here, program) = (connection.local_addr()?, connection.peer_addr()?);
    let asked = timeout(ASK_TIMEOUT, async {
        let greeted = Socks5ServerProtocol::accept_no_auth(connection).await?;
        greeted.read_command().await
    });
    let (asked, command, target) =
        asked.await.map_err(|_| io::ErrorKind::TimedOut)?.map_err(|error| failed(&error))?;
    if matches!(command, Socks5Command::UDPAssociate) {
        let socket = datagrams::bind(here).await?;
        let mut connection =
            asked.reply_success(socket.local_addr()?).await.map_err(|error| failed(&error))?;
        let mut rest = [0; 1];
        return tokio::select! {
            error = datagrams::serve(socket, program.ip(), cluster) => Err(error),
            // It lasts as long as the connection by which it was asked for.
            ended = connection.read(&mut rest) => ended.map(drop),
        };
    }
    if !matches!(command, Socks5Command::TCPConnect) {
        return asked.reply_error(&ReplyError::CommandNotSupported).await.map_err(|error| failed(&error));
    }
    let target = match target {
        TargetAddr::Ip(address) => Target::new(&address.ip().to_string(), address.port()),
        TargetAddr::Domain(name, port) => Target::new(&name, port),
    };
    let Ok(target) = target else {
        return asked.reply_error(&ReplyError::HostUnreachable).await.map_err(|error| failed(&error));
    };
    match cluster.dial(&target).await {
        Ok(stream) => {
            let connection = asked.reply_success(BOUND).await.map_err(|error| failed(&error))?;
            splice(connection, stream).await.map(drop)
        }
        Err(error) => {
            tracing::info!("{error}");
            asked.reply_error(&reply(&error)).await.map_err(|error| failed(&error))
        }
    }
}

fn reply(error: &DialError) -> ReplyError {
    match error.problem() {
        Some(Problem::Refused) => ReplyError::ConnectionRefused,
        Some(Problem::NoSuchName | Problem::NoResolver) => ReplyError::HostUnreachable,
        Some(Problem::Unreachable) => ReplyError::NetworkUnreachable,
        _ if is_timeout(error) => ReplyError::ConnectionTimeout,
        _ => ReplyError::GeneralFailure,
    }
}

fn failed(error: &SocksServerError) -> io::Error {
    io::Error::other(error.to_string())
}
