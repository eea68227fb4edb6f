//! Other ways to speak than a plain request: each has to keep its lane to the last hop.

use canary_e2e::carrier::Carrier;
use canary_localmesh::{Protocol, Tree};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Version};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::shop::{BASELINE, FLOWS};
use crate::stage::{Answer, HOST, Stage};

/// The body of a large request, in bytes: more than every buffer on the way.
const LARGE_BYTES: usize = 16 * 1024 * 1024;
/// Between two events, in milliseconds: enough to see that they come one by one.
const EVENT_INTERVAL_MS: u64 = 100;

const TRACE: Carrier = Carrier::TraceParent;

fn id(number: u64) -> String {
    TRACE.id(700_000 + number).expect("a correlation id")
}

/// The lane binds when the socket opens and holds for every call that is made over it.
pub(crate) async fn websockets(stage: &Stage) {
    for (number, (cookie, path)) in FLOWS.into_iter().enumerate() {
        let request = format!("ws://{HOST}/_ws?forward=traceparent").into_client_request();
        let mut request = request.expect("a request");
        request.headers_mut().insert("cookie", cookie.parse().expect("value"));
        request.headers_mut().insert("traceparent", id(number as u64).parse().expect("value"));
        let stream = TcpStream::connect(stage.mesh.gateway()).await.expect("connected");
        let (mut socket, response) =
            tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
        let assigned = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .any(|line| line.to_str().is_ok_and(|line| line.starts_with("canary-lane=")));
        assert_eq!(assigned, path != BASELINE, "{cookie}: the lane's cookie comes with the 101");
        let mut texts = Vec::new();
        for word in [None, Some("echo"), Some("call")] {
            if let Some(word) = word {
                socket.send(Message::text(word)).await.expect("sent");
            }
            let message = socket.next().await.expect("a message").expect("whole");
            texts.push(message.into_text().expect("text").to_string());
        }
        let trees = [0, 2].map(|at| serde_json::from_str::<Tree>(&texts[at]).expect("a tree"));
        assert!(trees.iter().all(|tree| tree.instances() == path), "{cookie} {trees:?}");
        assert_eq!(texts[1], "echo");
        socket.close(None).await.expect("closed");
    }
}

fn grpc_request(method: &str, cookie: &str, number: u64) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{HOST}/canary.Echo/{method}?forward=traceparent"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("cookie", cookie)
        .header("traceparent", id(number))
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .expect("a request")
}

/// A message with its trailers, and an error that is trailers alone.
pub(crate) async fn grpc(stage: &Stage) {
    for (number, (cookie, path)) in FLOWS.into_iter().enumerate() {
        let client = stage.mesh.client(Protocol::H2c);
        let request = grpc_request("Call", cookie, 100 + number as u64);
        let response = client.send(request).await.expect("a response");
        assert_eq!(response.headers().contains_key("x-canary-lane"), path != BASELINE, "{cookie}");
        let whole = response.into_body().collect().await.expect("whole");
        assert_eq!(whole.trailers().expect("trailers")["grpc-status"], "0");
        let message = whole.to_bytes();
        let tree: Tree = serde_json::from_slice(&message[5..]).expect("a tree");
        assert_eq!(tree.instances(), path, "{cookie}");

        let request = grpc_request("Missing", cookie, 200 + number as u64);
        let response = client.send(request).await.expect("a response");
        assert_eq!(response.headers()["grpc-status"], "12", "{cookie}: trailers only");
        assert_eq!(response.headers().contains_key("x-canary-lane"), path != BASELINE, "{cookie}");
        let whole = response.into_body().collect().await.expect("whole");
        assert!(whole.to_bytes().is_empty());
    }
}

pub(crate) async fn events(stage: &Stage) {
    for (number, (cookie, path)) in FLOWS.into_iter().enumerate() {
        let uri = format!("http://{HOST}/_sse?events=3&interval_ms={EVENT_INTERVAL_MS}&forward=traceparent");
        let request = Request::get(uri)
            .header("cookie", cookie)
            .header("traceparent", id(300 + number as u64))
            .body(Full::default())
            .expect("a request");
        let mut body = stage.client().send(request).await.expect("a response").into_body();
        let mut events = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.expect("whole").into_data().expect("data");
            events.push(String::from_utf8(data.to_vec()).expect("text"));
        }
        let tree = events[0].lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        assert_eq!(serde_json::from_str::<Tree>(tree).expect("a tree").instances(), path, "{cookie}");
        assert!(events.len() >= 3, "they came together: {events:?}");
        assert_eq!(events.concat().matches("data: ").count(), 4);
    }
}

pub(crate) async fn large_bodies(stage: &Stage) {
    let body = Bytes::from(vec![b'x'; LARGE_BYTES]);
    for (protocol, (cookie, path)) in [Protocol::Http1, Protocol::H2c].into_iter().zip([FLOWS[0], FLOWS[2]]) {
        let version = if protocol == Protocol::H2c { Version::HTTP_2 } else { Version::HTTP_11 };
        let request = Request::post(format!("http://{HOST}/cart?forward=traceparent"))
            .version(version)
            .header("cookie", cookie)
            .header("traceparent", id(400))
            .body(Full::new(body.clone()))
            .expect("a request");
        let reply = stage.mesh.client(protocol).exchange(request).await.expect("a response");
        let answer = Answer::read(reply);
        assert_eq!(answer.path(), path, "{protocol:?}");
        let sent =
            answer.tree.received("content-length").map_or(LARGE_BYTES, |n| n.parse().expect("a number"));
        assert_eq!(sent, LARGE_BYTES);
    }
}

/// HTTP/2 clients send a cookie in crumbs, and many requests at once on one connection.
pub(crate) async fn http2_clients(stage: &Stage) {
    let client = stage.mesh.client(Protocol::H2c);
    let requests = (0..60).map(|number| {
        let client = &client;
        async move {
            let (cookie, path) = FLOWS[number % FLOWS.len()];
            let request = Request::get(format!("http://{HOST}/cart?forward=traceparent"))
                .version(Version::HTTP_2)
                .header("cookie", "theme=dark")
                .header("cookie", cookie)
                .header("cookie", "lang=en")
                .header("traceparent", id(1000 + number as u64))
                .body(Full::default())
                .expect("a request");
            let reply = client.exchange(request).await.expect("a response");
            assert_eq!(reply.status, StatusCode::OK);
            let answer = Answer::read(reply);
            assert_eq!(answer.path(), path, "{number}");
        }
    });
    futures_util::future::join_all(requests).await;
}
