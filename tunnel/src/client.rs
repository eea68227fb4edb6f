//! The developer's end: one session over as many transports as it takes.

mod backoff;
mod drive;
mod inbound;

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::dial::{DialError, Problem, Target};
use crate::echo::Timing;
use crate::header::{self, Header, Reply};
use crate::hello::{HelloError, Speaker, Versions};
use crate::mux::{Opener, STREAMS_MAX, Stream};
use crate::session::Session;

pub use inbound::{Inbound, Inbounds};

/// How long a stream that was reset may be followed by the end of its connection.
const END_FOLLOWS_WITHIN: Duration = Duration::from_millis(500);

/// Makes transports to an agent; asked again whenever one has broken.
pub trait Connect: Send + 'static {
    /// Bytes both ways.
    type Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A new transport. May take as long as it does: whoever waits for a connection has a time limit.
    ///
    /// # Errors
    /// [`ConnectError::again`] is followed by another attempt, [`ConnectError::last`] ends the session.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Transport, ConnectError>> + Send;
}

/// Why there is no transport.
#[derive(Debug)]
pub struct ConnectError {
    why: Box<dyn Error + Send + Sync>,
    is_last: bool,
}

impl ConnectError {
    /// It may work the next time.
    pub fn again(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { why: why.into(), is_last: false }
    }

    /// It will never work.
    pub fn last(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { why: why.into(), is_last: true }
    }
}

/// Why a session has ended for good.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    /// [`Client::close`] was called, or the last [`Client`] is gone.
    #[error("the session was closed")]
    Closed,
    /// The two ends do not fit.
    #[error(transparent)]
    Refused(HelloError),
    /// There is no way to the agent.
    #[error(transparent)]
    NoWay(Box<dyn Error + Send + Sync>),
}

/// How a session is doing.
#[derive(Debug, Clone)]
pub enum Status {
    /// No connection now.
    Connecting {
        /// Attempts since there was one; the first is 1.
        attempt: u32,
        /// What became of the one before.
        why: Option<Arc<str>>,
    },
    /// An echo has come back, and since then something in every [`Timing::dead_after`].
    Connected {
        /// How long the newest echo took.
        round_trip: Duration,
        /// When it came back.
        proved: Instant,
    },
    /// It will never be connected again.
    Ended(Arc<SessionEnd>),
}

impl Status {
    /// Whether bytes flow, by the newest echo.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}

/// What a client may be told.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The version of the program, for messages about versions that do not fit.
    pub program: String,
    /// When a connection counts as dead.
    pub timing: Timing,
    /// How long a dial may take, the wait for a connection included.
    pub dial_timeout: Duration,
}

impl ClientOptions {
    /// The usual times.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self { program: program.into(), timing: Timing::default(), dial_timeout: Duration::from_secs(20) }
    }
}

/// A session's client. Clones are the same one; the session goes with the last.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    status: watch::Receiver<Status>,
    link: watch::Receiver<Option<Opener>>,
    closing: watch::Sender<bool>,
    dial_timeout: Duration,
    _driver: AbortOnDropHandle<()>,
}

impl Client {
    /// Starts a session, which connects at once, and gives what will come in on ports that the agent exposes. Must be
    /// called in a tokio runtime.
    pub fn start(session: Session, connect: impl Connect, options: ClientOptions) -> (Self, Inbounds) {
        let (status_to, status) = watch::channel(Status::Connecting { attempt: 1, why: None });
        let (link_to, link) = watch::channel(None);
        let (closing, closing_from) = watch::channel(false);
        let (inbound_to, inbound) = mpsc::channel(STREAMS_MAX);
        let driver = drive::Driver {
            session,
            speaker: Speaker { versions: Versions::OURS, program: options.program },
            timing: options.timing,
            status: status_to,
            link: link_to,
            closing: closing_from,
            inbound: inbound_to,
        };
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.run(connect)));
        let dial_timeout = options.dial_timeout;
        let shared = Shared { status, link, closing, dial_timeout, _driver: driver };
        (Self { shared: Arc::new(shared) }, Inbounds::new(inbound))
    }

    /// How it is doing, now and from now on.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }

    /// A connection of the agent's to something in the cluster. Where there is no connection to the agent, waits for one.
    ///
    /// # Errors
    /// When the agent could not connect, says what it found; else when none could be asked in time.
    pub async fn dial(&self, target: &Target) -> Result<Stream, DialError> {
        let header = Header::Dial { host: target.host().into(), port: target.port() };
        Ok(self.ask(&target.to_string(), &header).await?.0)
    }

    /// The addresses of a name, as the agent's pod sees them.
    ///
    /// # Errors
    /// As [`Client::dial`].
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, DialError> {
        Ok(self.ask(name, &Header::Resolve { name: name.into() }).await?.1)
    }

    /// Ends the session: tells the agent, which ends, too, and returns when that is done or was in vain.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        let mut status = self.status();
        let _ = status.wait_for(|status| matches!(status, Status::Ended(_))).await;
    }

    /// Asks the agent for something until it has answered.
    async fn ask(&self, target: &str, header: &Header) -> Result<(Stream, Vec<IpAddr>), DialError> {
        match timeout(self.shared.dial_timeout, self.ask_each_link(target, header)).await {
            Ok(answer) => answer,
            Err(_) => Err(DialError::NotConnected { target: target.into() }),
        }
    }

    /// Nothing has flowed before the answer, so what a broken connection leaves unanswered may be asked again.
    async fn ask_each_link(&self, target: &str, header: &Header) -> Result<(Stream, Vec<IpAddr>), DialError> {
        let answered = |problem, detail| DialError::Answered { target: target.into(), problem, detail };
        let mut link = self.shared.link.clone();
        loop {
            let is_open = |link: &Option<Opener>| link.as_ref().is_some_and(|opener| !opener.is_closed());
            let opener = link.wait_for(is_open).await.ok().and_then(|link| link.clone());
            let opener = opener.ok_or_else(|| DialError::Ended { target: target.into() })?;
            match ask_once(&opener, header).await {
                Ok((stream, reply)) => {
                    return reply
                        .into_result()
                        .map(|found| (stream, found))
                        .map_err(|(problem, detail)| answered(problem, detail));
                }
                Err(error) => tokio::select! {
                    () = opener.closed() => {}
                    () = sleep(END_FOLLOWS_WITHIN) => return Err(answered(Problem::Failed, error.to_string())),
                },
            }
        }
    }
}

async fn ask_once(opener: &Opener, header: &Header) -> io::Result<(Stream, Reply)> {
    let mut stream = opener.open(header::bytes(header)?).await?;
    let reply = header::read(&mut stream).await?;
    Ok((stream, reply))
}
