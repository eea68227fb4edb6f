//! Who may be an agent's client, and for how long.

use canary_tunnel::{
    Client, ClientOptions, Connect, ConnectError, DialError, ServeError, Session, SessionEnd, Status, Timing,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::scene::{DEADLINE, Scene, To, agent, listen, parrot, round_trip, until};

async fn end(client: &Client) -> String {
    let ended = until(client.status(), |status| matches!(status, Status::Ended(_))).await;
    match ended {
        Status::Ended(end) => end.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_for_good_and_harms_nobody() {
    let session = Session::random().expect("bytes");
    let (agent, address) = agent(&session, Timing::default()).await;
    let (mine, _inbounds) = Client::start(session, To(address), ClientOptions::new("test"));
    let target = parrot().await;
    let mut stream = mine.dial(&target).await.expect("a stream");
    let other = Session::random().expect("bytes");
    let (theirs, _inbounds) = Client::start(other, To(address), ClientOptions::new("test"));
    assert_eq!(end(&theirs).await, "the secret is wrong: the agent belongs to somebody else's session");
    let error = theirs.dial(&target).await.expect_err("no session");
    assert!(matches!(error, DialError::Ended { .. }), "{error}");
    round_trip(&mut stream, b"still mine").await;
    assert!(*agent.alive().borrow());
}

#[tokio::test]
async fn an_end_of_another_version_is_refused_by_both() {
    // An agent of tomorrow: its first message is what it will be in every version.
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut transport, _) = listener.accept().await.expect("a client");
        transport.read_exact(&mut [0; 14]).await.expect("a greeting");
        transport.write_all(b"canarytn\0\x07\0\x09\0\x09\x01\0\0\x05" as &[u8]).await.expect("sent");
        transport.write_all(b"9.0.0").await.expect("sent");
        let _ = transport.read_to_end(&mut Vec::new()).await;
    });
    let session = Session::random().expect("bytes");
    let (client, _inbounds) = Client::start(session.clone(), To(address), ClientOptions::new("0.1.0"));
    let want = "versions do not fit: canaryctl 0.1.0 here speaks the tunnel protocol 2, \
                canaryctl 9.0.0 there speaks 7 to 9";
    assert_eq!(end(&client).await, want);

    // A client of tomorrow.
    let (agent, _) = agent(&session, Timing::default()).await;
    let (mut near, far) = tokio::io::duplex(1024);
    let serving = tokio::spawn(async move { agent.serve(far).await });
    near.write_all(b"canarytn\0\x07\0\x09\0\x3a").await.expect("sent");
    near.write_all(&[0; 52]).await.expect("sent");
    near.write_all(b"\x059.0.0").await.expect("sent");
    let mut answer = [0; 15];
    near.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer[..8], b"canarytn");
    assert_eq!(answer[14], 1, "the verdict is: version");
    let error = serving.await.expect("served").expect_err("refused").to_string();
    assert!(error.contains("canaryctl test here") && error.contains("canaryctl 9.0.0 there"), "{error}");
}

#[tokio::test]
async fn a_new_transport_takes_over_from_one_that_seems_to_live() {
    let session = Session::random().expect("bytes");
    let (agent, address) = agent(&session, Timing::default()).await;
    let (first, _inbounds) = Client::start(session.clone(), To(address), ClientOptions::new("test"));
    let target = parrot().await;
    let mut stream = first.dial(&target).await.expect("a stream");
    round_trip(&mut stream, b"first").await;
    // The same session from a process that knows nothing of the first, which then leaves.
    let (near, far) = tokio::io::duplex(64 << 10);
    let serving = tokio::spawn({
        let agent = agent.clone();
        async move { agent.serve(far).await }
    });
    let (second, _inbounds) = Client::start(session, Once(Some(near)), ClientOptions::new("test"));
    let stale = serving.await.expect("served").expect_err("refused");
    assert!(matches!(stale, ServeError::Hello(_)), "an older transport does not push out a newer: {stale}");
    round_trip(&mut stream, b"first still").await;
    assert_eq!(end(&second).await, "no second transport");
}

/// One transport and no more.
struct Once(Option<tokio::io::DuplexStream>);

impl Connect for Once {
    type Transport = tokio::io::DuplexStream;

    async fn connect(&mut self) -> Result<Self::Transport, ConnectError> {
        self.0.take().ok_or_else(|| ConnectError::last("no second transport"))
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_agent() {
    let scene = Scene::new().await;
    let (left, alive) = (scene.agent.left(), scene.agent.alive());
    assert!(!*left.borrow());
    timeout(DEADLINE, scene.client.close()).await.expect("in time");
    assert!(*left.borrow(), "told before it is over");
    until(alive, |alive| !alive).await;
    let error = scene.client.dial(&parrot().await).await.expect_err("no session");
    assert!(matches!(error, DialError::Ended { .. }), "{error}");
}

#[tokio::test]
async fn a_client_that_cannot_connect_can_be_closed() {
    let session = Session::random().expect("bytes");
    let (listener, address) = listen().await;
    drop(listener);
    let (client, mut inbounds) = Client::start(session, To(address), ClientOptions::new("test"));
    timeout(DEADLINE, client.close()).await.expect("in time");
    let Status::Ended(end) = client.status().borrow().clone() else { panic!("not ended") };
    assert!(matches!(*end, SessionEnd::Closed));
    assert!(inbounds.next().await.is_none());
}

#[tokio::test]
async fn strangers_at_the_agents_door_do_not_keep_its_client_out() {
    let session = Session::random().expect("bytes");
    let (_agent, address) = agent(&session, Timing::default()).await;
    let mut talker = TcpStream::connect(address).await.expect("a connection");
    talker.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    assert_eq!(talker.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0, "nothing is said to strangers");
    let _silent = TcpStream::connect(address).await.expect("a connection");
    let (client, _inbounds) = Client::start(session, To(address), ClientOptions::new("test"));
    round_trip(&mut client.dial(&parrot().await).await.expect("a stream"), b"hello").await;
}
