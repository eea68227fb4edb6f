//! The door: a Unix socket through which a device comes from who made it to who serves it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Hands a device over, with one byte.
pub(in crate::develop) fn hand_over(door: &Blocking, device: &impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let device = [device.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&device)) {
        return Err(io::Error::other("there is no room for it"));
    }
    sendmsg(door.as_fd(), &[IoSlice::new(&[0])], &mut control, SendFlags::empty())?;
    Ok(())
}

/// The device that comes through the door.
pub(in crate::develop) async fn take(door: &UnixStream) -> io::Result<OwnedFd> {
    door.async_io(Interest::READABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received =
            recvmsg(door, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let devices = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(devices) => Some(devices),
            _ => None,
        });
        devices.flatten().next().ok_or_else(|| io::Error::other("no device came"))
    })
    .await
}
