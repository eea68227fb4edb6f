//! A long way on one machine: connections whose bytes are as late as they would be from far away, and as many a second.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// What may be under way of one connection in one direction, in bytes: Linux's largest window of a receiver.
const UNDER_WAY_BYTES_MAX: usize = 6 << 20;
/// What the way carries in each direction, in bytes a second: 400 Mbit/s.
pub(super) const RATE: u32 = 50_000_000;

/// A way that all of its connections share.
#[derive(Clone)]
pub(super) struct Link {
    late: Duration,
    there: Arc<Direction>,
    back: Arc<Direction>,
}

/// One direction: until when it is taken.
struct Direction(Mutex<Instant>);

impl Direction {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    /// When so many bytes that come now have left.
    fn left(&self, len: u32) -> Instant {
        let mut taken = self.0.lock().expect("nobody panicked");
        *taken = (*taken).max(Instant::now()) + Duration::from_secs(len.into()) / RATE;
        *taken
    }
}

impl Link {
    pub(super) fn new(round_trip: Duration) -> Self {
        Self { late: round_trip / 2, there: Direction::new(), back: Direction::new() }
    }

    /// An address at which `there` is at the other end, for as long as the runtime is there.
    pub(super) async fn to(&self, there: SocketAddr, here: IpAddr) -> SocketAddr {
        let listener = TcpListener::bind((here, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let link = self.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(link.clone().carry(near, there));
            }
        });
        address
    }

    async fn carry(self, near: TcpStream, there: SocketAddr) {
        let Ok(far) = TcpStream::connect(there).await else { return };
        for end in [&near, &far] {
            end.set_nodelay(true).expect("an option");
        }
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::join!(
            pass(near_read, far_write, &self.there, self.late),
            pass(far_read, near_write, &self.back, self.late),
        );
    }
}

struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
    _room: OwnedSemaphorePermit,
}

async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    direction: &Direction,
    late: Duration,
) {
    let room = Arc::new(Semaphore::new(UNDER_WAY_BYTES_MAX));
    let (send, mut under_way) = mpsc::unbounded_channel();
    let read = async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            let permits = u32::try_from(len).expect("a chunk");
            let due = direction.left(permits) + late;
            let room = Arc::clone(&room).acquire_many_owned(permits).await.expect("it is never closed");
            if send.send(Chunk { bytes: buffer[..len].to_vec(), due, _room: room }).is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some(chunk) = under_way.recv().await {
            sleep_until(chunk.due).await;
            if to.write_all(&chunk.bytes).await.is_err() {
                return;
            }
        }
        // Who has gone cannot be told.
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
