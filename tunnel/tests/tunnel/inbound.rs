//! What comes in at the agent and goes to the client.

use std::net::SocketAddr;
use std::time::Duration;

use canary_tunnel::{AgentOptions, OpenError, Problem, Session, Timing, splice};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::link::Mode;
use crate::scene::{DEADLINE, Scene, round_trip, service, until};

fn peer() -> SocketAddr {
    "10.1.2.3:4567".parse().expect("an address")
}

#[tokio::test]
async fn what_comes_in_is_the_clients_to_take() {
    let Scene { agent, client: _client, mut inbounds, link: _link } = Scene::new().await;
    let taking = tokio::spawn(async move {
        let inbound = inbounds.next().await.expect("one");
        assert_eq!((inbound.port(), inbound.peer()), (8080, peer()));
        let (mut read, mut write) = tokio::io::split(inbound.accept().await.expect("a stream"));
        tokio::io::copy(&mut read, &mut write).await.expect("copied");
        write.shutdown().await.expect("an end");
    });
    let mut stream = agent.open(8080, peer()).await.expect("a stream");
    round_trip(&mut stream, b"from the mesh").await;
    stream.shutdown().await.expect("an end");
    timeout(DEADLINE, taking).await.expect("in time").expect("taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_arrives_of_who_closes_without_hearing_the_caller_out() {
    let answer: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    let said = answer.clone();
    let hasty = service(move |mut connection: TcpStream| {
        let said = said.clone();
        async move {
            connection.read_u8().await.expect("a beginning");
            connection.write_all(&said).await.expect("sent");
            // Closed with something unread, it is reset.
            connection.shutdown().await.expect("an end");
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let Scene { agent, client, mut inbounds, link: _link } = Scene::new().await;
    let to = hasty.clone();
    tokio::spawn(async move {
        while let Some(inbound) = inbounds.next().await {
            let local = TcpStream::connect((to.host(), to.port())).await.expect("it listens");
            let stream = inbound.accept().await.expect("a stream");
            tokio::spawn(async move { splice(local, stream).await });
        }
    });
    for round in 0..20 {
        let stream = match round % 2 {
            0 => agent.open(8080, peer()).await.expect("a stream"),
            _ => client.dial(&hasty).await.expect("a stream"),
        };
        let (mut read, mut write) = tokio::io::split(stream);
        let talking = tokio::spawn(async move { while write.write_all(&[1; 10_000]).await.is_ok() {} });
        let mut heard = vec![0; answer.len()];
        let hearing = timeout(DEADLINE, read.read_exact(&mut heard)).await;
        hearing.expect("in time").expect("all of the answer");
        assert!(heard == answer, "another answer");
        talking.abort();
    }
}

#[tokio::test]
async fn what_the_client_does_not_take_is_refused() {
    let Scene { agent, client: _client, mut inbounds, link: _link } = Scene::new().await;
    tokio::spawn(async move {
        inbounds.next().await.expect("one").refuse(Problem::Refused, "nobody listens there").await;
        drop(inbounds);
    });
    // The first by the client, the next because nobody takes any.
    for _ in 0..2 {
        let error = agent.open(8080, peer()).await.expect_err("refused");
        assert!(matches!(error, OpenError::Refused(Problem::Refused)), "{error}");
    }
}

#[tokio::test]
async fn without_a_client_nothing_comes_in() {
    let scene = Scene::new().await;
    scene.link.down(true);
    until(scene.agent.alive(), |alive| !alive).await;
    let error =
        timeout(DEADLINE, scene.agent.open(8080, peer())).await.expect("in time").expect_err("nobody");
    assert!(matches!(error, OpenError::NoClient), "{error}");
}

#[tokio::test]
async fn what_comes_in_while_the_client_reconnects_waits_for_it() {
    let Scene { agent, client, mut inbounds, link } = Scene::new().await;
    let alive = agent.alive();
    link.down(true);
    until(alive, |alive| !alive).await;
    let opening = tokio::spawn(async move { agent.open(1, peer()).await });
    link.down(false);
    let inbound = timeout(DEADLINE, inbounds.next()).await.expect("in time").expect("one");
    let _stream = inbound.accept().await.expect("a stream");
    opening.await.expect("opened").expect("a stream");
    drop(client);
}

#[tokio::test]
async fn who_comes_in_long_after_the_client_has_gone_does_not_wait_for_it() {
    let Scene { agent, client: _client, link, .. } = Scene::new().await;
    link.down(true);
    until(agent.alive(), |alive| !alive).await;
    let resume_within = AgentOptions::new(Session::random().expect("bytes").secret_hash(), "").resume_within;
    sleep(resume_within).await;
    let asked = Instant::now();
    agent.open(1, peer()).await.expect_err("nobody");
    assert!(asked.elapsed() < resume_within / 2, "it was waited for already: {:?}", asked.elapsed());
}

#[tokio::test]
async fn who_waits_for_a_client_that_says_nothing_waits_no_longer_than_the_first() {
    let Scene { agent, client: _client, link, .. } = Scene::new().await;
    link.set(Mode::Hold);
    let first = tokio::spawn({
        let agent = agent.clone();
        async move { agent.open(1, peer()).await }
    });
    sleep(Duration::from_secs(2)).await;
    let asked = Instant::now();
    agent.open(1, peer()).await.expect_err("nobody");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(first.await.expect("asked").is_err());
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for_until_it_does_again() {
    let Scene { agent, client: _client, mut inbounds, link } = Scene::new().await;
    link.set(Mode::Hold);
    let asked = Instant::now();
    let error = agent.open(1, peer()).await.expect_err("nobody");
    assert!(matches!(error, OpenError::NoClient), "{error}");
    let waited = asked.elapsed();
    assert!(
        waited < Timing::default().dead_after / 2,
        "its transport counts for longer, but not it: {waited:?}"
    );
    assert!(!*agent.alive().borrow());
    let asked = Instant::now();
    agent.open(1, peer()).await.expect_err("nobody");
    assert!(asked.elapsed() < waited / 2, "that it says nothing is known: {:?}", asked.elapsed());

    link.set(Mode::Pass);
    until(agent.alive(), |alive| *alive).await;
    let taking = tokio::spawn(async move {
        // What nobody waits for any more is reset.
        let mut taken = Vec::new();
        while let Some(inbound) = inbounds.next().await {
            taken.extend(inbound.accept().await);
        }
    });
    agent.open(1, peer()).await.expect("a stream");
    assert_eq!(link.made(), 1, "over the same transport");
    taking.abort();
}
