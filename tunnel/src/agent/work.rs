//! What the client's streams ask for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::AgentOptions;
use crate::dial::Problem;
use crate::echo;
use crate::header::{self, Header, Reply};
use crate::mux::Stream;
use crate::splice::splice;

/// How long a stream may take to say what it is for.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the streams of one transport share.
pub(super) struct Work {
    pub(super) options: AgentOptions,
    pub(super) heard: watch::Sender<Instant>,
    pub(super) left: watch::Sender<bool>,
}

/// Does what a stream asks for, until it ends.
pub(super) async fn work(mut stream: Stream, work: std::sync::Arc<Work>) {
    let header = timeout(HEADER_TIMEOUT, header::read(&mut stream)).await;
    let done = match header {
        Ok(Ok(Header::Dial { host, port })) => dial(stream, &host, port, &work.options).await,
        Ok(Ok(Header::Resolve { name })) => resolve(stream, &name, &work.options).await,
        Ok(Ok(Header::Echo {})) => match header::write(&mut stream, &Reply::default()).await {
            Ok(()) => echo::answer(stream, &work.heard).await,
            Err(error) => Err(error),
        },
        Ok(Ok(Header::Bye {})) => bye(stream, &work).await,
        Ok(Ok(Header::Inbound { .. })) => unsupported(stream).await,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => unsupported(stream).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a stream broke");
    }
}

async fn unsupported(stream: Stream) -> io::Result<()> {
    header::write_last(stream, &Reply::problem(Problem::Unsupported, "")).await
}

async fn bye(mut stream: Stream, work: &Work) -> io::Result<()> {
    header::write(&mut stream, &Reply::default()).await?;
    work.left.send_replace(true);
    stream.finish().await;
    Ok(())
}

async fn dial(mut stream: Stream, host: &str, port: u16, options: &AgentOptions) -> io::Result<()> {
    let connected = tokio::select! {
        connected = timeout(options.dial_timeout, connect(host, port)) => connected,
        // The client sends nothing before the answer: it has given up.
        _ = stream.read_u8() => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    match connected.unwrap_or_else(|_| Err((Problem::TimedOut, String::new()))) {
        Ok(connection) => {
            header::write(&mut stream, &Reply::default()).await?;
            splice(connection, stream).await.map(drop)
        }
        Err((problem, detail)) => header::write_last(stream, &Reply::problem(problem, detail)).await,
    }
}

async fn resolve(stream: Stream, name: &str, options: &AgentOptions) -> io::Result<()> {
    let found = timeout(options.dial_timeout, addresses(name, 0)).await;
    let reply = match found.unwrap_or_else(|_| Err((Problem::TimedOut, String::new()))) {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            addresses.dedup();
            Reply::found(addresses)
        }
        Err((problem, detail)) => Reply::problem(problem, detail),
    };
    header::write_last(stream, &reply).await
}

/// Connects to the first address that takes it.
async fn connect(host: &str, port: u16) -> Result<TcpStream, (Problem, String)> {
    let mut failed = (Problem::NoSuchName, String::new());
    for address in addresses(host, port).await? {
        match TcpStream::connect(address).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed = (problem(&error), address.ip().to_string()),
        }
    }
    Err(failed)
}

async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, (Problem, String)> {
    match lookup_host((host, port)).await {
        Ok(found) => Ok(found.collect()),
        Err(error) => {
            let said = error.to_string();
            // Both C libraries that there are say so in words only: "Temporary failure", "Try again".
            let is_resolver = said.contains("emporary") || said.contains("ry again");
            let problem = if is_resolver { Problem::NoResolver } else { Problem::NoSuchName };
            Err((problem, String::new()))
        }
    }
}

fn problem(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Problem::Refused,
        io::ErrorKind::TimedOut => Problem::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Problem::Unreachable,
        _ => Problem::Failed,
    }
}
