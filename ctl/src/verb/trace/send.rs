//! The marked request, from what was typed to its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use canary_rules::inquiry::{self, RequestError};
use canary_rules::trace::TRACE_HEADER;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_rustls::TlsConnector;

use super::Args;
use super::entry::{Entry, Stream};
use crate::failure::{Code, Failure};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An answer.
pub(super) struct Sent {
    /// `GET http://localhost:8080/cart`.
    pub(super) request: String,
    pub(super) status: u16,
    pub(super) took: Duration,
}

/// What was typed, as an edge would see it.
pub(super) fn request(args: &Args, url: &str) -> Result<inquiry::Request, Failure> {
    let cookies = (!args.cookie.is_empty()).then(|| format!("cookie: {}", args.cookie.join("; ")));
    let headers = args.header.iter().map(String::as_str).chain(cookies.as_deref());
    inquiry::Request::new(&args.method, url, headers).map_err(|error| wrong(&error))
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

/// An address, its host and port.
#[derive(Debug, Clone)]
pub(super) struct Target {
    uri: Uri,
    host: String,
    pub(super) port: u16,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn read(url: &str) -> Result<Self, Failure> {
        let uri: Uri = url
            .parse()
            .map_err(|error| Failure::new(Code::Usage, format!("`{url}` is no address: {error}")))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        Ok(Self { port: uri.port_u16().unwrap_or(default_port), host, uri })
    }

    /// Where it leads.
    ///
    /// # Errors
    /// When the host has no address.
    pub(super) async fn address(&self) -> Result<SocketAddr, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new(Code::Failed, format!("{}: {why}", self.uri))
                .help("--through gateway needs no address")
        };
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut found = found.map_err(|error| failed(&error))?;
        // `localhost` is both; the demo listens on IPv4.
        let first = found.next();
        let any = found.chain(first).find(SocketAddr::is_ipv4).or(first);
        any.ok_or_else(|| failed(&"the host has no address"))
    }

    /// A connection, encrypted where the URL says so.
    async fn connect(&self, entry: &Entry) -> Result<Box<dyn Stream>, Failure> {
        let stream = entry.connect().await?;
        if self.uri.scheme_str() != Some("https") {
            return Ok(stream);
        }
        let failed = |error: &dyn std::error::Error| {
            Failure::from_error(Code::Failed, error).context(&format!("TLS with {entry}"))
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier());
        let config = config.map_err(|error| failed(&error))?.with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(|error| failed(&error))?;
        let encrypted = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        Ok(Box::new(encrypted.map_err(|error| failed(&error))?))
    }
}

/// Sends it.
///
/// # Errors
/// When there is no whole answer in time.
pub(super) async fn send(
    request: &inquiry::Request,
    target: &Target,
    entry: &Entry,
    mark: &[u8],
) -> Result<Sent, Failure> {
    let sent = tokio::time::timeout(ANSWER_WITHIN, exchange(request, target, entry, mark)).await;
    sent.unwrap_or_else(|_| {
        let message = format!("no answer from {entry} within {} s", ANSWER_WITHIN.as_secs());
        Err(Failure::new(Code::Timeout, message))
    })
}

async fn exchange(
    request: &inquiry::Request,
    target: &Target,
    entry: &Entry,
    mark: &[u8],
) -> Result<Sent, Failure> {
    let failed =
        |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error).context(&entry.to_string());
    let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut built = hyper::Request::builder().method(request.method()).uri(path);
    for (name, value) in request.headers() {
        match name.as_str() {
            ":authority" => built = built.header("host", value),
            name if !name.starts_with(':') => built = built.header(name, value),
            _ => {}
        }
    }
    let built = built.header(TRACE_HEADER, mark).body(Empty::<Bytes>::new());
    let built = built.map_err(|error| failed(&error))?;
    let stream = target.connect(entry).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // Its end shows in the answer.
    tokio::spawn(connection);
    let began = Instant::now();
    let answer = sender.send_request(built).await.map_err(|error| failed(&error))?;
    let status = answer.status().as_u16();
    let whole = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    whole.map_err(|error| Failure::new(Code::Failed, format!("{entry}: {error}")))?;
    let request = format!("{} {}", request.method(), request.url());
    Ok(Sent { request, status, took: began.elapsed() })
}
