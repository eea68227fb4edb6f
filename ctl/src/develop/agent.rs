//! The agent's process: what runs in the pod. It asks no API server, and nobody but its client can use it.

use std::future::{IntoFuture as _, pending};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use bytes::Bytes;
use canary_tunnel::{Agent, AgentOptions, SecretHash, splice};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::failure::{Code, Failure};
use crate::signals;

/// Where the tunnel listens: on the pod's loopback, which a forwarded port reaches and no other pod does.
pub const TUNNEL_PORT: u16 = 17070;
/// Where probes are answered.
pub const HEALTH_PORT: u16 = 17071;
/// Where a sidecar of Istio's is asked to end, so that a Job does.
const SIDECAR: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 15020);
/// How long it may take to answer.
const SIDECAR_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one with exposed ports goes on when it is to end: until every proxy has heard that it is not ready.
const SERVES_ON: Duration = Duration::from_secs(5);
/// How much of that is for connections under way alone: a gate has others answer for new ones.
const LETS_END: Duration = Duration::from_secs(2);

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose it is.
    pub secret: SecretHash,
    /// Where the tunnel listens.
    pub tunnel: SocketAddr,
    /// Where probes are answered.
    pub health: SocketAddr,
    /// Ports whose connections go to the client.
    pub expose: Vec<u16>,
    /// What comes first on each of those connections, once the client has taken it.
    pub first: Option<u8>,
    /// Where those are.
    pub expose_on: IpAddr,
    /// How long it stays without a client.
    pub idle: Duration,
}

/// Serves until its client has left, or was not there for long enough.
///
/// # Errors
/// When a port is taken.
pub async fn run(settings: Settings) -> Result<(), Failure> {
    let agent = Agent::new(AgentOptions::new(settings.secret, env!("CARGO_PKG_VERSION")));
    let tunnel = listen(settings.tunnel).await?;
    let health = listen(settings.health).await?;
    let (ends, ending) = watch::channel(false);
    let (closes, closing) = watch::channel(false);
    for port in &settings.expose {
        let exposed = listen((settings.expose_on, *port).into()).await?;
        let way = Way { agent: agent.clone(), port: *port, first: settings.first, closing: closing.clone() };
        tokio::spawn(expose(way, exposed));
    }
    let waits_for_client = !settings.expose.is_empty();
    let probes = axum::serve(health, probes(agent.alive(), waits_for_client, ending));
    let mut probes = std::pin::pin!(probes.into_future());
    tracing::info!(tunnel = %settings.tunnel, exposed = ?settings.expose, "waits for its client");
    tokio::select! {
        () = serve(&agent, tunnel) => {}
        served = &mut probes => {
            return Err(Failure::new(Code::Failed, format!("stopped serving: {served:?}")));
        }
        () = told(agent.left()) => tracing::info!("its client has left"),
        () = abandoned(agent.alive(), settings.idle) => tracing::info!("no client for {:?}", settings.idle),
        () = signals::stopped() => tracing::info!("told to end"),
    }
    if waits_for_client {
        // Others' requests are handed on until nobody sends any more.
        ends.send_replace(true);
        let _ = timeout(SERVES_ON.saturating_sub(LETS_END), &mut probes).await;
        closes.send_replace(true);
        let _ = timeout(LETS_END, probes).await;
    }
    end_sidecar().await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Failure::new(Code::Failed, format!("cannot listen on {address}: {error}")))
}

async fn serve(agent: &Agent, tunnel: TcpListener) {
    loop {
        match tunnel.accept().await {
            Ok((transport, _)) => {
                let agent = agent.clone();
                tokio::spawn(async move {
                    let _ = transport.set_nodelay(true);
                    match agent.serve(transport).await {
                        Ok(()) => tracing::info!("the client's connection was closed"),
                        Err(error) => tracing::warn!("{}", crate::failure::chain(&error)),
                    }
                });
            }
            Err(error) => again(&error).await,
        }
    }
}

/// How connections to a port get to the client.
#[derive(Clone)]
struct Way {
    agent: Agent,
    port: u16,
    /// What comes first on each, once the client has taken it.
    first: Option<u8>,
    /// Whether those that are under way are the last.
    closing: watch::Receiver<bool>,
}

async fn expose(way: Way, exposed: TcpListener) {
    loop {
        match exposed.accept().await {
            Ok((connection, peer)) => {
                tokio::spawn(way.clone().pass(connection, peer));
            }
            Err(error) => again(&error).await,
        }
    }
}

impl Way {
    /// Passes a connection on to the client, and says so with the first byte, if there is to be one, once it has taken
    /// it. Only who waits for that byte has others to go to.
    async fn pass(self, mut connection: TcpStream, peer: SocketAddr) {
        let Self { agent, port, first, closing } = self;
        if first.is_some() && *closing.borrow() {
            let _ = connection.set_zero_linger();
            return;
        }
        match agent.open(port, peer).await {
            Ok(stream) => {
                if connection.write_all(first.as_slice()).await.is_ok() {
                    let _ = splice(connection, stream).await;
                }
            }
            Err(error) => {
                tracing::debug!(port, "{}", crate::failure::chain(&error));
                // Whoever calls shall not take it for an empty answer.
                let _ = connection.set_zero_linger();
            }
        }
    }
}

/// The system is short of something; it passes.
async fn again(error: &std::io::Error) {
    tracing::warn!("cannot accept: {error}");
    sleep(Duration::from_millis(100)).await;
}

fn probes(alive: watch::Receiver<bool>, waits_for_client: bool, ends: watch::Receiver<bool>) -> Router {
    let ready = async move || match !*ends.borrow() && (!waits_for_client || *alive.borrow()) {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the client is not there"),
    };
    Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(ready))
}

async fn told(mut left: watch::Receiver<bool>) {
    if left.wait_for(|left| *left).await.is_err() {
        pending::<()>().await;
    }
}

/// Returns when no client was there for so long.
async fn abandoned(mut alive: watch::Receiver<bool>, idle: Duration) {
    loop {
        let _ = alive.wait_for(|alive| !alive).await;
        if timeout(idle, alive.wait_for(|alive| *alive)).await.is_err() {
            return;
        }
    }
}

/// Asks the sidecar to end. One that is a native sidecar would by itself; where there is none, nobody listens.
async fn end_sidecar() {
    let asked = async {
        let connection = TcpStream::connect(SIDECAR).await?;
        let (mut send, connection) =
            http1::handshake(TokioIo::new(connection)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        let request = http::Request::post("/quitquitquit").header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).map_err(std::io::Error::other)?;
        send.send_request(request).await.map_err(std::io::Error::other)
    };
    match timeout(SIDECAR_TIMEOUT, asked).await {
        Ok(Ok(answer)) => tracing::info!("asked the sidecar to end: {}", answer.status()),
        Ok(Err(error)) => tracing::debug!("there is no sidecar to end: {error}"),
        Err(_) => tracing::warn!("the sidecar does not answer"),
    }
}

#[cfg(test)]
mod tests;
