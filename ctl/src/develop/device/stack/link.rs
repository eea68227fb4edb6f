//! The device: packets from it wait for the stack, packets for it wait until it takes them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use tokio::io::unix::AsyncFd;

use crate::develop::device::kernel;

/// Packets for the device that may wait before the stack stops to make more.
const WAITING_MAX: usize = 256;

/// The stack's end of the device.
pub(super) struct Link {
    device: AsyncFd<OwnedFd>,
    mtu: usize,
    buffer: Vec<u8>,
    come: VecDeque<Vec<u8>>,
    go: VecDeque<Vec<u8>>,
}

impl Link {
    pub(super) fn new(device: OwnedFd, mtu: usize) -> io::Result<Self> {
        let device = kernel::watch(device)?;
        Ok(Self { device, mtu, buffer: vec![0; mtu], come: VecDeque::new(), go: VecDeque::new() })
    }

    /// A packet of the program's, if there is one.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Vec<u8>>> {
        match self.poll_read(cx) {
            Poll::Ready(packet) => packet.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        loop {
            let mut guard = ready!(self.device.poll_read_ready(cx))?;
            let buffer = &mut self.buffer;
            if let Ok(read) = guard.try_io(|device| Ok(rustix::io::read(device, &mut **buffer)?)) {
                let read = read?;
                return Poll::Ready(Ok(buffer.get(..read).unwrap_or_default().to_vec()));
            }
        }
    }

    /// Gives a packet to the stack.
    pub(super) fn put(&mut self, packet: Vec<u8>) {
        self.come.push_back(packet);
    }

    /// Has a packet go to the program.
    pub(super) fn send(&mut self, packet: Vec<u8>) {
        self.go.push_back(packet);
    }

    /// Whether the device takes packets more slowly than they are made.
    pub(super) fn is_behind(&self) -> bool {
        self.go.len() >= WAITING_MAX
    }

    /// Writes what the device takes.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(packet) = self.go.front() {
            let Poll::Ready(guard) = self.device.poll_write_ready(cx) else { break };
            if let Ok(written) = guard?.try_io(|device| Ok(rustix::io::write(device, packet)?)) {
                written?;
                self.go.pop_front();
            }
        }
        Ok(())
    }
}

impl Device for Link {
    type RxToken<'a> = Come;
    type TxToken<'a> = Go<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Come, Go<'_>)> {
        let packet = self.come.pop_front()?;
        Some((Come(packet), Go(&mut self.go)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Go<'_>> {
        (!self.is_behind()).then_some(Go(&mut self.go))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // Between two ends on one machine nothing is damaged.
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }
}

/// A packet that has come.
pub(super) struct Come(Vec<u8>);

impl RxToken for Come {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, with: F) -> R {
        with(&self.0)
    }
}

/// Room for a packet that is to go.
pub(super) struct Go<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Go<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, with: F) -> R {
        let mut packet = vec![0; len];
        let made = with(&mut packet);
        self.0.push_back(packet);
        made
    }
}
