//! What comes in on a port that the agent exposes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::dial::Problem;
use crate::header::{self, Header, Reply};
use crate::mux::Stream;

/// How long a stream may take to say what it is for.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that the agent accepted and that waits for an answer; dropped, it is reset.
#[derive(Debug)]
pub struct Inbound {
    port: u16,
    peer: SocketAddr,
    stream: Stream,
}

impl Inbound {
    /// The port that the agent exposes.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who connected, as the agent's pod sees it; a sidecar, where there is one.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Takes it.
    ///
    /// # Errors
    /// When it has broken meanwhile.
    pub async fn accept(mut self) -> io::Result<Stream> {
        header::write(&mut self.stream, &Reply::default()).await?;
        Ok(self.stream)
    }

    /// Lets it be reset, tells the agent why, and waits until it has heard.
    pub async fn refuse(self, problem: Problem, detail: &str) {
        let _ = refuse(self.stream, problem, detail).await;
    }
}

/// Everything that comes in, one by one. Dropped, all of it is refused.
#[derive(Debug)]
pub struct Inbounds {
    queue: mpsc::Receiver<Inbound>,
}

impl Inbounds {
    pub(super) fn new(queue: mpsc::Receiver<Inbound>) -> Self {
        Self { queue }
    }

    /// The next, over whichever transport; none once the session has ended.
    pub async fn next(&mut self) -> Option<Inbound> {
        self.queue.recv().await
    }
}

/// Hears what a stream of the agent's is for, and queues it.
pub(super) async fn receive(mut stream: Stream, queue: mpsc::Sender<Inbound>) {
    let header = timeout(HEADER_TIMEOUT, header::read(&mut stream)).await;
    let refused = match header {
        Ok(Ok(Header::Inbound { port, peer })) => match queue.try_send(Inbound { port, peer, stream }) {
            Ok(()) => return,
            Err(error) => {
                let Inbound { stream: refused, .. } = match error {
                    mpsc::error::TrySendError::Full(inbound) | mpsc::error::TrySendError::Closed(inbound) => {
                        inbound
                    }
                };
                refuse(refused, Problem::Refused, "nobody takes it").await
            }
        },
        Ok(Ok(_)) => refuse(stream, Problem::Unsupported, "").await,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            refuse(stream, Problem::Unsupported, "").await
        }
        Ok(Err(_)) | Err(_) => Ok(()),
    };
    if let Err(error) = refused {
        tracing::debug!(%error, "a stream broke before it was refused");
    }
}

async fn refuse(stream: Stream, problem: Problem, detail: &str) -> io::Result<()> {
    header::write_last(stream, &Reply::problem(problem, detail)).await
}
