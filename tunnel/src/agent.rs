//! The end in the cluster: dials for its one client, and hands it what comes in.

mod serve;
mod work;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::dial::Problem;
use crate::echo::Timing;
use crate::header::{self, Header, Reply};
use crate::heard::LastByte;
use crate::hello::{HelloError, Speaker, Versions};
use crate::mux::{Opener, Stream};
use crate::session::{ID_LEN, SecretHash};

/// How many transports may be in their greeting at once.
const GREETINGS_MAX: usize = 8;
/// How long the client may take to accept or refuse what came in, while it says something at all.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Who its client is.
    pub secret: SecretHash,
    /// The version of the program, for messages about versions that do not fit.
    pub program: String,
    /// When the client counts as gone.
    pub timing: Timing,
    /// How long a connection that the client asks for may take to be made.
    pub dial_timeout: Duration,
    /// For how long after a client's connection broke what comes in waits for it.
    pub resume_within: Duration,
    /// How long the client may say nothing at all while something that came in waits for its answer. After that it
    /// is not there until its next echo, and nothing waits for it.
    pub silent_after: Duration,
}

impl AgentOptions {
    /// The usual times.
    #[must_use]
    pub fn new(secret: SecretHash, program: &str) -> Self {
        Self {
            secret,
            program: program.into(),
            timing: Timing::default(),
            dial_timeout: Duration::from_secs(10),
            resume_within: Duration::from_secs(2),
            silent_after: Duration::from_secs(3),
        }
    }
}

/// An agent. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: AgentOptions,
    speaker: Speaker,
    greetings: Semaphore,
    current: Mutex<Current>,
    /// The turn of the newest transport; all older ones end.
    newest: watch::Sender<u64>,
    way: watch::Sender<Way>,
    alive: watch::Sender<bool>,
    left: watch::Sender<bool>,
}

/// How the client is reached.
#[derive(Debug, Clone)]
enum Way {
    /// Over this transport.
    There(Link),
    /// Not yet, or not any more since then: it may come back in a moment.
    Awaited(Instant),
    /// It has a transport over which nothing comes, or had.
    Silent,
}

impl Way {
    fn awaited() -> Self {
        Self::Awaited(Instant::now())
    }
}

/// A transport of the client's that is proven.
#[derive(Debug, Clone)]
struct Link {
    opener: Opener,
    last: LastByte,
    turn: u64,
}

/// Whose the agent is.
#[derive(Debug, Default)]
struct Current {
    id: Option<[u8; ID_LEN]>,
    epoch: u32,
    /// Counts the transports that were let in.
    turn: u64,
}

/// How a transport ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It never was the client's.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Too many greet at once.
    #[error("too many greet at once")]
    Busy,
    /// It broke.
    #[error("the connection to the client broke")]
    Io(#[from] io::Error),
    /// No echo came in time.
    #[error("the client has been silent for too long")]
    Silent,
    /// The client has made another.
    #[error("a newer connection of the client took over")]
    Replaced,
}

/// Why what came in did not reach the client.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none, or it did not answer.
    #[error("the client is not there")]
    NoClient,
    /// It did not take it.
    #[error("the client did not take it: {0}")]
    Refused(Problem),
    /// The connection to it broke.
    #[error("the connection to the client broke")]
    Io(#[from] io::Error),
}

impl Agent {
    /// An agent without a client yet.
    #[must_use]
    pub fn new(options: AgentOptions) -> Self {
        let speaker = Speaker { versions: Versions::OURS, program: options.program.clone() };
        let inner = Inner {
            options,
            speaker,
            greetings: Semaphore::new(GREETINGS_MAX),
            current: Mutex::default(),
            newest: watch::Sender::new(0),
            way: watch::Sender::new(Way::awaited()),
            alive: watch::Sender::new(false),
            left: watch::Sender::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the client's newest echo is fresh, now and from now on.
    #[must_use]
    pub fn alive(&self) -> watch::Receiver<bool> {
        self.inner.alive.subscribe()
    }

    /// Whether the client has taken leave: it will not come back.
    #[must_use]
    pub fn left(&self) -> watch::Receiver<bool> {
        self.inner.left.subscribe()
    }

    /// Talks over a transport until it ends. Returns without an error when the client has taken leave or the other
    /// end closed the transport in order.
    ///
    /// # Errors
    /// How it ended else; the session goes on over the next.
    pub async fn serve<T>(&self, transport: T) -> Result<(), ServeError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        serve::serve(&self.inner, transport).await
    }

    /// Offers the client a connection that came in on an exposed port. Where its connection has just broken, waits
    /// for the next.
    ///
    /// # Errors
    /// When the client is not there or does not take it.
    pub async fn open(&self, port: u16, peer: SocketAddr) -> Result<Stream, OpenError> {
        let mut way = self.inner.way.subscribe();
        let link = there(&mut way, self.inner.options.resume_within).await.ok_or(OpenError::NoClient)?;
        let offered = timeout(ACCEPT_TIMEOUT, async {
            let mut stream = link.opener.open(header::bytes(&Header::Inbound { port, peer })?).await?;
            let reply: Reply = header::read(&mut stream).await?;
            Ok::<_, io::Error>((stream, reply))
        });
        let (stream, reply) = tokio::select! {
            offered = offered => offered.map_err(|_| OpenError::NoClient)??,
            () = link.last.silent_for(self.inner.options.silent_after) => {
                self.inner.doubt(link.turn);
                return Err(OpenError::NoClient);
            }
            // Another has waited for longer.
            Ok(_) = way.wait_for(|way| matches!(way, Way::Silent)) => return Err(OpenError::NoClient),
        };
        reply.into_result().map_err(|(problem, _)| OpenError::Refused(problem))?;
        Ok(stream)
    }
}

/// The client's transport, if it has one or gets one in time.
async fn there(way: &mut watch::Receiver<Way>, resume_within: Duration) -> Option<Link> {
    loop {
        let since = match &*way.borrow_and_update() {
            Way::There(link) => return Some(link.clone()),
            Way::Awaited(since) => *since,
            Way::Silent => return None,
        };
        timeout_at(since + resume_within, way.changed()).await.ok()?.ok()?;
    }
}

impl Inner {
    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        // Nothing panics with it locked.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client is not there as long as nothing comes over this transport, which ends by itself if that goes on.
    fn doubt(&self, turn: u64) {
        let current = self.current();
        if current.turn == turn {
            self.way.send_replace(Way::Silent);
            self.alive.send_replace(false);
        }
    }
}
