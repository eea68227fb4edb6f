//! The load generator: a fixed number of requests over a few connections to one address on loopback, each sent
//! when the one before on its connection has been answered. Stops by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::requests::Requests;

/// Connections that keep one worker busy.
pub const CONNECTIONS: usize = 8;
/// How long one turn may take, in seconds, before it is given up.
const TURN_TIMEOUT_S: u64 = 120;
/// Largest body that an answer of ours has, in bytes.
const BODY_BYTES_MAX: usize = 1024;

/// One turn.
#[derive(Debug, Clone)]
pub struct Load<'r> {
    /// Where to; loopback.
    pub to: SocketAddr,
    /// What is sent.
    pub requests: &'r Requests,
    /// The target, where it is another than the requests' own.
    pub path: Option<&'r str>,
    /// How many.
    pub count: usize,
    /// How many at a time.
    pub connections: usize,
    /// What every answer must be.
    pub body: &'static str,
}

/// What was seen of a turn from outside.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// From the first request to the last answer.
    pub took: Duration,
    /// Of each request, until the whole answer was there; in the order of answers.
    pub latencies: Vec<Duration>,
}

impl Load<'_> {
    /// Sends all of it.
    ///
    /// # Errors
    /// A connection that fails, an answer that is not the one expected, or no end in time.
    pub fn run(&self) -> Result<Seen> {
        ensure!(self.to.ip().is_loopback(), "{} is not on loopback", self.to);
        // One thread: Envoy's worker has the other processor of a small machine.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
        // The timer wants to be made inside the runtime.
        let turn =
            async { tokio::time::timeout(Duration::from_secs(TURN_TIMEOUT_S), self.all_connections()).await };
        match runtime.block_on(turn) {
            Ok(seen) => seen,
            Err(_) => bail!("{} requests to {} took more than {TURN_TIMEOUT_S} s", self.count, self.to),
        }
    }

    async fn all_connections(&self) -> Result<Seen> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(connect(self.to).await?);
        }
        let started = Instant::now();
        let mut running = JoinSet::new();
        for (first, connection) in connections.into_iter().enumerate() {
            let numbers = (first..self.count).step_by(self.connections);
            let path = self.path.unwrap_or(self.requests.path()).to_owned();
            let (requests, body) = (self.requests.clone(), self.body);
            running.spawn(one_connection(connection, requests, path, numbers, body));
        }
        let mut seen = Seen::default();
        while let Some(done) = running.join_next().await {
            seen.latencies.extend(done.context("a connection's task")??);
        }
        seen.took = started.elapsed();
        Ok(seen)
    }
}

async fn connect(to: SocketAddr) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
    stream.set_nodelay(true).context("sending at once")?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.context("HTTP/1.1")?;
    // Ends with the sender; what breaks it is told to the sender.
    tokio::spawn(connection);
    Ok(sender)
}

async fn one_connection(
    mut connection: SendRequest<Empty<Bytes>>,
    requests: Requests,
    path: String,
    numbers: impl Iterator<Item = usize>,
    body: &'static str,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    for number in numbers {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = path.parse().context("a path")?;
        *request.headers_mut() = requests.headers(number);
        let sent = Instant::now();
        let response = connection.send_request(request).await.context("no answer")?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        latencies.push(sent.elapsed());
        let answer = answer.map_err(|error| anyhow::anyhow!("no whole answer: {error}"))?.to_bytes();
        if status != StatusCode::OK || answer != body.as_bytes() {
            let text = String::from_utf8_lossy(&answer);
            bail!("request {number} was answered {status} {text:?}, not {body:?}");
        }
    }
    Ok(latencies)
}
