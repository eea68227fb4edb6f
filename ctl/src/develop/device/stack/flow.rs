//! One connection: a socket of the stack's, and the connection to the outside that it stands for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use smoltcp::socket::tcp::{Socket, State};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::packet::Ends;
use crate::develop::device::outside::Far;

/// A connection.
pub(super) struct Flow {
    pub(super) ends: Ends,
    /// The connection to the outside, once it is made.
    pub(super) far: Option<Box<dyn Far>>,
    /// Whether the outside has sent its last byte.
    far_ended: bool,
    /// Whether the program has.
    ended: bool,
    /// Whether the outside was told so.
    pub(super) told_end: bool,
}

impl Flow {
    pub(super) fn new(ends: Ends, far: Option<Box<dyn Far>>) -> Self {
        Self { ends, far, far_ended: false, ended: false, told_end: false }
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

    /// Whether nothing more comes of it: the connection is over here and the outside has all of its bytes, or it was
    /// never made.
    pub(super) fn is_over(&self, socket: &Socket<'_>) -> bool {
        let is_told = !socket.can_recv() && (self.told_end || !self.ended);
        match socket.state() {
            State::Listen => true,
            // One that was aborted has its ends until the program has been told.
            State::Closed => socket.remote_endpoint().is_none() && (self.far.is_none() || is_told),
            State::TimeWait => self.far.is_none() || is_told,
            _ => false,
        }
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
        self.ended |= has_ended(socket);
        if self.ended && !socket.can_recv() && !self.told_end && Pin::new(far).poll_shutdown(cx)?.is_ready() {
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

/// Whether the program has sent its last byte; some may still wait to be taken.
fn has_ended(socket: &Socket<'_>) -> bool {
    matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
}
