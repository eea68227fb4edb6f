//! Stands in front of an agent: of the requests that reach its pod only those of its lane, if it has one, go to the
//! laptop.
//!
//! A pod that is among a Service's endpoints gets whatever a client without a sidecar sends it. All of that, and
//! what the laptop cannot answer, goes to the Service's other pods: the tag header asks for the baseline at the next
//! hop, and a header of ours keeps a request from coming back. Where nobody routes by requests they are handed on as
//! they came, to an address that leads to no agent, and so are connections that have none. Where the agent is all that
//! a Service has, what the laptop cannot answer is refused. Knows nothing of tunnels: the laptop is an address, and
//! perhaps a byte that says when somebody is there.

mod exchange;
mod laptop;
mod raw;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use exchange::{Failed, Outgoing};

pub use laptop::{Laptop, TAKEN};

/// Header of a request that an agent has handed on: it names the services whose agents have, for none may meet it
/// again.
pub const HANDED_ON_HEADER: &str = "x-canary-handed-on";
/// Header of a response that the baseline gave in the laptop's place, and why.
pub const FALLBACK_HEADER: &str = "x-canary-fallback";
/// Header that says why there is no answer.
const REFUSED_HEADER: &str = canary_rules::hop::REFUSED_HEADER;
/// Why there is none where nobody but the laptop can give one.
const NOBODY_ELSE: &str =
    "a developer's process is this service: nobody listens there now, or their machine is away";
/// Why there is none where the baseline has no pod but the agent's.
const NOBODY_READY: &str = "no pod of the baseline is ready";
/// The host that was asked for, where a request had to name another one.
const FORWARDED_HOST_HEADER: &str = "x-forwarded-host";
/// Who asked, where nobody else says so.
const FORWARDED_FOR_HEADER: &str = "x-forwarded-for";

/// How many connections a port serves at a time; the next wait.
const CONNECTIONS_MAX: usize = 1024;
/// How long a connection may be silent before its first request. Proxies make one only when there is something to send.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be silent before its next request, and a request's head may take: longer than Envoy keeps
/// an unused connection, an hour, so that no request meets a connection that is being closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(65 * 60);
/// How often the other end of an HTTP/2 connection has to show that it is there.
const PING_EVERY: Duration = Duration::from_secs(60);
/// How long a name may take to be looked up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How many addresses of the baseline a request is offered to: each that is silent costs it a connection's timeout.
const ADDRESSES_MAX: usize = 3;

/// What comes by a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// HTTP: who answers is chosen for each request.
    Requests,
    /// Anything: for each connection.
    Bytes,
    /// Whichever a connection begins with.
    Either,
}

/// How what is the baseline's is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedOn {
    /// By the Service's name, for sidecars to route: marked, so that no agent gets it again.
    Marked,
    /// As it came, to an address that leads to no agent.
    AsItCame,
}

/// How far a gate is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It serves.
    Serving,
    /// Callers are told to make no further request on their connections, and are served.
    Ending,
    /// Connections without a request end; the others do with their response.
    Over,
}

/// What a gate is told.
#[derive(Debug, Clone)]
pub struct Gate {
    /// What comes.
    pub carries: Carries,
    /// How what is the baseline's goes there.
    pub handed_on: HandedOn,
    /// The header that carries the tag.
    pub tag_header: HeaderName,
    /// The lane whose requests the laptop gets; none: it gets all that comes.
    pub lane: Option<HeaderValue>,
    /// Where the laptop is reached; none for a port that nobody has taken.
    pub laptop: Option<Laptop>,
    /// The Service's own address, by which its other pods are reached; none where it has no others. Of several
    /// addresses that a name has, the next is tried where one does not answer, and never the gate's own.
    pub baseline: Option<Authority>,
}

/// What is answered with.
type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// How a request came.
struct Came {
    /// From whom.
    from: IpAddr,
    /// To which address of this pod.
    to: SocketAddr,
    /// What its connection becomes, where it asks for an upgrade.
    upgrade: Option<OnUpgrade>,
}

