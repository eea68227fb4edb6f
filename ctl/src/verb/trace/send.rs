//! The marked request, from what was typed to its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use canary_localmesh::{Client, Protocol};
use canary_rules::inquiry::{self, RequestError};
use canary_rules::trace::TRACE_HEADER;
use http_body_util::Full;
use hyper::body::Bytes;

use super::Args;
use crate::failure::{Code, Failure};

/// An answer.
pub(super) struct Sent {
    /// `GET http://localhost:8080/cart`.
    pub(super) request: String,
    pub(super) status: u16,
    pub(super) took: Duration,
}

/// What was typed, as an edge would see it.
pub(super) fn request(args: &Args) -> Result<inquiry::Request, Failure> {
    let cookies = (!args.cookie.is_empty()).then(|| format!("cookie: {}", args.cookie.join("; ")));
    let headers = args.header.iter().map(String::as_str).chain(cookies.as_deref());
    inquiry::Request::new(&args.method, &args.url, headers).map_err(|error| wrong(&error))
}

/// What was typed wrongly.
fn wrong(error: &RequestError) -> Failure {
    let failure = Failure::from_error(Code::Usage, error);
    match error {
        RequestError::Method(_) => failure.help("give a method such as GET: -X GET"),
        RequestError::Url { .. } => {
            failure.help("give a whole address: canaryctl trace http://localhost:8080/cart")
        }
        RequestError::Header { .. } => failure.help("write it as curl does: -H 'cookie: gray=1'"),
    }
}

/// Where the URL leads.
pub(super) async fn address(url: &str, request: &inquiry::Request) -> Result<SocketAddr, Failure> {
    let uri: hyper::Uri =
        url.parse().map_err(|error| Failure::new(Code::Usage, format!("`{url}` is no address: {error}")))?;
    if uri.scheme_str() == Some("https") {
        return Err(Failure::new(Code::Usage, format!("{url}: traces are taken over http only")));
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let found = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80))).await;
    let failed = |why: String| Failure::new(Code::Failed, format!("{} {url}: {why}", request.method()));
    let mut found = found.map_err(|error| failed(error.to_string()))?;
    // `localhost` is both; the demo listens on IPv4.
    let first = found.next();
    found
        .chain(first)
        .find(SocketAddr::is_ipv4)
        .or(first)
        .ok_or_else(|| failed("the host has no address".into()))
}

/// Sends it.
pub(super) async fn send(
    request: &inquiry::Request,
    address: SocketAddr,
    mark: &[u8],
) -> Result<Sent, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let mut built = hyper::Request::builder().method(request.method()).uri(request.url());
    for (name, value) in request.headers() {
        match name.as_str() {
            ":authority" => built = built.header("host", value),
            name if !name.starts_with(':') => built = built.header(name, value),
            _ => {}
        }
    }
    let built = built.header(TRACE_HEADER, mark).body(Full::<Bytes>::default());
    let built = built.map_err(|error| failed(&error))?;
    let began = Instant::now();
    let reply =
        Client::new(address, Protocol::Http1).exchange(built).await.map_err(|error| failed(&error))?;
    let request = format!("{} {}", request.method(), request.url());
    Ok(Sent { request, status: reply.status.as_u16(), took: began.elapsed() })
}
