//! What the apps do: hand on what they are told to, call in several ways, answer in several protocols.

use canary_localmesh::app::{CallOrder, LateCall};
use canary_localmesh::{AppSpec, Behaviour, Client, Mesh, Protocol, Tracing, Tree, Upstream, demo};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Version};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::common::{client, get, lane, spec, transparent, tree};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const REQUEST_ID: &str = "7d4f8c1e-5b6a-4c3d-9e2f-1a2b3c4d5e6f";

async fn shop() -> Mesh {
    Mesh::start(spec(demo::shop())).await.expect("a mesh")
}

/// A mesh of web and those it calls, web behaving as told.
async fn web(behaviour: Behaviour, others: Vec<AppSpec>) -> Mesh {
    let web = AppSpec { behaviour, ..AppSpec::new(&demo::entry(), "v1") };
    Mesh::start(spec([vec![web], others].concat())).await.expect("a mesh")
}

async fn call(client: &Client, headers: &[(&str, &str)]) -> Tree {
    tree(&client.get("shop.test", "/", headers).await.expect("a response"))
}

#[tokio::test]
async fn each_app_of_the_shop_hands_on_something_else() {
    let mesh = shop().await;
    let headers =
        [("traceparent", TRACE), ("baggage", "a=1"), ("x-request-id", REQUEST_ID), ("x-canary-lane", "gray")];
    let answer = call(&client(&mesh), &headers).await;
    let hops: Vec<&Tree> = answer.walk().collect();
    let [web, cart, stock, price] = hops.as_slice() else { panic!("{:?}", answer.instances()) };
    assert_eq!(web.received("traceparent"), Some(TRACE));
    assert_eq!(cart.received("baggage"), Some("a=1"));
    for hop in [cart, stock] {
        let trace = hop.received("traceparent").expect("a trace");
        assert_eq!(trace[..36], TRACE[..36], "{}", hop.instance);
    }
    assert_eq!((stock.received("baggage"), price.received("traceparent")), (None, None));
    assert_eq!(stock.received("x-request-id"), price.received("x-request-id"));
    assert_ne!(cart.received("x-request-id"), stock.received("x-request-id"));
    assert!(answer.walk().skip(1).all(|hop| hop.received("x-canary-lane").is_none()));
}

#[tokio::test]
async fn the_gateway_believes_no_request_id_and_the_sidecars_do() {
    let mesh = shop().await;
    let headers = [("x-request-id", REQUEST_ID)];
    let through_gateway = call(&client(&mesh), &headers).await;
    assert_ne!(through_gateway.received("x-request-id"), Some(REQUEST_ID));
    let inbound = Client::new(mesh.inbound_address("web-v1").expect("known"), Protocol::Http1);
    assert_eq!(call(&inbound, &headers).await.received("x-request-id"), Some(REQUEST_ID));
}

#[tokio::test]
async fn tracing_without_a_collector_marks_request_ids() {
    let mut spec = spec(demo::shop());
    spec.proxy.tracing = Tracing::Packed;
    let mesh = Mesh::start(spec).await.expect("a mesh");
    let inbound = Client::new(mesh.inbound_address("web-v1").expect("known"), Protocol::Http1);
    let marked = call(&inbound, &[("x-request-id", REQUEST_ID)]).await;
    assert_eq!(marked.received("x-request-id"), Some("7d4f8c1e-5b6a-9c3d-9e2f-1a2b3c4d5e6f"));
}

#[tokio::test]
async fn a_trace_starts_at_the_first_app_that_traces() {
    let mesh = shop().await;
    let answer = call(&client(&mesh), &[]).await;
    let traces: Vec<Option<&str>> = answer.walk().map(|hop| hop.received("traceparent")).collect();
    let [None, Some(cart), Some(stock), None] = traces[..] else { panic!("{traces:?}") };
    assert_eq!(cart[..36], stock[..36]);
}

#[tokio::test]
async fn calls_fan_out_at_once_or_in_turn() {
    let slow = |name: &str| AppSpec {
        behaviour: Behaviour { delay_ms: 200, ..Behaviour::default() },
        ..AppSpec::new(&demo::host(name), "v1")
    };
    for order in [CallOrder::Parallel, CallOrder::InTurn] {
        let calls = vec![demo::host("a"), demo::host("b"), demo::host("a")];
        let behaviour = Behaviour { calls, order, ..Behaviour::default() };
        let mesh = web(behaviour, vec![slow("a"), slow("b")]).await;
        let answer = call(&client(&mesh), &[]).await;
        assert_eq!(answer.instances(), ["web-v1", "a-v1", "b-v1", "a-v1"]);
        let in_turn = answer.ms >= answer.calls.iter().map(|call| call.ms).sum();
        assert_eq!(in_turn, order == CallOrder::InTurn, "{answer:?}");
    }
}

#[tokio::test]
async fn a_failed_call_is_repeated_as_often_as_told() {
    let fails = |n: u32| AppSpec {
        behaviour: Behaviour { fail_every: n.try_into().ok(), ..Behaviour::default() },
        ..AppSpec::new(&demo::host("a"), "v1")
    };
    for (fail_every, wanted) in [(1, (500, 3)), (2, (200, 2)), (3, (200, 1))] {
        let behaviour = Behaviour { calls: vec![demo::host("a")], retries: 2, ..Behaviour::default() };
        let mesh = web(behaviour, vec![fails(fail_every)]).await;
        let client = client(&mesh);
        let _first = call(&client, &[]).await;
        let second = call(&client, &[]).await;
        assert_eq!((second.calls[0].status, second.calls[0].attempts), wanted, "{fail_every}");
    }
}

