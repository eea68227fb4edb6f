//! An ordinary HTTP service, in its own process. It knows its sidecar's address and nothing of lanes.
//!
//! On a request it calls its downstream services through its sidecar and answers with a [`Tree`] of what
//! everyone saw. Paths that start with `/_` answer in other ways:
//!
//! | path | answer |
//! |---|---|
//! | `/_plain` | two bytes, no calls: for benchmarks |
//! | `/_sse?events=N&interval_ms=M` | server-sent events: first the tree, then N numbers |
//! | `/_ws` | a WebSocket: first the tree; then `call` brings a new tree and everything else its echo |
//! | any, with `content-type: application/grpc` | the tree as one gRPC message, `grpc-status` in trailers |
//! | `…/Missing`, likewise | `grpc-status: 12` alone, as headers |
//! | `/_async?id=…` | the trees of the calls made after the response that named this id, 404 until they are there |
//! | `/_status?code=N` | this status, no calls |
//!
//! A path and its query travel with the calls. `?forward=b3,baggage` names what the apps on the way hand on, in
//! place of what they do otherwise.
//!
//! An app can print a line per request that it answered, by which others may judge what it has seen.

mod access;
mod calls;
pub mod config;
mod endpoints;
mod forward;
mod grpc;
mod late;
pub mod tree;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Duration, sleep};

pub use access::Access;
pub use config::{AppConfig, Behaviour, CallOrder, LateCall};
pub use tree::Tree;

use crate::app::calls::Calls;
use crate::app::endpoints::Body;
use crate::app::late::LateTrees;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Why an app cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is not there.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The configuration is none.
    #[error("not an app's configuration")]
    Config(#[source] serde_json::Error),
    /// The system gives no event loop, or no signals.
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
    /// Its address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A header to forward is none.
    #[error("cannot forward: {0}")]
    Forward(#[source] hyper::header::InvalidHeaderName),
    /// A header to answer with is none.
    #[error("cannot answer with header `{name}`")]
    ResponseHeader {
        /// Its name as configured.
        name: String,
    },
}

/// What every request of one app shares.
pub(crate) struct App {
    calls: Calls,
    late: LateTrees,
    response_headers: hyper::HeaderMap,
}

/// Reads a configuration and serves until the process ends: what the app's process does.
///
/// # Errors
/// When the configuration cannot be read, or the app cannot run.
pub fn main(config: &Path) -> Result<(), AppError> {
    serve(read(config)?)
}

/// The configuration in a file.
///
/// # Errors
/// When there is none.
pub fn read(path: &Path) -> Result<AppConfig, AppError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| AppError::Unreadable { path: path.into(), source })?;
    parse(&text)
}

/// A configuration as JSON.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str) -> Result<AppConfig, AppError> {
    serde_json::from_str(text).map_err(AppError::Config)
}

/// Serves until the process ends.
///
/// # Errors
/// When the app cannot run.
pub fn serve(config: AppConfig) -> Result<(), AppError> {
    // One thread each: the mesh runs many apps beside their proxies.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(AppError::Runtime)?.block_on(run(config))
}

/// Serves until the process is told to end.
///
/// # Errors
/// When the configuration is wrong or the address is taken.
pub async fn run(config: AppConfig) -> Result<(), AppError> {
    let address = config.listen;
    let listener = listen(address).map_err(|source| AppError::Listen { address, source })?;
    let response_headers = response_headers(&config.behaviour)?;
    let drain = Duration::from_millis(config.behaviour.drain_ms);
    let calls = Calls::new(config).map_err(AppError::Forward)?;
    let app = Arc::new(App { calls, late: LateTrees::default(), response_headers });
    let end = async {
        told_to_end().await?;
        sleep(drain).await;
        Ok(())
    };
    tokio::select! {
        () = accept(app, listener) => Ok(()),
        ended = end => ended.map_err(AppError::Runtime),
    }
}

async fn accept(app: Arc<App>, listener: TcpListener) {
    loop {
        // A connection that is gone before it is accepted is nobody's loss.
        if let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve_connection(app.clone(), TokioIo::new(stream)));
        }
    }
}

/// A container's first process is told only what it asks for.
#[cfg(unix)]
async fn told_to_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn told_to_end() -> std::io::Result<()> {
    std::future::pending().await
}

async fn serve_connection(app: Arc<App>, io: TokioIo<tokio::net::TcpStream>) {
    let service = service_fn(move |request| answer(app.clone(), request));
    let mut server = auto::Builder::new(TokioExecutor::new());
    // A sidecar keeps connections for its next request, which must not meet one that is being closed.
    server.http1().timer(TokioTimer::new()).header_read_timeout(None);
    server.http2().timer(TokioTimer::new());
    // The peer is a sidecar, which goes away as it likes.
    let _ = server.serve_connection_with_upgrades(io, service).await;
}

async fn answer(app: Arc<App>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let headers = app.response_headers.clone();
    let access = Access::begin(app.calls.config(), &request);
    let mut response = endpoints::answer(app, request).await;
    if let Some(access) = access {
        access.print(response.status());
    }
    for (name, value) in &headers {
        response.headers_mut().append(name, value.clone());
    }
    Ok(response)
}

/// Listens beside the mesh's reservation of the port, which is held with the same option.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn response_headers(behaviour: &Behaviour) -> Result<hyper::HeaderMap, AppError> {
    let mut headers = hyper::HeaderMap::new();
    for (name, value) in &behaviour.response_headers {
        let wrong = || AppError::ResponseHeader { name: name.clone() };
        let key: hyper::header::HeaderName = name.parse().map_err(|_| wrong())?;
        headers.append(key, value.parse().map_err(|_| wrong())?);
    }
    Ok(headers)
}
