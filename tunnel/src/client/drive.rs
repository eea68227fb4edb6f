//! Keeps a session connected: one transport after another.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::backoff::Backoff;
use super::{Connect, Inbound, SessionEnd, Status, ask_once, inbound};
use crate::echo::{self, Timing};
use crate::header::Header;
use crate::heard::{LastByte, Noted};
use crate::hello::{self, Hello, HelloError, Speaker};
use crate::mux::{self, Opener};
use crate::session::Session;

/// How long a greeting may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the agent may take to answer a farewell.
const BYE_TIMEOUT: Duration = Duration::from_secs(2);

/// What one session is told to be.
pub(super) struct Driver {
    pub(super) session: Session,
    pub(super) speaker: Speaker,
    pub(super) timing: Timing,
    pub(super) status: watch::Sender<Status>,
    pub(super) link: watch::Sender<Option<Opener>>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) inbound: mpsc::Sender<Inbound>,
}

/// How a transport ended.
enum Ended {
    /// Another may do.
    Broken(String),
    /// None will.
    Final(SessionEnd),
}

impl Driver {
    /// Runs until the session has ended.
    pub(super) async fn run(self, mut connect: impl Connect) {
        let mut backoff = Backoff::default();
        for epoch in 1_u32.. {
            let connected = async {
                sleep(backoff.next()).await;
                let transport = connect.connect().await.map_err(|error| match error.is_last {
                    true => Ended::Final(SessionEnd::NoWay(error.why)),
                    false => Ended::Broken(said(error.why.as_ref())),
                })?;
                self.greet(transport, epoch).await
            };
            let connected = tokio::select! {
                connected = connected => connected,
                () = told(self.closing.clone()) => Err(Ended::Final(SessionEnd::Closed)),
            };
            let (ended, lasted) = match connected {
                Ok(transport) => self.serve(transport).await,
                Err(ended) => (ended, Duration::ZERO),
            };
            self.link.send_replace(None);
            let why = match ended {
                Ended::Final(end) => {
                    self.status.send_replace(Status::Ended(Arc::new(end)));
                    return;
                }
                Ended::Broken(why) => why,
            };
            tracing::debug!(why, "the transport has ended");
            // One that keeps breaking at once is no reason to begin anew.
            if lasted >= self.timing.every {
                backoff.reset();
            }
            self.status
                .send_replace(Status::Connecting { attempt: backoff.attempt(), why: Some(why.into()) });
        }
    }

    async fn greet<T>(&self, mut transport: T, epoch: u32) -> Result<T, Ended>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = Hello { id: self.session.id, epoch, secret: self.session.secret.clone() };
        let greeted = timeout(HELLO_TIMEOUT, hello::greet(&mut transport, &hello, &self.speaker)).await;
        match greeted.unwrap_or_else(|_| Err(HelloError::Io(io::ErrorKind::TimedOut.into()))) {
            Ok(version) => {
                tracing::debug!(version, epoch, "greeted");
                Ok(transport)
            }
            Err(error) if error.is_final() => Err(Ended::Final(SessionEnd::Refused(error))),
            Err(error) => Err(Ended::Broken(said(&error))),
        }
    }

    /// Uses a transport until it ends, and for how long it was the session's.
    async fn serve<T>(&self, transport: T) -> (Ended, Duration)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let last = LastByte::now();
        let transport = Noted { transport, last: last.clone() };
        let (mux, opener, mut incoming) = mux::mux(transport, mux::End::Client);
        let mut running = AbortOnDropHandle::new(tokio::spawn(mux.run()));
        let started = Instant::now();
        let receive = async {
            while let Some(stream) = incoming.recv().await {
                tokio::spawn(inbound::receive(stream, self.inbound.clone()));
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = &mut running => Ended::Broken(match ended {
                Ok(Ok(())) => "the agent's end was closed".into(),
                Ok(Err(error)) => said(&error),
                Err(error) => said(&error),
            }),
            error = self.prove(&opener, &last) => Ended::Broken(said(&error)),
            () = told(self.closing.clone()) => {
                let _ = timeout(BYE_TIMEOUT, ask_once(&opener, &Header::Bye {})).await;
                Ended::Final(SessionEnd::Closed)
            }
            () = receive => Ended::Broken(String::new()),
        };
        let lasted = if self.link.borrow().is_some() { started.elapsed() } else { Duration::ZERO };
        (ended, lasted)
    }

    /// Sends echoes; the first that comes back makes the transport the session's.
    async fn prove(&self, opener: &Opener, last: &LastByte) -> io::Error {
        let opened = timeout(self.timing.dead_after, ask_once(opener, &Header::Echo {})).await;
        let stream = match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        echo::ask(stream, self.timing, last, |round_trip| {
            if self.link.borrow().is_none() {
                self.link.send_replace(Some(opener.clone()));
            }
            self.status.send_replace(Status::Connected { round_trip, proved: Instant::now() });
        })
        .await
    }
}

/// Returns once it is true, or nobody is left to say so.
async fn told(mut receiver: watch::Receiver<bool>) {
    let _ = receiver.wait_for(|told| *told).await;
}

/// An error and its causes in one line.
fn said(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line
}
