//! HTTP/1.1 as proxies speak it: CONNECT for anything, absolute URLs for plain HTTP, and the PAC file.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use canary_tunnel::{DialError, Target, splice};
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{ASK_TIMEOUT, is_timeout, pac};
use crate::develop::network::Network;

type Body = BoxBody<Bytes, hyper::Error>;

/// Headers that concern one connection only: RFC 9110, 7.6.1.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

pub(super) async fn serve(
    connection: TcpStream,
    cluster: Network,
    here: Option<SocketAddr>,
) -> io::Result<()> {
    let service = service_fn(move |request| {
        let cluster = cluster.clone();
        async move { Ok::<_, Infallible>(answer(request, cluster, here).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASK_TIMEOUT)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)
}

async fn answer(request: Request<Incoming>, cluster: Network, here: Option<SocketAddr>) -> Response<Body> {
    if request.method() == Method::CONNECT {
        return connect(request, cluster).await;
    }
    match (request.uri().scheme_str(), request.uri().path()) {
        (Some("http"), _) => forward(request, cluster).await,
        (None, pac::PATH) => {
            let mut response = said(StatusCode::OK, pac::pac(here));
            let kind = HeaderValue::from_static("application/x-ns-proxy-autoconfig");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        (None, _) => said(
            StatusCode::BAD_REQUEST,
            format!("this is a proxy, to be named in HTTP_PROXY; browsers take {}\n", pac::PATH),
        ),
        (Some(scheme), _) => said(StatusCode::BAD_REQUEST, format!("{scheme}: is asked for with CONNECT\n")),
    }
}

/// Bytes both ways, whatever they are.
async fn connect(request: Request<Incoming>, cluster: Network) -> Response<Body> {
    let Some(target) = target(request.uri(), None) else {
        return said(StatusCode::BAD_REQUEST, "CONNECT wants HOST:PORT\n".into());
    };
    let mut stream = match cluster.dial(&target).await {
        Ok(stream) => stream,
        Err(error) => return refused(&error),
    };
    tokio::spawn(async move {
        let passed = async {
            let upgraded = hyper::upgrade::on(request).await.map_err(io::Error::other)?;
            let parts = upgraded.downcast::<TokioIo<TcpStream>>();
            let parts = parts.map_err(|_| io::Error::other("not the connection that came in"))?;
            stream.write_all(&parts.read_buf).await?;
            splice(parts.io.into_inner(), stream).await
        };
        if let Err(error) = passed.await {
            tracing::debug!(%error, "a connection through CONNECT broke");
        }
    });
    said(StatusCode::OK, String::new())
}

/// One request, over a connection of its own.
async fn forward(mut request: Request<Incoming>, cluster: Network) -> Response<Body> {
    let Some(target) = target(request.uri(), Some(80)) else {
        return said(StatusCode::BAD_REQUEST, "the URL names no host\n".into());
    };
    let stream = match cluster.dial(&target).await {
        Ok(stream) => stream,
        Err(error) => return refused(&error),
    };
    let authority = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let Ok(path) = path.parse() else { return said(StatusCode::BAD_REQUEST, "the URL has no path\n".into()) };
    *request.uri_mut() = path;
    for_this_connection(request.headers_mut());
    // RFC 9112, 3.2.2: the URL's host, whatever the header says.
    if let Some(authority) = authority {
        request.headers_mut().insert(HOST, authority);
    }
    let sent = async {
        let builder = client::conn::http1::Builder::new().preserve_header_case(true).clone();
        let (mut send, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        send.send_request(request).await
    };
    match sent.await {
        Ok(mut response) => {
            for_this_connection(response.headers_mut());
            response.map(|body| body.boxed())
        }
        Err(error) => said(StatusCode::BAD_GATEWAY, format!("{target}: {}\n", crate::failure::chain(&error))),
    }
}

/// Takes out what was between others: of a connection before or behind this one.
fn for_this_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn target(uri: &Uri, default_port: Option<u16>) -> Option<Target> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Target::new(host, uri.port_u16().or(default_port)?).ok()
}

fn refused(error: &DialError) -> Response<Body> {
    let status = if is_timeout(error) { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    said(status, format!("canaryctl: {error}\n"))
}

fn said(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
