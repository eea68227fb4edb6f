//! A plain HTTP client that can be pinned to one address, whatever host a request names.
//!
//! A request's authority is what Envoy routes by; where the connection goes is a separate matter.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Largest response body that [`Client::get`] collects, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long one exchange may take, in seconds.
pub const EXCHANGE_TIMEOUT_S: u64 = 30;

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
}

/// Why an exchange brought no response.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request cannot be built.
    #[error("not a request")]
    Request(#[source] hyper::http::Error),
    /// No connection, or it broke before the response's head.
    #[error("no response from {peer}")]
    Exchange {
        /// Where it was sent.
        peer: Peer,
        /// What the client says.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The body broke off or was too long.
    #[error("the response's body from {peer} broke off: {message}")]
    Body {
        /// Where it came from.
        peer: Peer,
        /// What the client says.
        message: String,
    },
    /// Nothing within [`EXCHANGE_TIMEOUT_S`].
    #[error("no response from {peer} within {EXCHANGE_TIMEOUT_S} s")]
    Timeout {
        /// Where it was sent.
        peer: Peer,
    },
}

/// Where a client's connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// To this address.
    Address(SocketAddr),
    /// To wherever a request's host is.
    Host,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host => f.write_str("the host"),
        }
    }
}

/// A pooled client.
#[derive(Debug, Clone)]
pub struct Client {
    peer: Peer,
    inner: hyper_util::client::legacy::Client<HttpConnector<Resolver>, Full<Bytes>>,
}

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What came after it.
    pub trailers: HeaderMap,
}

impl Client {
    /// A client of this address.
    #[must_use]
    pub fn new(address: SocketAddr, protocol: Protocol) -> Self {
        Self::of(Peer::Address(address), protocol)
    }

    /// A client that looks up the host of each request.
    #[must_use]
    pub fn of_names(protocol: Protocol) -> Self {
        Self::of(Peer::Host, protocol)
    }

    fn of(peer: Peer, protocol: Protocol) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver { peer, names: GaiResolver::new() });
        connector.set_nodelay(true);
        let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).http2_only(protocol == Protocol::H2c);
        Self { peer, inner: builder.build(connector) }
    }

    /// `GET path` of the host, with these headers: bytes, repeated as given.
    ///
    /// # Errors
    /// When there is no whole response.
    pub async fn get<N, V>(&self, host: &str, path: &str, headers: &[(N, V)]) -> Result<Reply, ClientError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(format!("http://{host}{path}"))
            .body(Full::default())
            .map_err(ClientError::Request)?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_ref()).map_err(|e| ClientError::Request(e.into()))?;
            let value =
                HeaderValue::from_bytes(value.as_ref()).map_err(|e| ClientError::Request(e.into()))?;
            request.headers_mut().append(name, value);
        }
        self.exchange(request).await
    }

    /// Sends a request and collects the response.
    ///
    /// # Errors
    /// When there is no whole response in time.
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, ClientError> {
        let whole = async {
            let (head, body) = self.send(request).await?.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|e| ClientError::Body { peer: self.peer, message: e.to_string() })?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
        };
        let limit = Duration::from_secs(EXCHANGE_TIMEOUT_S);
        tokio::time::timeout(limit, whole).await.map_err(|_| ClientError::Timeout { peer: self.peer })?
    }

    /// Sends a request; the caller reads the body, and minds the time.
    ///
    /// # Errors
    /// When no response's head comes.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        // The explicit port of an authority would be dialled: only the pinned one is.
        let (authority, uri) = (request.uri().authority().cloned(), request.uri().clone());
        let pinned = self.peer != Peer::Host;
        if let Some(authority) = authority.filter(|authority| pinned && authority.port().is_some()) {
            let mut parts = uri.into_parts();
            parts.authority = authority.host().parse().ok();
            *request.uri_mut() = hyper::Uri::from_parts(parts).map_err(|e| ClientError::Request(e.into()))?;
            if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
                request.headers_mut().entry(hyper::header::HOST).or_insert(host);
            }
        }
        let sent = self.inner.request(request).await;
        sent.map_err(|source| ClientError::Exchange { peer: self.peer, source })
    }
}

impl Reply {
    /// A header's first value as text, bytes that are none replaced.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The body as text, bytes that are none replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Resolves every name to the pinned address, or as the system does.
#[derive(Debug, Clone)]
struct Resolver {
    peer: Peer,
    names: GaiResolver,
}

impl tower_service::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.names.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if let Peer::Address(address) = self.peer {
            return Box::pin(async move { Ok(vec![address].into_iter()) });
        }
        let found = self.names.call(name);
        Box::pin(async move { Ok(found.await?.collect::<Vec<_>>().into_iter()) })
    }
}
