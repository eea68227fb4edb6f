//! An API server with faults: before the real one stands a proxy that refuses, breaks off, or lets nothing through any more.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Faults {
    /// Nothing.
    None,
    /// Every third write and every fifth read is refused, each time otherwise, and watches end after two seconds.
    Refusals,
    /// The write of this number, from 0, and all that comes after it, does not come through.
    CutBefore(usize),
    /// The write of this number comes through, and nobody hears of it, nor of anything else.
    CutAfter(usize),
}

/// Statuses that a busy or restarting API server answers.
const REFUSALS: [u16; 4] = [409, 429, 500, 503];
/// How long a watch lasts that breaks.
const WATCH_LASTS: Duration = Duration::from_secs(2);

/// A proxy that runs until it is dropped.
pub(crate) struct FaultyApi {
    kubectl: Child,
    accepts: JoinHandle<()>,
    state: Arc<State>,
    kubeconfig: tempfile::NamedTempFile,
}

struct State {
    faults: Faults,
    upstream: SocketAddr,
    writes: AtomicUsize,
    reads: AtomicUsize,
    refused: AtomicUsize,
    /// Writes that the real one has taken, but for those to Leases.
    taken: Mutex<Vec<String>>,
    is_cut: AtomicBool,
    cut: Notify,
}

impl FaultyApi {
    pub(crate) async fn start(cluster: &Cluster, faults: Faults) -> Self {
        // It has the certificates; what goes wrong is up to us.
        let mut kubectl = cluster
            .command("kubectl")
            .args(["proxy", "--port=0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut line = String::new();
        let said = kubectl.stdout.take().expect("its output");
        BufReader::new(said).read_line(&mut line).expect("it says where it listens");
        let upstream = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            faults,
            upstream: upstream.unwrap_or_else(|| panic!("no address in {line:?}")),
            writes: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            taken: Mutex::default(),
            is_cut: AtomicBool::new(false),
            cut: Notify::new(),
        });
        let kubeconfig = tempfile::NamedTempFile::new().expect("a file");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "faulty",
            "clusters": [{"name": "faulty", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "nobody"}}],
            "users": [{"name": "nobody", "user": {}}],
        });
        std::fs::write(kubeconfig.path(), config.to_string()).expect("a file");
        Self { kubectl, accepts: tokio::spawn(accept(listener, state.clone())), state, kubeconfig }
    }

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> &str {
        self.kubeconfig.path().to_str().expect("a path of ours")
    }

    /// How many requests were refused.
    pub(crate) fn refused(&self) -> usize {
        self.state.refused.load(Ordering::Relaxed)
    }

    /// The writes that came through and were taken, in order, but for those to Leases.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.state.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until nothing comes through any more.
    pub(crate) async fn is_cut(&self) {
        let cut = self.state.cut.notified();
        if !self.state.is_cut.load(Ordering::SeqCst) {
            cut.await;
        }
    }
}

impl Drop for FaultyApi {
    fn drop(&mut self) {
        self.accepts.abort();
        // It may have ended.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let serve = service_fn(|request| answer(state.clone(), request));
            let served = hyper::server::conn::http1::Builder::new();
            // A connection that breaks is its client's business.
            let _ = served.serve_connection(TokioIo::new(stream), serve).with_upgrades().await;
        });
    }
}

/// What becomes of a request.
enum Fate {
    Passes,
    Refused(u16),
    Lost,
    PassesAndIsLost,
}

impl State {
    /// From now on nothing comes through.
    fn cut_off(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.cut.notify_waiters();
    }

    fn fate(&self, request: &Request<Incoming>) -> Fate {
        if self.is_cut.load(Ordering::SeqCst) {
            return Fate::Lost;
        }
        // Who leads is not what is tested.
        if request.uri().path().contains("/leases/") {
            return Fate::Passes;
        }
        let is_write = request.method() != Method::GET;
        let count = if is_write { &self.writes } else { &self.reads };
        let number = count.fetch_add(1, Ordering::SeqCst);
        match self.faults {
            Faults::CutBefore(at) if is_write && number == at => {
                self.cut_off();
                Fate::Lost
            }
            Faults::CutAfter(at) if is_write && number == at => Fate::PassesAndIsLost,
            Faults::Refusals if number % if is_write { 3 } else { 5 } == 1 => {
                let refused = self.refused.fetch_add(1, Ordering::Relaxed);
                // A read has nobody to be in conflict with.
                let from = usize::from(!is_write);
                Fate::Refused(REFUSALS[from + refused % (REFUSALS.len() - from)])
            }
            _ => Fate::Passes,
        }
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Lost> {
    let breaks = matches!(state.faults, Faults::Refusals)
        && request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let fate = state.fate(&request);
    match fate {
        Fate::Lost => return Err(Lost),
        Fate::Refused(status) => return Ok(refusal(status)),
        Fate::Passes | Fate::PassesAndIsLost => {}
    }
    let is_write = request.method() != Method::GET && !request.uri().path().contains("/leases");
    let asked = format!("{} {}", request.method(), request.uri().path());
    let response = forward(state.upstream, request).await.map_err(|_| Lost)?;
    if is_write && response.status().is_success() {
        state.taken.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }
    if matches!(fate, Fate::PassesAndIsLost) {
        state.cut_off();
        return Err(Lost);
    }
    Ok(response.map(|body| match breaks {
        false => body.map_err(Into::into).boxed_unsync(),
        true => {
            let frames = BodyStream::new(body).map(|frame| frame.map_err(Into::into));
            StreamBody::new(frames.take_until(Box::pin(tokio::time::sleep(WATCH_LASTS)))).boxed_unsync()
        }
    }))
}

/// A refusal, worded as an API server does it.
fn refusal(status: u16) -> Response<Body> {
    let reason = match status {
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        _ => "ServiceUnavailable",
    };
    let said = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
        "message": "this API server has faults", "reason": reason, "code": status,
    });
    let body = Full::new(Bytes::from(said.to_string())).map_err(|never| match never {}).boxed_unsync();
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.header("retry-after", "1").body(body).expect("a response")
}

/// Passes a request on, and the connection itself where the two ends then speak something else.
async fn forward(
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let ours = hyper::upgrade::on(&mut request);
    let mut response = send.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let theirs = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) {
                let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
                // Either end may leave.
                let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
            }
        });
    }
    Ok(response)
}

/// Nobody answers: the connection breaks.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection breaks")
    }
}

impl std::error::Error for Lost {}
