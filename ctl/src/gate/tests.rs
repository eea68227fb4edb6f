use std::net::SocketAddr;
use std::time::Duration;

use canary_localmesh::{Client, Protocol};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A server that says its name, the version, the body and some headers of each request.
async fn named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = move |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let header = |name: &str| {
            let values = parts.headers.get_all(name).iter().map(|value| value.to_str().expect("text"));
            values.collect::<Vec<_>>().join(",")
        };
        let asked = parts.uri.authority().map_or_else(|| header("host"), ToString::to_string);
        let said = format!(
            "{name} {:?} {} {} tag={} handed={} host={asked} for={} body={}",
            parts.version,
            parts.method,
            parts.uri.path(),
            header("x-canary-lane"),
            header(HANDED_ON_HEADER),
            header("x-forwarded-host"),
            String::from_utf8_lossy(&body),
        );
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(said))))
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let server = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(
                async move { server.serve_connection(TokioIo::new(stream), service_fn(answer)).await },
            );
        }
    });
    address
}

/// A laptop that reads a request and closes.
async fn breaking_off() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await.expect("a request");
        }
    });
    address
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

/// An agent that takes connections in and passes none on.
async fn refusing() -> Laptop {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            // What was sent before is lost with it.
            stream.readable().await.expect("a connection");
            let _ = stream.set_zero_linger();
        }
    });
    Laptop::Agent(address)
}

/// An agent that passes each connection on to this address, and says so.
async fn agent_of(laptop: SocketAddr) -> Laptop {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.expect("a connection");
            let mut far = TcpStream::connect(laptop).await.expect("a connection");
            near.write_u8(TAKEN).await.expect("written");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    Laptop::Agent(address)
}

/// Takes one upgrade and says back what follows.
async fn upgrading() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 1024]).await.expect("a request");
        let switched = "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
        stream.write_all(switched.as_bytes()).await.expect("written");
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.expect("what follows");
        stream.write_all(&said).await.expect("written");
    });
    address
}

async fn gate(laptop: Option<Laptop>) -> SocketAddr {
    gate_before(laptop, named("baseline").await).await
}

async fn gate_before(laptop: Option<Laptop>, baseline: SocketAddr) -> SocketAddr {
    gate_of(Some("dev-alice"), laptop, baseline).await
}

async fn gate_of(
    lane: Option<&'static str>,
    laptop: Option<Laptop>,
    baseline: impl Into<Option<SocketAddr>>,
) -> SocketAddr {
    let baseline = baseline.into();
    let gate = Gate { lane: lane.map(HeaderValue::from_static), ..before(laptop, baseline) };
    serving(gate).await.0
}

/// A gate of requests that are marked where they are handed on.
fn before(laptop: Option<Laptop>, baseline: Option<SocketAddr>) -> Gate {
    Gate {
        carries: Carries::Requests,
        handed_on: HandedOn::Marked,
        tag_header: HeaderName::from_static("x-canary-lane"),
        lane: None,
        laptop,
        baseline: baseline.map(|baseline| baseline.to_string().parse().expect("an authority")),
    }
}

/// Where a gate serves, how far it is told to be from its end, and what ends when it has.
async fn serving(gate: Gate) -> (SocketAddr, watch::Sender<Stage>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stage, told) = watch::channel(Stage::Serving);
    (address, stage, tokio::spawn(serve(listener, Arc::new(gate), told)))
}

async fn get(gate: SocketAddr, protocol: Protocol, headers: &[(&str, &str)]) -> (u16, String, String) {
    let reply = Client::new(gate, protocol).get("cart.shop", "/a", headers).await.expect("an answer");
    let why = reply.headers.get(FALLBACK_HEADER).map_or("", |why| why.to_str().expect("text")).to_owned();
    (reply.status.as_u16(), reply.text(), why)
}

/// A request as it is written, on a connection that it ends.
async fn raw(gate: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(gate).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    read.expect("in time").expect("an answer");
    String::from_utf8(answer).expect("text")
}

const POST: &str = "POST /a HTTP/1.1\r\nhost: cart.shop\r\nx-canary-lane: dev-alice\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody";

#[tokio::test]
async fn only_requests_of_the_lane_reach_the_laptop() {
    for laptop in [Laptop::Here(named("laptop").await), agent_of(named("laptop").await).await] {
        only_the_lanes(gate(Some(laptop)).await).await;
    }
}

