use canary_tunnel::{Client, ClientOptions, Connect, ConnectError, Session};
use http_body_util::BodyExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;

use super::*;
use crate::gate::TAKEN;

/// Longer than anything here takes on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(30);

struct To(SocketAddr);

impl Connect for To {
    type Transport = TcpStream;

    async fn connect(&mut self) -> Result<TcpStream, ConnectError> {
        TcpStream::connect(self.0).await.map_err(ConnectError::again)
    }
}

/// A port that nobody has; chance keeps others from it until it is used.
fn free() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn settings(session: &Session, expose: Vec<u16>, idle: Duration) -> Settings {
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Settings {
        secret: session.secret_hash(),
        tunnel: local(free()),
        health: local(free()),
        expose,
        first: Some(TAKEN),
        expose_on: Ipv4Addr::UNSPECIFIED.into(),
        idle,
    }
}

async fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let connection = TcpStream::connect(address).await.ok()?;
    let (mut send, connection) = http1::handshake(TokioIo::new(connection)).await.ok()?;
    tokio::spawn(connection);
    let request =
        http::Request::get(path).header("host", "x").body(Empty::<Bytes>::new()).expect("a request");
    let answer = send.send_request(request).await.ok()?;
    let code = answer.status().as_u16();
    answer.into_body().collect().await.ok()?;
    Some(code)
}

async fn until_status(address: SocketAddr, path: &str, want: u16) {
    let becomes = async {
        while status(address, path).await != Some(want) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, becomes).await.unwrap_or_else(|_| panic!("{path} never answers {want}"));
}

async fn ended(agent: JoinHandle<Result<(), Failure>>) {
    let ended = timeout(DEADLINE, agent).await.expect("in time").expect("no panic");
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn an_agent_that_exposes_a_port_is_ready_while_its_client_is_there() {
    let session = Session::random().expect("bytes");
    let exposed = free();
    let settings = settings(&session, vec![exposed], DEADLINE);
    let (tunnel, health) = (settings.tunnel, settings.health);
    let agent = tokio::spawn(run(settings));
    until_status(health, "/healthz", 200).await;
    assert_eq!(status(health, "/readyz").await, Some(503));
    let (client, mut inbounds) = Client::start(session, To(tunnel), ClientOptions::new("test"));
    until_status(health, "/readyz", 200).await;

    let mut caller = TcpStream::connect((Ipv4Addr::LOCALHOST, exposed)).await.expect("a connection");
    let mut stream = inbounds.next().await.expect("what came in").accept().await.expect("a stream");
    assert_eq!(caller.read_u8().await.expect("a byte"), TAKEN);
    caller.write_all(b"hello").await.expect("sent");
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.expect("what was sent");
    assert_eq!(&heard, b"hello");

    // One that is not taken ends without a byte.
    let mut caller = TcpStream::connect((Ipv4Addr::LOCALHOST, exposed)).await.expect("a connection");
    inbounds.next().await.expect("what came in").refuse(canary_tunnel::Problem::Refused, "").await;
    caller.read_u8().await.expect_err("nobody took it");

    // One that has left will not come back.
    client.close().await;
    ended(agent).await;
}

#[tokio::test]
async fn a_caller_that_knows_no_gate_gets_what_the_client_says_and_nothing_before() {
    let session = Session::random().expect("bytes");
    let exposed = free();
    let settings = Settings { first: None, ..settings(&session, vec![exposed], DEADLINE) };
    let (tunnel, health) = (settings.tunnel, settings.health);
    let agent = tokio::spawn(run(settings));
    until_status(health, "/healthz", 200).await;
    let (client, mut inbounds) = Client::start(session, To(tunnel), ClientOptions::new("test"));
    until_status(health, "/readyz", 200).await;
    let mut caller = TcpStream::connect((Ipv4Addr::LOCALHOST, exposed)).await.expect("a connection");
    let mut stream = inbounds.next().await.expect("what came in").accept().await.expect("a stream");
    stream.write_all(b"220 ready").await.expect("sent");
    let mut heard = [0; 9];
    caller.read_exact(&mut heard).await.expect("what was sent");
    assert_eq!(&heard, b"220 ready");
    client.close().await;
    ended(agent).await;
}

#[tokio::test]
async fn an_agent_that_exposes_nothing_is_ready_at_once_and_ends_without_a_client() {
    let session = Session::random().expect("bytes");
    let settings = settings(&session, Vec::new(), Duration::from_millis(1500));
    let health = settings.health;
    let agent = tokio::spawn(run(settings));
    until_status(health, "/readyz", 200).await;
    ended(agent).await;
}

#[tokio::test]
async fn an_agent_stays_as_long_as_its_client_does() {
    let session = Session::random().expect("bytes");
    let idle = Duration::from_millis(500);
    let settings = settings(&session, Vec::new(), idle);
    let (tunnel, health) = (settings.tunnel, settings.health);
    let mut agent = tokio::spawn(run(settings));
    until_status(health, "/readyz", 200).await;
    let (client, _inbounds) = Client::start(session, To(tunnel), ClientOptions::new("test"));
    let mut connected = client.status();
    let is_connected = connected.wait_for(canary_tunnel::Status::is_connected);
    timeout(DEADLINE, is_connected).await.expect("in time").expect("a status");
    assert!(timeout(idle * 3, &mut agent).await.is_err(), "it has ended with its client there");
    // Killed, it takes no leave.
    drop(client);
    ended(agent).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let session = Session::random().expect("bytes");
    let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let error = run(settings(&session, vec![port], DEADLINE)).await.expect_err("taken").to_string();
    assert!(error.contains(&format!("cannot listen on 0.0.0.0:{port}")), "{error}");
}