#[tokio::test]
async fn calls_after_the_response_can_be_fetched() {
    let late = LateCall { host: demo::host("a"), delay_ms: 50 };
    let behaviour = Behaviour {
        after_response: vec![late.clone(), late],
        forward: vec!["x-canary-lane".into()],
        ..Behaviour::default()
    };
    let mesh = web(behaviour, vec![AppSpec::new(&demo::host("a"), "v1")]).await;
    let answer = call(&client(&mesh), &[("x-canary-lane", "gray")]).await;
    assert!(answer.calls.is_empty(), "{answer:?}");
    let path = format!("/_async?id={}", answer.after_response.expect("an id"));
    let app = Client::new(mesh.app_address("web-v1").expect("known"), Protocol::Http1);
    let fetch = async || app.get::<&str, &str>("web.shop", &path, &[]).await.expect("a response");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut reply = fetch().await;
    while reply.status == 404 && std::time::Instant::now() < deadline {
        reply = fetch().await;
    }
    let late = tree(&reply);
    let tags: Vec<_> = late.calls.iter().map(|hop| hop.received("x-canary-lane")).collect();
    assert_eq!(tags, [Some("gray"), Some("gray")]);
}

#[tokio::test]
async fn bytes_that_are_no_text_travel() {
    let mesh = Mesh::start(spec(transparent(demo::shop()))).await.expect("a mesh");
    let headers: [(&[u8], &[u8]); 1] = [(b"x-canary-lane", b"caf\xe9")];
    let answer = tree(&client(&mesh).get("shop.test", "/", &headers).await.expect("a response"));
    assert!(answer.walk().all(|hop| hop.received("x-canary-lane") == Some("caf\u{fffd}")), "{answer:?}");
}

async fn gray_shop(upstream: Upstream) -> Mesh {
    let mut spec = spec(transparent(demo::shop()));
    spec.lanes = vec![lane("gray")];
    spec.proxy.upstream = upstream;
    Mesh::start(spec).await.expect("a mesh")
}

const GRAY: [&str; 4] = ["web-v2", "cart-v1", "stock-v2", "price-v2"];

#[tokio::test]
async fn websockets_pass_and_call_on() {
    for upstream in [Upstream::AsReceived, Upstream::H2c] {
        let mesh = gray_shop(upstream).await;
        let mut request = "ws://shop.test/_ws".into_client_request().expect("a request");
        request.headers_mut().insert("x-canary-lane", "gray".parse().expect("value"));
        let stream = TcpStream::connect(mesh.gateway()).await.expect("connected");
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
        let mut texts = Vec::new();
        for word in [None, Some("echo"), Some("call")] {
            if let Some(word) = word {
                socket.send(Message::text(word)).await.expect("sent");
            }
            let message = socket.next().await.expect("a message").expect("whole");
            texts.push(message.into_text().expect("text").to_string());
        }
        let trees = [0, 2].map(|at| serde_json::from_str::<Tree>(&texts[at]).expect("a tree"));
        assert!(trees.iter().all(|tree| tree.instances() == GRAY), "{upstream:?} {trees:?}");
        assert_eq!(texts[1], "echo");
        socket.close(None).await.expect("closed");
    }
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let mesh = gray_shop(Upstream::AsReceived).await;
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri("http://shop.test/canary.Echo/Call")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-canary-lane", "gray")
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .expect("a request");
    let response = mesh.client(Protocol::H2c).send(request).await.expect("a response");
    let whole = response.into_body().collect().await.expect("whole");
    assert_eq!(whole.trailers().expect("trailers")["grpc-status"], "0");
    let message = whole.to_bytes();
    let tree: Tree = serde_json::from_slice(&message[5..]).expect("a tree");
    assert_eq!(tree.instances(), GRAY);
    assert_eq!(tree.received("content-type"), Some("application/grpc"));
}

#[tokio::test]
async fn events_come_one_by_one() {
    let mesh = gray_shop(Upstream::AsReceived).await;
    let uri = "http://shop.test/_sse?events=3&interval_ms=200";
    let request = Request::get(uri).header("x-canary-lane", "gray").body(Full::default()).expect("a request");
    let mut body = client(&mesh).send(request).await.expect("a response").into_body();
    let mut events = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.expect("whole").into_data().expect("data");
        events.push(String::from_utf8(data.to_vec()).expect("text"));
    }
    let tree = events[0].lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    assert_eq!(serde_json::from_str::<Tree>(tree).expect("a tree").instances(), GRAY);
    assert!(events.len() >= 3, "they came together: {events:?}");
    assert_eq!(events.concat().matches("data: ").count(), 4);
}

#[tokio::test]
async fn answers_bear_the_headers_they_are_told_to() {
    let cookie = |value: &str| ("set-cookie".to_owned(), value.to_owned());
    let behaviour =
        Behaviour { response_headers: vec![cookie("a=1"), cookie("b=2")], ..Behaviour::default() };
    let mesh = web(behaviour, Vec::new()).await;
    let reply = get(&client(&mesh), None).await;
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}