/// Serves connections until it is over and the last of them has ended, or for as long as it is polled.
pub async fn serve(listener: TcpListener, gate: Arc<Gate>, stage: watch::Receiver<Stage>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut until = stage.clone();
    let mut over = pin!(reached(&mut until, Stage::Over));
    loop {
        let accepted = async {
            // Nobody closes it.
            let place = places.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await.ok()?.0, place))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = &mut over => break,
        };
        let Some((stream, place)) = accepted else {
            // Out of file descriptors, most likely: others have to end first.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (gate, stage) = (gate.clone(), stage.clone());
        tokio::spawn(async move {
            connection(stream, gate, stage).await;
            drop(place);
        });
    }
    let _all = places.acquire_many(u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX)).await;
}

/// Waits until a gate has come so far; forever where nobody says so any more.
async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    if stage.wait_for(|stage| *stage >= wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn connection(stream: TcpStream, gate: Arc<Gate>, mut stage: watch::Receiver<Stage>) {
    let has_requests = match gate.carries {
        Carries::Requests => {
            let mut first = [0];
            tokio::select! {
                begun = timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut first)) => matches!(begun, Ok(Ok(1))),
                () = reached(&mut stage, Stage::Over) => false,
            }
        }
        Carries::Either => raw::begins_a_request(&stream).await,
        Carries::Bytes => false,
    };
    match (has_requests, gate.carries) {
        (true, _) => requests(stream, gate, stage).await,
        (false, Carries::Requests) => {}
        (false, Carries::Bytes | Carries::Either) => raw::pass(stream, &gate).await,
    }
}

async fn requests(stream: TcpStream, gate: Arc<Gate>, mut stage: watch::Receiver<Stage>) {
    let (Ok(to), Ok(from)) = (own_address(&stream), stream.peer_addr()) else { return };
    let is_http2 = AtomicBool::new(false);
    let told = stage.clone();
    let answer = service_fn(|request: Request<Incoming>| {
        let (gate, told) = (gate.clone(), told.clone());
        is_http2.store(request.version() == Version::HTTP_2, Ordering::Relaxed);
        async move {
            let version = request.version();
            let mut answer = gate.answer(request, (from.ip(), to)).await;
            let is_last = *told.borrow() > Stage::Serving && version < Version::HTTP_2;
            if is_last && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY);
    let mut served = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), answer));
    // Whoever breaks off is gone.
    tokio::select! {
        _ = served.as_mut() => return,
        () = reached(&mut stage, Stage::Ending) => {}
    }
    // HTTP/2 says which request was the last that is served; a connection of HTTP/1 that is closed under a request loses it.
    if !is_http2.load(Ordering::Relaxed) {
        tokio::select! {
            _ = served.as_mut() => return,
            () = reached(&mut stage, Stage::Over) => {}
        }
    }
    served.as_mut().graceful_shutdown();
    let _ = served.await;
}