async fn only_the_lanes(gate: SocketAddr) {
    for (protocol, version) in [(Protocol::Http1, "HTTP/1.1"), (Protocol::H2c, "HTTP/2.0")] {
        let (status, said, _) = get(gate, protocol, &[("x-canary-lane", "dev-alice")]).await;
        let want = format!("laptop {version} GET /a tag=dev-alice handed= host=cart.shop for= body=");
        assert_eq!((status, said), (200, want));
        for headers in [
            &[][..],
            &[("x-canary-lane", "dev-bob")],
            &[("x-canary-lane", "baseline")],
            &[("x-canary-lane", "dev-alice"), ("x-canary-lane", "dev-bob")],
        ] {
            let (status, said, why) = get(gate, protocol, headers).await;
            let others = format!("baseline {version} GET /a tag=baseline handed=127.0.0.1 host=127.0.0.1:");
            assert!(status == 200 && said.starts_with(&others), "{headers:?}: {said}");
            assert!(said.ends_with(" for=cart.shop body=") && why.is_empty(), "{said}");
        }
    }
}

#[tokio::test]
async fn where_the_laptop_is_not_there_the_baseline_answers() {
    for laptop in [Laptop::Here(nobody().await), Laptop::Agent(nobody().await), refusing().await] {
        nobody_has_seen_it(gate(Some(laptop)).await).await;
    }
}

async fn nobody_has_seen_it(gate: SocketAddr) {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let (status, said, why) = get(gate, protocol, &[("x-canary-lane", "dev-alice")]).await;
        assert!(status == 200 && said.starts_with("baseline "), "{said}");
        assert_eq!(why, "laptop-unreachable");
    }
    let posted = raw(gate, POST).await;
    assert!(
        posted.starts_with("HTTP/1.1 200") && posted.ends_with("body=body"),
        "nobody has seen it: {posted}"
    );
}

#[tokio::test]
async fn what_the_laptop_may_have_done_is_not_done_twice() {
    let gate = gate(Some(Laptop::Here(breaking_off().await))).await;
    let (status, said, why) = get(gate, Protocol::Http1, &[("x-canary-lane", "dev-alice")]).await;
    assert!(status == 200 && said.starts_with("baseline "), "{said}");
    assert_eq!(why, "laptop-broke-off");
    let posted = raw(gate, POST).await;
    assert!(
        posted.starts_with("HTTP/1.1 502") && posted.contains("x-canary-refused: the laptop broke off"),
        "{posted}"
    );
}

#[tokio::test]
async fn without_a_baseline_the_laptop_answers_everybody_or_nobody_does() {
    let there = gate_of(None, Some(agent_of(named("laptop").await).await), None).await;
    for headers in
        [&[][..], &[("x-canary-lane", "gray")], &[(HANDED_ON_HEADER, "cart.shop.svc.cluster.local")]]
    {
        let (status, said, _) = get(there, Protocol::Http1, headers).await;
        assert!(status == 200 && said.starts_with("laptop "), "{headers:?}: {said}");
    }
    for laptop in [Laptop::Agent(nobody().await), refusing().await] {
        let away = gate_of(None, Some(laptop), None).await;
        for protocol in [Protocol::Http1, Protocol::H2c] {
            assert_eq!(get(away, protocol, &[]).await, (502, NOBODY_ELSE.to_owned(), String::new()));
        }
    }
    let breaking = gate_of(None, Some(Laptop::Here(breaking_off().await)), None).await;
    let (status, said, _) = get(breaking, Protocol::Http1, &[]).await;
    assert!(status == 502 && said.starts_with("the laptop broke off"), "{said}");
}

#[tokio::test]
async fn what_was_handed_on_does_not_come_back() {
    let gate = gate(Some(Laptop::Here(named("laptop").await))).await;
    let lane = ("x-canary-lane", "dev-alice");
    for back in
        [&["127.0.0.1"][..], &["stock.shop.svc.cluster.local, 127.0.0.1"], &["stock.shop", "127.0.0.1"]]
    {
        let headers: Vec<_> = back.iter().map(|service| (HANDED_ON_HEADER, *service)).chain([lane]).collect();
        let (status, said, _) = get(gate, Protocol::Http1, &headers).await;
        assert_eq!((status, said.as_str()), (503, "no pod of the baseline is ready"), "{back:?}");
    }
    // By the agent of another service, whose application sends on all that it gets.
    let other = (HANDED_ON_HEADER, "stock.shop.svc.cluster.local");
    let (status, said, _) = get(gate, Protocol::Http1, &[lane, other]).await;
    assert!(status == 200 && said.starts_with("laptop "), "{said}");
    let (status, said, _) = get(gate, Protocol::Http1, &[other]).await;
    assert!(status == 200 && said.contains("handed=stock.shop.svc.cluster.local,127.0.0.1 "), "{said}");
}

