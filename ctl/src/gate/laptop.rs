//! Where a laptop is reached, and when it counts as there.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::exchange;

/// The byte that an agent sends over each connection once the process on the laptop has accepted it. Nothing is
/// sent that way before: what has not reached anybody can go to the baseline.
pub const TAKEN: u8 = b'+';
/// How long an agent may take to say that, in which it waits for a laptop that comes back, and for its answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(13);

/// Where the laptop's process is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laptop {
    /// It listens here itself.
    Here(SocketAddr),
    /// An agent does, and sends [`TAKEN`].
    Agent(SocketAddr),
}

impl Laptop {
    /// A connection that its process has accepted.
    pub(super) async fn connect(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(address) => exchange::connect(address).await,
            Self::Agent(address) => {
                let mut stream = exchange::connect(address).await?;
                match timeout(TAKEN_WITHIN, stream.read_u8()).await?? {
                    TAKEN => Ok(stream),
                    _ => Err(io::ErrorKind::InvalidData.into()),
                }
            }
        }
    }
}
