//! One connection: a socket of the stack's, and the connection to the outside that it stands for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use smoltcp::socket::tcp::{Socket, State};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::packet::Ends;
use crate::develop::netns::outside::Far;

/// A connection.
pub(super) struct Flow {
    pub(super) ends: Ends,
    /// The connection to the outside, once it is made.
    pub(super) far: Option<Box<dyn Far>>,
    /// Whether the outside has sent its last byte.
    far_ended: bool,
    /// Whether the outside was told that the program has.
    told_end: bool,
}

impl Flow {
    pub(super) fn new(ends: Ends) -> Self {
        Self { ends, far: None, far_ended: false, told_end: false }
    }

    /// Moves what can be moved both ways; true where something was.
    pub(super) fn move_bytes(&mut self, socket: &mut Socket<'_>, cx: &mut Context<'_>) -> bool {
        let moved = self.out(socket, cx).and_then(|out| Ok(self.back(socket, cx)? || out));
        moved.unwrap_or_else(|_| {
            // What broke outside is no end of bytes here.
            self.far = None;
            socket.abort();
            true
        })
    }

    /// From the program to the outside.
    fn out(&mut self, socket: &mut Socket<'_>, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(far) = &mut self.far else { return Ok(false) };
        let mut moved = false;
        while socket.can_recv() {
            let written = socket.recv(|bytes| match Pin::new(&mut *far).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) => (count, Some(Ok(count))),
                Poll::Ready(Err(error)) => (0, Some(Err(error))),
                Poll::Pending => (0, None),
            });
            match written.map_err(io::Error::other)? {
                Some(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Some(count) => moved |= count? > 0,
                None => break,
            }
        }
        let _ = Pin::new(&mut *far).poll_flush(cx)?;
        if has_ended(socket) && !self.told_end && Pin::new(far).poll_shutdown(cx)?.is_ready() {
            self.told_end = true;
        }
        Ok(moved)
    }

    /// From the outside to the program.
    fn back(&mut self, socket: &mut Socket<'_>, cx: &mut Context<'_>) -> io::Result<bool> {
        let Some(far) = &mut self.far else { return Ok(false) };
        let mut moved = false;
        while !self.far_ended && socket.can_send() {
            let read = socket.send(|space| {
                let mut space = ReadBuf::new(space);
                match Pin::new(&mut *far).poll_read(cx, &mut space) {
                    Poll::Ready(Ok(())) => (space.filled().len(), Some(Ok(space.filled().len()))),
                    Poll::Ready(Err(error)) => (0, Some(Err(error))),
                    Poll::Pending => (0, None),
                }
            });
            match read.map_err(io::Error::other)? {
                Some(Ok(0)) => {
                    self.far_ended = true;
                    socket.close();
                    moved = true;
                }
                Some(count) => moved |= count? > 0,
                None => break,
            }
        }
        Ok(moved)
    }
}

/// Whether the program has sent its last byte, and all of them are on their way.
fn has_ended(socket: &Socket<'_>) -> bool {
    let ended =
        matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
    ended && !socket.may_recv()
}

/// Whether nothing more comes of a socket: its connection is over, or was never made.
pub(super) fn is_over(socket: &Socket<'_>) -> bool {
    match socket.state() {
        State::Closed => !has_reset_to_send(socket),
        State::TimeWait | State::Listen => true,
        _ => false,
    }
}

/// A socket that was aborted has its ends until it has said so.
fn has_reset_to_send(socket: &Socket<'_>) -> bool {
    socket.remote_endpoint().is_some()
}