#[tokio::test]
async fn no_more_connections_are_served_than_may_be() {
    let gate = gate(None).await;
    let mut all = Vec::with_capacity(CONNECTIONS_MAX);
    for _ in 0..CONNECTIONS_MAX {
        all.push(TcpStream::connect(gate).await.expect("a connection"));
    }
    let mut client = tokio::spawn(async move { get(gate, Protocol::Http1, &[]).await });
    let waits = tokio::time::timeout(Duration::from_millis(300), &mut client).await;
    assert!(waits.is_err(), "it is served beside {CONNECTIONS_MAX}");
    drop(all.pop());
    let (status, ..) = client.await.expect("no panic");
    assert_eq!(status, 200);
}

#[tokio::test]
async fn without_a_lane_all_requests_are_the_laptops() {
    let (laptop, baseline) = (agent_of(named("laptop").await).await, named("baseline").await);
    let gate = gate_of(None, Some(laptop), baseline).await;
    for headers in [&[][..], &[("x-canary-lane", "gray")], &[("x-canary-lane", "baseline")]] {
        let (status, said, _) = get(gate, Protocol::Http1, headers).await;
        assert!(status == 200 && said.starts_with("laptop HTTP/1.1 GET /a "), "{said}");
        assert!(said.contains(" handed= host=cart.shop for= "), "as it came: {said}");
    }
    let (status, ..) = get(gate, Protocol::Http1, &[(HANDED_ON_HEADER, "127.0.0.1")]).await;
    assert_eq!(status, 503, "what was handed on does not come back");
    let gate = gate_of(None, Some(refusing().await), baseline).await;
    let (status, said, why) = get(gate, Protocol::Http1, &[]).await;
    assert!(status == 200 && said.starts_with("baseline "), "{said}");
    assert_eq!(why, "laptop-unreachable");
}

#[tokio::test]
async fn a_port_that_nobody_took_is_the_baselines() {
    let (status, said, _) = get(gate(None).await, Protocol::Http1, &[("x-canary-lane", "dev-alice")]).await;
    assert!(status == 200 && said.starts_with("baseline "), "{said}");
}

#[tokio::test]
async fn what_is_upgraded_is_joined_whoever_takes_it() {
    let request = "GET / HTTP/1.1\r\nhost: cart\r\nx-canary-lane: dev-alice\r\nupgrade: echo\r\nconnection: Upgrade\r\n\r\nhello";
    for (laptop, why) in [
        (Laptop::Here(upgrading().await), ""),
        (agent_of(upgrading().await).await, ""),
        (Laptop::Here(nobody().await), "laptop-unreachable"),
        (refusing().await, "laptop-unreachable"),
        (Laptop::Here(breaking_off().await), "laptop-broke-off"),
    ] {
        let answer = raw(gate_before(Some(laptop), upgrading().await).await, request).await;
        assert!(answer.starts_with("HTTP/1.1 101") && answer.ends_with("hello"), "{laptop:?}: {answer}");
        assert_eq!(answer.contains(&format!("{FALLBACK_HEADER}: {why}")), !why.is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn the_next_address_is_tried_where_nobody_has_seen_a_request() {
    let (away, there) = (nobody().await, named("second").await);
    let get = || {
        let mut request = Request::new(Either::Right(http_body_util::Empty::new()));
        request.headers_mut().insert(HOST, HeaderValue::from_static("cart.shop"));
        request
    };
    let answered = exchange::with_first([away, there], get(), None).await;
    let answered = answered.unwrap_or_else(|_| panic!("the second one answers"));
    assert_eq!(answered.status(), StatusCode::OK);
    let unsent = exchange::with_first([away], get(), None).await;
    assert!(matches!(unsent, Err(Failed::Unsent(_))), "nobody is there");
    let sent = exchange::with_first([breaking_off().await, there], get(), None).await;
    assert!(matches!(sent, Err(Failed::Sent)), "the first one may have seen it");
}

#[tokio::test]
async fn a_gate_hands_nothing_on_to_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let gate = before(Some(refusing().await), Some(address));
    let (_stage, told) = watch::channel(Stage::Serving);
    tokio::spawn(serve(listener, Arc::new(gate), told));
    for protocol in [Protocol::Http1, Protocol::H2c] {
        // Had it come back, that would say who answered in the laptop's place.
        let alone = (503, NOBODY_READY.to_owned(), String::new());
        assert_eq!(get(address, protocol, &[]).await, alone);
    }
}

#[tokio::test]
async fn where_nobody_routes_by_requests_they_are_handed_on_as_they_came() {
    let (there, baseline) = (agent_of(named("laptop").await).await, named("baseline").await);
    for (laptop, who) in [(Some(there), "laptop"), (Some(refusing().await), "baseline"), (None, "baseline")] {
        let gate = Gate { handed_on: HandedOn::AsItCame, ..before(laptop, Some(baseline)) };
        let (gate, ..) = serving(gate).await;
        for (protocol, version) in [(Protocol::Http1, "HTTP/1.1"), (Protocol::H2c, "HTTP/2.0")] {
            let headers = [("x-canary-lane", "gray"), (HANDED_ON_HEADER, "127.0.0.1")];
            let (status, said, _) = get(gate, protocol, &headers).await;
            let want = format!("{who} {version} GET /a tag=gray handed=127.0.0.1 host=cart.shop for= body=");
            assert_eq!((status, said), (200, want));
        }
    }
}

/// A server that says who has asked.
async fn saying_who_asked() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = async |request: Request<Incoming>| {
        let all = request.headers().get_all(FORWARDED_FOR_HEADER).iter();
        let said: Vec<&str> = all.map(|value| value.to_str().expect("text")).collect();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(said.join(",")))))
    };
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let server = auto::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(stream), service_fn(answer)).await
    });
    address
}

