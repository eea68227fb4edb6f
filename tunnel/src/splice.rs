//! A connection of this machine and a stream of the tunnel, as one.

use std::io;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::mux::{FRAME_BYTES, Stream};

/// What is copied at once, in bytes, each way: a frame's, so that none is followed by a small rest.
const BUFFER_BYTES: usize = FRAME_BYTES;

/// How long what a connection said before it broke may take to arrive.
const ANSWER_ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// How much went each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spliced {
    /// Bytes from the connection into the tunnel.
    pub into_tunnel: u64,
    /// Bytes from the tunnel to the connection.
    pub from_tunnel: u64,
}

/// Passes bytes on until both ways have ended. An end of one way is an end there; a reset is a reset there, but for what
/// had come to its end before.
///
/// # Errors
/// When either breaks; the other is reset then.
pub async fn splice(mut connection: TcpStream, mut stream: Stream) -> io::Result<Spliced> {
    // What is typed or asked goes at once.
    let _ = connection.set_nodelay(true);
    let copied =
        copy_bidirectional_with_sizes(&mut connection, &mut stream, BUFFER_BYTES, BUFFER_BYTES).await;
    match copied {
        Ok((into_tunnel, from_tunnel)) => Ok(Spliced { into_tunnel, from_tunnel }),
        Err(error) => {
            // Closed without it, the connection would look as if everything had arrived.
            let _ = connection.set_zero_linger();
            drop(connection);
            // Who answers and closes without hearing the other out has answered all the same.
            let _ = timeout(ANSWER_ARRIVES_WITHIN, stream.end_heard()).await;
            Err(error)
        }
    }
}
