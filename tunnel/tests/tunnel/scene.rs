//! A client and an agent with a link between them, and things in the cluster to talk to.

use std::net::SocketAddr;
use std::time::Duration;

use canary_tunnel::{
    Agent, AgentOptions, Client, ClientOptions, Connect, ConnectError, Inbounds, Session, Status, Target,
    Timing,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::link::Link;

/// Longer than anything here takes on a machine that is busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Echoes that let a test of silence be short.
pub(crate) const SHORT: Timing =
    Timing { every: Duration::from_millis(100), dead_after: Duration::from_millis(1500) };

/// Connects to an address.
pub(crate) struct To(pub(crate) SocketAddr);

impl Connect for To {
    type Transport = TcpStream;

    async fn connect(&mut self) -> Result<TcpStream, ConnectError> {
        TcpStream::connect(self.0).await.map_err(ConnectError::again)
    }
}

/// Everything that a test talks to.
pub(crate) struct Scene {
    pub(crate) agent: Agent,
    pub(crate) client: Client,
    pub(crate) inbounds: Inbounds,
    pub(crate) link: Link,
}

impl Scene {
    /// Client and agent, connected.
    pub(crate) async fn new() -> Self {
        Self::timed(Timing::default()).await
    }

    pub(crate) async fn timed(timing: Timing) -> Self {
        let session = Session::random().expect("bytes");
        let (agent, address) = agent(&session, timing).await;
        let link = Link::to(address).await;
        let options = ClientOptions { timing, ..ClientOptions::new("test") };
        let (client, inbounds) = Client::start(session, To(link.address), options);
        let scene = Self { agent, client, inbounds, link };
        scene.connected().await;
        scene
    }

    /// Waits until both ends say that they are connected.
    pub(crate) async fn connected(&self) {
        until(self.client.status(), Status::is_connected).await;
        until(self.agent.alive(), |alive| *alive).await;
    }
}

/// An agent that serves whoever connects.
pub(crate) async fn agent(session: &Session, timing: Timing) -> (Agent, SocketAddr) {
    let options = AgentOptions {
        timing,
        dial_timeout: Duration::from_secs(2),
        ..AgentOptions::new(session.secret_hash(), "test")
    };
    let agent = Agent::new(options);
    let (listener, address) = listen().await;
    let serving = agent.clone();
    tokio::spawn(async move {
        while let Ok((transport, _)) = listener.accept().await {
            let agent = serving.clone();
            tokio::spawn(async move { agent.serve(transport).await });
        }
    });
    (agent, address)
}

/// Waits for a value.
#[track_caller]
pub(crate) fn until<T: Clone + Send + Sync + std::fmt::Debug>(
    mut watched: watch::Receiver<T>,
    wanted: impl FnMut(&T) -> bool,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let found = timeout(DEADLINE, watched.wait_for(wanted)).await;
        let found = found.map(|found| found.map(|value| value.clone()).ok()).ok().flatten();
        found.unwrap_or_else(|| panic!("{caller}: it never came to be: {:?}", watched.borrow()))
    }
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

pub(crate) fn target(address: SocketAddr) -> Target {
    Target::new(&address.ip().to_string(), address.port()).expect("a target")
}

/// Something in the cluster that does the same with each connection.
pub(crate) async fn service<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Target
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    target(address)
}

/// Sends back what comes, and ends when it does.
pub(crate) async fn parrot() -> Target {
    service(async |mut connection: TcpStream| {
        let (mut read, mut write) = connection.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    })
    .await
}

/// Sends some bytes and hears the same, over a stream that stays open.
pub(crate) async fn round_trip(stream: &mut canary_tunnel::Stream, what: &[u8]) {
    stream.write_all(what).await.expect("sent");
    stream.flush().await.expect("sent");
    let mut back = vec![0; what.len()];
    stream.read_exact(&mut back).await.expect("what was sent");
    assert_eq!(back, what);
}
