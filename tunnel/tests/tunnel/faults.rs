//! Links that break, and sessions that go on.

use std::io::ErrorKind;
use std::time::Duration;

use canary_tunnel::{DialError, Status};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout};

use crate::link::Mode;
use crate::scene::{DEADLINE, SHORT, Scene, parrot, round_trip, until};

fn is_connecting(status: &Status) -> bool {
    matches!(status, Status::Connecting { .. })
}

#[tokio::test]
async fn a_cut_resets_streams_and_the_session_goes_on() {
    let scene = Scene::new().await;
    let target = parrot().await;
    for round in 1..=5 {
        let mut stream = scene.client.dial(&target).await.expect("a stream");
        round_trip(&mut stream, b"before").await;
        let status = scene.client.status();
        scene.link.cut();
        let error = timeout(DEADLINE, stream.read_u8()).await.expect("in time").expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        // A dial waits for the connection that comes.
        let mut stream = scene.client.dial(&target).await.expect("a stream");
        round_trip(&mut stream, b"after").await;
        assert!(status.borrow().is_connected());
        scene.connected().await;
        assert_eq!(scene.link.made(), round + 1);
    }
}

#[tokio::test]
async fn what_swallows_bytes_is_found_out_at_both_ends_and_left() {
    let scene = Scene::timed(SHORT).await;
    let target = parrot().await;
    let mut stream = scene.client.dial(&target).await.expect("a stream");
    round_trip(&mut stream, b"before").await;
    let (status, alive) = (scene.client.status(), scene.agent.alive());
    let swallowed = Instant::now();
    scene.link.set(Mode::Swallow);
    until(alive, |alive| !alive).await;
    until(status, is_connecting).await;
    // Neither counts for longer than it may; what is over is the machine's own slowness.
    assert!(swallowed.elapsed() < SHORT.dead_after + Duration::from_secs(2), "{:?}", swallowed.elapsed());
    let error = timeout(DEADLINE, stream.read_u8()).await.expect("in time").expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    scene.link.set(Mode::Pass);
    scene.connected().await;
    round_trip(&mut scene.client.dial(&target).await.expect("a stream"), b"after").await;
}

#[tokio::test]
async fn nothing_is_said_to_be_connected_before_an_echo_has_come_back() {
    let scene = Scene::timed(SHORT).await;
    let mut status = scene.client.status();
    scene.link.set(Mode::Swallow);
    scene.link.cut();
    until(status.clone(), is_connecting).await;
    // A transport is made, and made again when no greeting comes back; never is it a connection.
    let connected = status.wait_for(Status::is_connected);
    assert!(timeout(SHORT.dead_after * 2, connected).await.is_err(), "connected to nothing");
    assert!(scene.link.made() >= 2);
    scene.link.set(Mode::Pass);
    scene.link.cut();
    scene.connected().await;
}

#[tokio::test]
async fn an_agent_that_is_away_is_waited_for_and_asked_less_and_less() {
    let scene = Scene::new().await;
    let target = parrot().await;
    scene.link.down(true);
    let Status::Connecting { why, .. } =
        until(scene.client.status(), |status| matches!(status, Status::Connecting { attempt: 3.., .. }))
            .await
    else {
        panic!("not connecting")
    };
    assert!(why.is_some_and(|why| !why.is_empty()), "it says why");
    until(scene.agent.alive(), |alive| !alive).await;
    let dial = scene.client.dial(&target);
    scene.link.down(false);
    round_trip(&mut timeout(DEADLINE, dial).await.expect("in time").expect("a stream"), b"after").await;
}

#[tokio::test]
async fn a_dial_without_a_connection_ends_in_time() {
    use crate::scene::{To, agent};
    use canary_tunnel::{Client, ClientOptions, Session};
    let session = Session::random().expect("bytes");
    let (_agent, address) = agent(&session, SHORT).await;
    let link = crate::link::Link::to(address).await;
    link.down(true);
    let options = ClientOptions { dial_timeout: Duration::from_millis(300), ..ClientOptions::new("test") };
    let (client, _inbounds) = Client::start(session, To(link.address), options);
    let error = client.dial(&parrot().await).await.expect_err("no connection");
    assert!(matches!(error, DialError::NotConnected { .. }), "{error}");
}
