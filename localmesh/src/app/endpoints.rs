//! The ways in which an app answers: a tree as JSON, gRPC, server-sent events or over a WebSocket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::interval;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::app::calls::Cause;
use crate::app::tree::Tree;
use crate::app::{App, grpc, late};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// End of the path of a gRPC method that does not exist.
const GRPC_MISSING: &str = "/Missing";
/// Most events of one stream.
const EVENTS_MAX: u64 = 1_000_000;

pub(crate) async fn answer(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    match request.uri().path() {
        "/_plain" => respond(StatusCode::OK, "text/plain", Bytes::from_static(b"ok")),
        "/_status" => status(&app, &request, &query),
        "/_async" => match parameter(&query, "id").and_then(|id| app.late.get(id)) {
            Some(tree) => json(StatusCode::OK, &tree),
            None => {
                respond(StatusCode::NOT_FOUND, "text/plain", Bytes::from_static(b"not there, or not yet"))
            }
        },
        "/_sse" => events(app, &request, &query).await,
        "/_ws" => websocket(app, request),
        _ if grpc::is_called(request.headers()) => unary(app, request).await,
        _ => tree(app, request).await,
    }
}

async fn tree(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    // An app reads what it is sent before it answers.
    while let Some(Ok(_)) = body.frame().await {}
    if app.calls.fails() {
        let leaf = app.calls.leaf(StatusCode::INTERNAL_SERVER_ERROR, &head.headers);
        return json(StatusCode::INTERNAL_SERVER_ERROR, &leaf);
    }
    let cause = app.calls.cause(&head.uri, &head.headers);
    json(StatusCode::OK, &whole_tree(&app, &cause).await)
}

async fn whole_tree(app: &Arc<App>, cause: &Cause) -> Tree {
    let tree = app.calls.tree(cause).await;
    Tree { after_response: late::start(app, cause), ..tree }
}

fn status(app: &App, request: &Request<Incoming>, query: &str) -> Response<Body> {
    let code = parameter(query, "code").and_then(|code| code.parse::<u16>().ok());
    let Some(status) = code.and_then(|code| StatusCode::from_u16(code).ok()) else {
        return respond(StatusCode::BAD_REQUEST, "text/plain", Bytes::from_static(b"wanted ?code=N"));
    };
    json(status, &app.calls.leaf(status, request.headers()))
}

async fn events(app: Arc<App>, request: &Request<Incoming>, query: &str) -> Response<Body> {
    let number = |name, default| parameter(query, name).and_then(|n| n.parse().ok()).unwrap_or(default);
    let count: u64 = number("events", 3).min(EVENTS_MAX);
    let ms: u64 = number("interval_ms", 10).max(1);
    let cause = app.calls.cause(request.uri(), request.headers());
    let first = format!("event: tree\ndata: {}\n\n", text(&whole_tree(&app, &cause).await));
    let ticks = futures_util::stream::unfold(
        (0, interval(Duration::from_millis(ms))),
        move |(n, mut tick)| async move {
            if n == count {
                return None;
            }
            tick.tick().await;
            Some((format!("data: {n}\n\n"), (n + 1, tick)))
        },
    );
    let stream = futures_util::stream::once(async { first }).chain(ticks);
    let frames = stream.map(|event| Ok(Frame::data(Bytes::from(event))));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// Answers as a unary gRPC method would: one length-prefixed message, the outcome in trailers. Of a method that
/// does not exist the outcome is all there is, and comes as headers.
async fn unary(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    if head.uri.path().ends_with(GRPC_MISSING) {
        let mut response = respond(StatusCode::OK, "application/grpc", Bytes::new());
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("12"));
        return response;
    }
    let cause = app.calls.cause(&head.uri, &head.headers);
    let framed = grpc::message(text(&whole_tree(&app, &cause).await).as_bytes());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn websocket(app: Arc<App>, mut request: Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()))
    else {
        return respond(
            StatusCode::BAD_REQUEST,
            "text/plain",
            Bytes::from_static(b"wanted a WebSocket upgrade"),
        );
    };
    let cause = app.calls.cause(request.uri(), request.headers());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            converse(&app, &cause, socket).await;
        }
    });
    let mut response = respond(StatusCode::SWITCHING_PROTOCOLS, "text/plain", Bytes::new());
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

/// Speaks until the peer ends or breaks the connection.
async fn converse(
    app: &Arc<App>,
    cause: &Cause,
    mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
) {
    let greeting = text(&whole_tree(app, cause).await);
    if socket.send(Message::text(greeting)).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.next().await {
        let reply = match message {
            Message::Text(word) if word.as_str() == "call" => {
                Message::text(text(&app.calls.tree(cause).await))
            }
            Message::Text(_) | Message::Binary(_) => message,
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        if socket.send(reply).await.is_err() {
            return;
        }
    }
    let _ = socket.close(None).await;
}

fn json(status: StatusCode, tree: &Tree) -> Response<Body> {
    respond(status, "application/json", Bytes::from(text(tree)))
}

/// A tree as JSON; it has no part that could not be.
fn text(tree: &Tree) -> String {
    serde_json::to_string(tree).unwrap_or_default()
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A query parameter's raw value: the app's own parameters need no decoding.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