impl Gate {
    async fn answer(&self, mut request: Request<Incoming>, (from, to): (IpAddr, SocketAddr)) -> Answer {
        if self.has_handed_on(&request) {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, NOBODY_READY);
        }
        let came = Came { from, to, upgrade: exchange::upgrade_of(&mut request) };
        if self.handed_on == HandedOn::AsItCame {
            came.say_who_asked(request.headers_mut());
        }
        let request = request.map(Either::Left);
        let Some(laptop) = self.laptop.filter(|_| self.is_the_laptops(&request)) else {
            return self.hand_on(request, came, None).await;
        };
        let Ok(stream) = laptop.connect().await else {
            return self.hand_on(request, came, Some("laptop-unreachable")).await;
        };
        let again = copy_of(&request);
        match exchange::with(stream, request, came.upgrade.as_ref()).await {
            Ok(response) => response.map(Either::Left),
            Err(Failed::Unsent(request)) => self.hand_on(*request, came, Some("laptop-unreachable")).await,
            Err(Failed::Sent) => match again.filter(|_| self.baseline.is_some()) {
                Some(request) => self.hand_on(request, came, Some("laptop-broke-off")).await,
                None => refusal(
                    StatusCode::BAD_GATEWAY,
                    "the laptop broke off, and the request may have reached it",
                ),
            },
        }
    }

    /// Whether a request comes back to the service whose agent has handed it on.
    fn has_handed_on(&self, request: &Request<Incoming>) -> bool {
        if self.handed_on == HandedOn::AsItCame {
            return false;
        }
        let said = request.headers().get_all(HANDED_ON_HEADER).iter().filter_map(|value| value.to_str().ok());
        let own = self.baseline.as_ref().map(Authority::host);
        said.flat_map(|value| value.split(',')).any(|service| Some(service.trim()) == own)
    }

    /// Whether a request is the laptop's: it says the lane, once.
    fn is_the_laptops(&self, request: &Outgoing) -> bool {
        let Some(lane) = &self.lane else { return true };
        let mut tags = request.headers().get_all(&self.tag_header).iter();
        tags.next() == Some(lane) && tags.next().is_none()
    }

    /// Has the Service's other pods answer; says why, if a request of the lane comes to that.
    async fn hand_on(&self, mut request: Outgoing, came: Came, why: Option<&'static str>) -> Answer {
        let Some(baseline) = &self.baseline else {
            return refusal(StatusCode::BAD_GATEWAY, NOBODY_ELSE);
        };
        if self.handed_on == HandedOn::Marked {
            self.address(&mut request, baseline);
        }
        let others = match others(baseline, came.to).await {
            Some(others) if others.is_empty() => {
                return refusal(StatusCode::SERVICE_UNAVAILABLE, NOBODY_READY);
            }
            Some(others) => others,
            None => return refusal(StatusCode::BAD_GATEWAY, "the baseline's name is not known"),
        };
        match exchange::with_first(others, request, came.upgrade.as_ref()).await {
            Ok(mut response) => {
                if let Some(why) = why {
                    response.headers_mut().insert(FALLBACK_HEADER, HeaderValue::from_static(why));
                }
                response.map(Either::Left)
            }
            Err(_) => refusal(StatusCode::BAD_GATEWAY, "the baseline does not answer"),
        }
    }

    /// Addresses a request to the baseline: sidecars route by the host's name.
    fn address(&self, request: &mut Outgoing, baseline: &Authority) {
        let tag = HeaderValue::from_static(canary_rules::hop::BASELINE);
        let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let asked = request.headers().get(HOST).cloned();
        let asked = asked.or_else(|| HeaderValue::from_str(&authority?).ok());
        let headers = request.headers_mut();
        headers.insert(&self.tag_header, tag);
        if let Ok(own) = HeaderValue::from_str(baseline.host()) {
            headers.append(HANDED_ON_HEADER, own);
        }
        if let Some(asked) = asked.filter(|_| !headers.contains_key(FORWARDED_HOST_HEADER)) {
            headers.insert(FORWARDED_HOST_HEADER, asked);
        }
        if request.version() == Version::HTTP_2 {
            request.headers_mut().remove(HOST);
            let mut parts = request.uri().clone().into_parts();
            parts.authority = Some(baseline.clone());
            parts.scheme.get_or_insert(Scheme::HTTP);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        } else if let Ok(host) = HeaderValue::from_str(baseline.as_str()) {
            request.headers_mut().insert(HOST, host);
        }
    }
}

/// The address of this pod that a connection came to, as others name it.
fn own_address(stream: &TcpStream) -> std::io::Result<SocketAddr> {
    let to = stream.local_addr()?;
    Ok(SocketAddr::new(to.ip().to_canonical(), to.port()))
}

/// Addresses of the baseline, a pod's own left out; none where its name is not known.
async fn others(baseline: &Authority, own: SocketAddr) -> Option<Vec<SocketAddr>> {
    let found = timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(baseline.as_str())).await;
    let found = found.ok()?.ok()?;
    Some(found.filter(|address| *address != own).take(ADDRESSES_MAX).collect())
}

impl Came {
    /// Adds the caller to those that a request has come by.
    fn say_who_asked(&self, headers: &mut HeaderMap) {
        if let Ok(from) = HeaderValue::from_str(&self.from.to_canonical().to_string()) {
            headers.append(FORWARDED_FOR_HEADER, from);
        }
    }
}

/// The same request once more, if it may be sent twice and has no body.
fn copy_of(request: &Outgoing) -> Option<Outgoing> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Either::Right(http_body_util::Empty::new()));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

fn refusal(status: StatusCode, reason: &'static str) -> Answer {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(reason.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(REFUSED_HEADER, HeaderValue::from_static(reason));
    response
}
