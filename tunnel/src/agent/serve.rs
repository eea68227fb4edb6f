//! One transport, from its greeting to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::work::{self, Work};
use super::{Current, Inner, Link, ServeError, Way};
use crate::echo;
use crate::heard::{LastByte, Noted};
use crate::hello::{self, Hello, HelloError, Verdict};
use crate::mux::{self, Stream};

/// How long a greeting may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn serve<T>(inner: &Arc<Inner>, mut transport: T) -> Result<(), ServeError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let turn = greeting(inner, &mut transport).await?;
    let mut newest = inner.newest.subscribe();
    let last = LastByte::now();
    let (mux, opener, incoming) = mux::mux(Noted { transport, last: last.clone() }, mux::End::Agent);
    let mut running = AbortOnDropHandle::new(tokio::spawn(mux.run()));
    let (heard_to, heard) = watch::channel(Instant::now());
    let work = Work { options: inner.options.clone(), heard: heard_to, left: inner.left.clone() };
    let alive = Alive { inner, link: Link { opener, last, turn } };
    tokio::select! {
        ended = &mut running => match ended {
            Ok(ended) => Ok(ended?),
            Err(error) => Err(io::Error::other(error).into()),
        },
        () = echo::silence(heard.clone(), inner.options.timing.dead_after) => {
            inner.doubt(turn);
            Err(ServeError::Silent)
        }
        _ = newest.wait_for(|newest| *newest != turn) => Err(ServeError::Replaced),
        () = alive.follow(heard) => Ok(()),
        () = accept(incoming, Arc::new(work)) => Ok(()),
    }
}

/// Hears a client out. The number of its turn as the session's transport.
async fn greeting<T>(inner: &Inner, transport: &mut T) -> Result<u64, ServeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let _place = inner.greetings.try_acquire().map_err(|_| ServeError::Busy)?;
    let mut turn = 0;
    let greeting = hello::answer(transport, &inner.speaker, |hello| match judge(inner, hello) {
        Ok(its) => {
            turn = its;
            Verdict::Welcome
        }
        Err(verdict) => verdict,
    });
    let timed_out = || HelloError::Io(io::ErrorKind::TimedOut.into());
    timeout(HELLO_TIMEOUT, greeting).await.map_err(|_| timed_out())??;
    Ok(turn)
}

/// Whether a client may come in; if so, every transport before it ends.
fn judge(inner: &Inner, hello: &Hello) -> Result<u64, Verdict> {
    if !inner.options.secret.is_of(&hello.secret) {
        return Err(Verdict::Secret);
    }
    let mut current = inner.current();
    // A late greeting must not push out the transport that came after it.
    if current.id == Some(hello.id) && hello.epoch <= current.epoch {
        return Err(Verdict::Stale);
    }
    *current = Current { id: Some(hello.id), epoch: hello.epoch, turn: current.turn + 1 };
    inner.way.send_replace(Way::awaited());
    inner.alive.send_replace(false);
    inner.newest.send_replace(current.turn);
    Ok(current.turn)
}

async fn accept(mut incoming: mpsc::Receiver<Stream>, work: Arc<Work>) {
    while let Some(stream) = incoming.recv().await {
        tokio::spawn(work::work(stream, Arc::clone(&work)));
    }
    // The connection has ended, which says why.
    std::future::pending().await
}

/// Says of the session what is true of its newest transport.
struct Alive<'a> {
    inner: &'a Inner,
    link: Link,
}

impl Alive<'_> {
    /// With its first echo the transport is the session's, and with each that comes after a doubt it is again.
    async fn follow(&self, mut heard: watch::Receiver<Instant>) {
        while heard.changed().await.is_ok() {
            let current = self.inner.current();
            let is_there = matches!(*self.inner.way.borrow(), Way::There(_));
            if current.turn == self.link.turn && !is_there {
                self.inner.way.send_replace(Way::There(self.link.clone()));
                self.inner.alive.send_replace(true);
            }
        }
        std::future::pending().await
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        let current = self.inner.current();
        if current.turn != self.link.turn {
            return;
        }
        // Who was silent is not waited for because the transport has ended over it.
        self.inner.way.send_if_modified(|way| {
            let broke = !matches!(way, Way::Silent);
            if broke {
                *way = Way::awaited();
            }
            broke
        });
        self.inner.alive.send_replace(false);
    }
}