#[tokio::test]
async fn who_asks_is_kept() {
    for laptop in [Some(Laptop::Here(saying_who_asked().await)), None] {
        let baseline = saying_who_asked().await;
        let gate = Gate { handed_on: HandedOn::AsItCame, ..before(laptop, Some(baseline)) };
        let (gate, ..) = serving(gate).await;
        let (_, said, _) = get(gate, Protocol::Http1, &[(FORWARDED_FOR_HEADER, "10.0.0.9")]).await;
        assert_eq!(said, "10.0.0.9,127.0.0.1");
    }
}

/// A server that says its name and reads nothing.
async fn speaking_first(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(name.as_bytes()).await.expect("written");
        }
    });
    address
}

#[tokio::test]
async fn connections_go_whole_to_whoever_takes_them() {
    let baseline = speaking_first("baseline").await;
    for carries in [Carries::Bytes, Carries::Either] {
        for (laptop, want) in [
            (Some(agent_of(speaking_first("laptop").await).await), "laptop"),
            (Some(refusing().await), "baseline"),
            (Some(Laptop::Agent(nobody().await)), "baseline"),
            (None, "baseline"),
        ] {
            let (gate, ..) = serving(Gate { carries, ..before(laptop, Some(baseline)) }).await;
            let mut stream = TcpStream::connect(gate).await.expect("a connection");
            let mut said = String::new();
            stream.read_to_string(&mut said).await.expect("an end");
            assert_eq!(said, want, "{carries:?}");
        }
        let (gate, ..) = serving(Gate { carries, ..before(None, Some(nobody().await)) }).await;
        let mut stream = TcpStream::connect(gate).await.expect("a connection");
        let end = stream.read(&mut [0]).await;
        assert!(end.is_err(), "nobody is there, and that is no empty answer: {end:?}");
    }
}

#[tokio::test]
async fn a_request_is_seen_where_nobody_has_said_what_comes() {
    let gate = before(Some(Laptop::Here(breaking_off().await)), Some(named("baseline").await));
    let (gate, ..) = serving(Gate { carries: Carries::Either, ..gate }).await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let (status, said, why) = get(gate, protocol, &[]).await;
        assert!(status == 200 && said.starts_with("baseline "), "{said}");
        assert_eq!(why, "laptop-broke-off", "a connection could not have gone to both");
    }
}

#[tokio::test]
async fn a_gate_that_ends_loses_no_request() {
    let (address, stage, served) = serving(before(None, Some(named("baseline").await))).await;
    let ask = b"GET /a HTTP/1.1\r\nhost: cart\r\n\r\n";
    let asked_once = async || {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(ask).await.expect("written");
        let mut said = vec![0; 4096];
        let read = stream.read(&mut said).await.expect("an answer");
        let text = String::from_utf8_lossy(&said[..read]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200") && !text.contains("connection: close"), "{text}");
        stream
    };
    let (mut stream, mut idle) = (asked_once().await, asked_once().await);
    // Whoever asks once more on a connection that is open is answered, and told that it was the last time.
    stage.send_replace(Stage::Ending);
    stream.write_all(ask).await.expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer, and an end");
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
    assert!(!served.is_finished(), "new connections are served");
    let (status, ..) = get(address, Protocol::H2c, &[]).await;
    assert_eq!(status, 200);
    stage.send_replace(Stage::Over);
    assert_eq!(idle.read(&mut [0]).await.expect("an end"), 0);
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("in time").expect("no panic");
}
