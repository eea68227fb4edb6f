//! Many streams over one: the only module that names the multiplexer.
//!
//! Yamux gives each stream a window of its own, so that a slow reader holds up nobody else and no more than
//! [`WINDOW_BYTES`] of it wait here. What it leaves open is decided in [`Stream`]: an end of data that cannot be
//! mistaken for a break.

mod stream;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use yamux::{Connection, Mode};

pub(crate) use stream::DATA_MAX;
pub use stream::Stream;

/// How many streams an end may have opened at a time. The next waits.
pub const STREAMS_MAX: usize = 1024;
/// What a stream may have been sent and not read, in bytes; yamux's own.
const WINDOW_BYTES: usize = yamux::DEFAULT_CREDIT as usize;
/// What all windows of a connection may grow together, in bytes, for streams that fill a long link.
const GROWTH_BYTES_MAX: usize = 32 << 20;
/// Streams after which yamux ends the connection. Ours are refused one by one long before: at [`STREAMS_MAX`].
const STREAMS_FATAL: usize = 16 * STREAMS_MAX;
/// Bytes of a frame's data: large enough that what each one costs is little beside them, and soon gone on a slow link.
/// With the heads around it, at most 64 bytes, it fills two records of TLS; a third would cost as much as they do.
const FRAME_BYTES: usize = (32 << 10) - 64;
/// What is read and written at once, in bytes: some frames with their heads.
const BUFFER_BYTES: usize = 4 * FRAME_BYTES + 1024;

/// Which end this is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Client,
    Agent,
}

/// Opens streams; they are reset when the connection ends.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    requests: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    slots: Arc<Semaphore>,
}

impl Opener {
    /// Opens a stream; waits while as many as may be are open. Nothing is sent before the first byte.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn open(&self) -> io::Result<Stream> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| ended())?;
        let (answer, stream) = oneshot::channel();
        self.requests.send(answer).await.map_err(|_| ended())?;
        Ok(Stream::new(stream.await.map_err(|_| ended())?, slot))
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Returns when the connection has ended.
    pub(crate) async fn closed(&self) {
        self.requests.closed().await;
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection has ended")
}

/// A connection with many streams. Nothing moves unless [`Mux::run`] is polled; dropping it resets all streams.
pub(crate) struct Mux<T> {
    connection: Connection<Compat<BufStream<T>>>,
    requests: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    waiting: Option<oneshot::Sender<yamux::Stream>>,
    incoming: mpsc::Sender<Stream>,
    incoming_slots: Arc<Semaphore>,
}

/// A connection over a transport, what opens streams in it, and those that the other end opens.
pub(crate) fn mux<T>(transport: T, end: End) -> (Mux<T>, Opener, mpsc::Receiver<Stream>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mode = match end {
        End::Client => Mode::Client,
        End::Agent => Mode::Server,
    };
    let mut config = yamux::Config::default();
    config
        .set_max_connection_receive_window(None)
        .set_max_num_streams(STREAMS_FATAL)
        .set_split_send_size(FRAME_BYTES)
        .set_max_connection_receive_window(Some(STREAMS_FATAL * WINDOW_BYTES + GROWTH_BYTES_MAX));
    // Each frame is written in two parts and read in two; a forwarded port would make messages of them.
    let transport = BufStream::with_capacity(BUFFER_BYTES, BUFFER_BYTES, transport).compat();
    let (request, requests) = mpsc::channel(1);
    let (arrived, incoming) = mpsc::channel(STREAMS_MAX);
    let mux = Mux {
        connection: Connection::new(transport, config, mode),
        requests,
        waiting: None,
        incoming: arrived,
        incoming_slots: Arc::new(Semaphore::new(STREAMS_MAX)),
    };
    (mux, Opener { requests: request, slots: Arc::new(Semaphore::new(STREAMS_MAX)) }, incoming)
}

impl<T: AsyncRead + AsyncWrite + Unpin> Mux<T> {
    /// Moves bytes until the connection ends.
    ///
    /// # Errors
    /// When the transport fails, or says what it may not. Ended by the other end is none.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.waiting.is_none()
                && let Poll::Ready(Some(request)) = self.requests.poll_recv(cx)
            {
                self.waiting = Some(request);
            }
            if self.waiting.is_some()
                && let Poll::Ready(opened) = self.connection.poll_new_outbound(cx)
            {
                let stream = opened.map_err(|error| failed(&error))?;
                // Whoever gave up drops it, which resets it.
                let _ = self.waiting.take().map(|request| request.send(stream));
                continue;
            }
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => self.arrived(stream, cx),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(failed(&error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Passes a stream on; one too many is reset, which is what dropping it does.
    fn arrived(&self, stream: yamux::Stream, cx: &mut Context<'_>) {
        if let Ok(slot) = Arc::clone(&self.incoming_slots).try_acquire_owned() {
            let mut stream = Stream::new(stream, slot);
            if stream.acknowledge(cx).is_ok() {
                let _ = self.incoming.try_send(stream);
            }
        }
    }
}

fn failed(error: &yamux::ConnectionError) -> io::Error {
    match error {
        yamux::ConnectionError::Io(error) => io::Error::new(error.kind(), error.to_string()),
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}
