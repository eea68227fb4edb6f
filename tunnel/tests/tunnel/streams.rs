//! What one stream does: half-close, resets, typed failures.

use std::time::Duration;

use canary_tunnel::{Problem, Stream, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::scene::{DEADLINE, Scene, listen, parrot, round_trip, service, target};

#[tokio::test]
async fn bytes_go_both_ways() {
    let scene = Scene::new().await;
    let mut stream = scene.client.dial(&parrot().await).await.expect("a stream");
    round_trip(&mut stream, b"hello").await;
    round_trip(&mut stream, &[7; 100_000]).await;
}

#[tokio::test]
async fn names_are_the_agents_to_resolve() {
    let scene = Scene::new().await;
    let found = scene.client.resolve("localhost").await.expect("addresses");
    assert!(found.iter().any(std::net::IpAddr::is_loopback), "{found:?}");
    let port = parrot().await.port();
    let target = Target::new("localhost", port).expect("a target");
    round_trip(&mut scene.client.dial(&target).await.expect("a stream"), b"by name").await;
}

#[tokio::test]
async fn what_cannot_be_dialled_says_why() {
    let scene = Scene::new().await;
    let (listener, free) = listen().await;
    drop(listener);
    let nowhere = Target::new("nowhere.invalid", 80).expect("a target");
    for (target, problem) in [(target(free), Problem::Refused), (nowhere.clone(), Problem::NoSuchName)] {
        let error = scene.client.dial(&target).await.expect_err("no connection");
        assert_eq!(error.problem(), Some(problem), "{error}");
        assert!(error.to_string().starts_with(&target.to_string()), "{error}");
    }
    let error = scene.client.resolve("nowhere.invalid").await.expect_err("no address");
    assert_eq!(error.problem(), Some(Problem::NoSuchName), "{error}");
}

#[tokio::test]
async fn what_does_not_answer_times_out() {
    let scene = Scene::new().await;
    // A queue of one that is full: the next connection's first packet is dropped.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let full = socket.listen(1).expect("a listener");
    let address = full.local_addr().expect("an address");
    let mut waiting = Vec::new();
    let enough = Duration::from_millis(500);
    while let Ok(connection) = timeout(enough, TcpStream::connect(address)).await {
        waiting.push(connection.expect("a place in the queue"));
    }
    let error = scene.client.dial(&target(address)).await.expect_err("no connection");
    assert_eq!(error.problem(), Some(Problem::TimedOut), "{error}");
}

#[tokio::test]
async fn an_end_one_way_leaves_the_other_open() {
    let scene = Scene::new().await;
    // Answers only when everything has been said.
    let target = service(async |mut connection: TcpStream| {
        let mut said = Vec::new();
        connection.read_to_end(&mut said).await.expect("everything");
        connection.write_all(&said).await.expect("sent");
    })
    .await;
    let mut stream = scene.client.dial(&target).await.expect("a stream");
    stream.write_all(b"all I have to say").await.expect("sent");
    stream.shutdown().await.expect("an end");
    let mut back = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut back)).await.expect("in time").expect("everything");
    assert_eq!(back, b"all I have to say");
}

#[tokio::test]
async fn a_reset_by_the_service_is_a_reset_and_no_end() {
    let scene = Scene::new().await;
    let target = service(async |mut connection: TcpStream| {
        connection.write_all(b"half of it").await.expect("sent");
        let _ = connection.read_u8().await;
        connection.set_zero_linger().expect("an option");
    })
    .await;
    // Whether or not this end has shut down its own way.
    for shuts_down in [false, true] {
        let mut stream = scene.client.dial(&target).await.expect("a stream");
        let mut half = [0; 10];
        stream.read_exact(&mut half).await.expect("half of it");
        stream.write_all(b"x").await.expect("sent");
        if shuts_down {
            stream.shutdown().await.expect("an end");
        } else {
            stream.flush().await.expect("sent");
        }
        let error = ended(&mut stream).await.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_a_reset_for_the_service() {
    let scene = Scene::new().await;
    for shuts_down in [false, true] {
        let (says, said) = oneshot::channel();
        let says = std::sync::Mutex::new(Some(says));
        let target = service(move |mut connection: TcpStream| {
            let says = says.lock().expect("a lock").take();
            async move {
                // Never stops talking, as nobody listens any more.
                let error = loop {
                    if let Err(error) = connection.write_all(&[1; 1000]).await {
                        break error;
                    }
                };
                says.map(|says| says.send(error.kind()));
            }
        })
        .await;
        let mut stream = scene.client.dial(&target).await.expect("a stream");
        stream.read_u8().await.expect("a byte");
        if shuts_down {
            stream.shutdown().await.expect("an end");
        }
        drop(stream);
        let kind = timeout(DEADLINE, said).await.expect("in time").expect("an end");
        assert!(
            matches!(kind, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
            "{kind:?}"
        );
    }
}

/// Waits until a stream ends, either way.
async fn ended(stream: &mut Stream) -> std::io::Result<usize> {
    timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.expect("an end in time")
}
