//! Many streams over one: the only module that names the multiplexer.
//!
//! That is HTTP/2. Each stream has a window of its own, so that a slow reader holds up nobody else, and what may wait
//! here is bounded ([`window`]). Only the client can open streams in it; what the agent opens it invites the client to
//! ([`invite`]), which costs no round trip more, as what is said first goes along.

mod agent;
mod client;
mod invite;
mod stream;
mod window;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, BufStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use stream::Stream;
use window::Arrivals;

/// How many streams an end may have opened at a time. The next waits.
pub const STREAMS_MAX: usize = 1024;
/// Streams that HTTP/2 lets be there. Ours are refused one by one long before: at [`STREAMS_MAX`] each way.
const STREAMS_FATAL: usize = 16 * STREAMS_MAX;
/// Bytes of a frame's data: large enough that what each one costs is little beside them, and soon gone on a slow link.
/// With the heads around it, at most 64 bytes, it fills two records of TLS; a third would cost as much as they do.
pub(crate) const FRAME_BYTES: usize = (32 << 10) - 64;
/// What is read and written at once, in bytes: some frames with their heads.
const BUFFER_BYTES: usize = 4 * FRAME_BYTES + 1024;
/// What of a stream may wait to be sent, in bytes, so that a large one is never far ahead of a small one.
const SEND_BYTES_MAX: usize = 4 * FRAME_BYTES;
/// What small frames may take that wait to be read, beside their data, in bytes. More ends the connection.
const SMALL_FRAMES_BYTES_MAX: usize = 256 << 20;

/// The limits that both ends have, of a builder of either.
macro_rules! limited {
    ($builder:expr, $windows:expr) => {
        $builder
            .initial_window_size($windows.bytes())
            .initial_connection_window_size(crate::mux::window::CONNECTION_BYTES)
            .max_frame_size(crate::mux::FRAME_BYTES as u32)
            .max_send_buffer_size(crate::mux::SEND_BYTES_MAX)
            .data_frame_budget(crate::mux::SMALL_FRAMES_BYTES_MAX)
            .max_concurrent_reset_streams(crate::mux::STREAMS_FATAL)
            .max_local_error_reset_streams(None)
    };
}
use limited;

/// Which end this is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Client,
    Agent,
}

/// Opens streams; they are reset when the connection ends.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    requests: mpsc::Sender<Request>,
    slots: Arc<Semaphore>,
}

/// A stream that is wanted.
#[derive(Debug)]
struct Request {
    /// What is said first.
    first: Bytes,
    slot: OwnedSemaphorePermit,
    answer: oneshot::Sender<io::Result<Stream>>,
}

impl Opener {
    /// Opens a stream that begins with these bytes, which are at most [`invite::FIRST_LEN_MAX`]; waits while as many as
    /// may be are open.
    ///
    /// # Errors
    /// When the connection has ended, or the other end has too many.
    pub(crate) async fn open(&self, first: Vec<u8>) -> io::Result<Stream> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| ended())?;
        let (answer, stream) = oneshot::channel();
        let request = Request { first: first.into(), slot, answer };
        self.requests.send(request).await.map_err(|_| ended())?;
        stream.await.map_err(|_| ended())?
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

/// A connection with many streams. Nothing moves unless [`Mux::run`] is polled; dropping that resets all streams.
pub(crate) struct Mux<T> {
    transport: BufStream<T>,
    end: End,
    ends: Ends,
}

/// Where streams are asked for and where they go.
struct Ends {
    requests: mpsc::Receiver<Request>,
    incoming: mpsc::Sender<Stream>,
    opened: Arc<Semaphore>,
    accepted: Arc<Semaphore>,
    arrivals: Arc<Arrivals>,
}

/// What a stream has of its connection.
#[derive(Debug)]
struct Place {
    _slot: OwnedSemaphorePermit,
    arrivals: Arc<Arrivals>,
    counted: usize,
}

impl Place {
    /// Notes that so many bytes have arrived.
    fn note(&mut self, bytes: usize) {
        self.arrivals.note(bytes, &mut self.counted);
    }
}

/// A connection over a transport, what opens streams in it, and those that the other end opens.
pub(crate) fn mux<T>(transport: T, end: End) -> (Mux<T>, Opener, mpsc::Receiver<Stream>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // Each frame is written in two parts and read in two; a forwarded port would make messages of them.
    let transport = BufStream::with_capacity(BUFFER_BYTES, BUFFER_BYTES, transport);
    let (to_mux, requests) = mpsc::channel(1);
    let (incoming, arriving) = mpsc::channel(STREAMS_MAX);
    let (opened, accepted) = (Arc::new(Semaphore::new(STREAMS_MAX)), Arc::new(Semaphore::new(STREAMS_MAX)));
    let opener = Opener { requests: to_mux, slots: Arc::clone(&opened) };
    let ends = Ends { requests, incoming, opened, accepted, arrivals: Arc::default() };
    (Mux { transport, end, ends }, opener, arriving)
}

impl<T: AsyncRead + AsyncWrite + Unpin> Mux<T> {
    /// Moves bytes until the connection ends.
    ///
    /// # Errors
    /// When the transport fails, or says what it may not. Ended by the other end is none.
    pub(crate) async fn run(self) -> io::Result<()> {
        match self.end {
            End::Client => client::run(self.transport, self.ends).await,
            End::Agent => agent::run(self.transport, self.ends).await,
        }
        .map_err(failed)
    }
}

impl Ends {
    /// A place for a stream that the other end opens, unless it has too many.
    fn accepts(&self) -> Option<Place> {
        Arc::clone(&self.accepted).try_acquire_owned().ok().map(|slot| self.place(slot))
    }

    fn place(&self, slot: OwnedSemaphorePermit) -> Place {
        Place { _slot: slot, arrivals: Arc::clone(&self.arrivals), counted: 0 }
    }

    /// Passes on a stream that the other end opened; where nobody takes it, it is reset.
    fn pass_on(&self, stream: Stream) {
        let _ = self.incoming.try_send(stream);
    }

    /// How many streams are open.
    fn open(&self) -> usize {
        2 * STREAMS_MAX - self.opened.available_permits() - self.accepted.available_permits()
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection has ended")
}

fn failed(error: h2::Error) -> io::Error {
    let said = error.to_string();
    match error.into_io() {
        Some(error) => error,
        None => io::Error::new(io::ErrorKind::InvalidData, said),
    }
}

#[cfg(test)]
mod tests;
