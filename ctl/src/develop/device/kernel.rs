//! Devices as the kernel has them: ioctls of netdevice(7) and of the kernel's Documentation/networking/tuntap.

#![expect(unsafe_code, reason = "the kernel's structures; each block says why it is sound")]

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tokio::io::unix::AsyncFd;

use crate::develop::range::Range;

/// Where TUN devices are made.
pub(in crate::develop) const TUN: &str = "/dev/net/tun";

const SIOCADDRT: Opcode = 0x890b;
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
const SIOCSIFMTU: Opcode = 0x8922;
const TUNSETIFF: Opcode = 0x4004_54ca;

const IFF_UP: u16 = 0x1;
const IFF_TUN: u16 = 0x1;
const IFF_NO_PI: u16 = 0x1000;
const RTF_UP: u16 = 0x1;
const AF_INET: u16 = 2;

/// `struct ifreq`: a name, and 24 bytes that depend on what is asked.
#[repr(C, align(8))]
struct Request {
    name: [u8; 16],
    value: [u8; 24],
}

/// `struct rtentry` of 64-bit kernels.
#[repr(C, align(8))]
struct Route {
    pad1: u64,
    destination: [u8; 16],
    gateway: [u8; 16],
    mask: [u8; 16],
    flags: u16,
    rest: [u8; 30],
    device: u64,
    tail: [u8; 24],
}

impl Request {
    fn of(name: &str) -> Self {
        let mut request = Self { name: [0; 16], value: [0; 24] };
        // The last byte stays 0.
        for (to, from) in request.name.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        request
    }

    fn with(name: &str, value: &[u8]) -> Self {
        let mut request = Self::of(name);
        for (to, from) in request.value.iter_mut().zip(value) {
            *to = *from;
        }
        request
    }
}

/// `struct sockaddr_in` without a port.
fn address(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

/// Leaves the namespaces that this process shares with others. It must have one thread.
pub(in crate::develop) fn leave() -> io::Result<()> {
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWNS;
    // SAFETY: file descriptors stay as they are: FILES is not among the flags.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// A TUN device of this name and address, up; it is gone with its last descriptor.
pub(in crate::develop) fn make(name: &str, own: Ipv4Addr, mtu: usize) -> io::Result<OwnedFd> {
    let tun = open(TUN, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    ask::<TUNSETIFF>(&tun, Request::with(name, &(IFF_TUN | IFF_NO_PI).to_ne_bytes()))?;
    let network = network()?;
    ask::<SIOCSIFADDR>(&network, Request::with(name, &address(own)))?;
    ask::<SIOCSIFNETMASK>(&network, Request::with(name, &address(Ipv4Addr::BROADCAST)))?;
    let mtu = i32::try_from(mtu).map_err(io::Error::other)?;
    ask::<SIOCSIFMTU>(&network, Request::with(name, &mtu.to_ne_bytes()))?;
    rise(&network, name)?;
    Ok(tun)
}

/// The only device of a namespace, that everything leads to, and the loopback, both up.
pub(in crate::develop) fn make_only(own: Ipv4Addr, mtu: usize) -> io::Result<OwnedFd> {
    let name = "canary0";
    let tun = make(name, own, mtu)?;
    rise(&network()?, "lo")?;
    lead(name, Range::new(Ipv4Addr::UNSPECIFIED, 0))?;
    // Whoever calls the program from outside finds it on its loopback; where settings are read-only, nobody does.
    let _ = fs::write(format!("/proc/sys/net/ipv4/conf/{name}/route_localnet"), "1");
    Ok(tun)
}

/// What the ioctls below are asked of.
fn network() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::INET, SocketType::DGRAM, None)?)
}

fn rise(network: &OwnedFd, device: &str) -> io::Result<()> {
    let flags = ask::<SIOCGIFFLAGS>(network, Request::of(device))?.value;
    let flags = u16::from_ne_bytes([flags[0], flags[1]]) | IFF_UP;
    ask::<SIOCSIFFLAGS>(network, Request::with(device, &flags.to_ne_bytes())).map(drop)
}

/// The device as a runtime watches it.
pub(in crate::develop) fn watch(device: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is the same descriptor until it is dropped, and nothing gives it away.
    Ok(unsafe { AsyncFd::register(device) }?)
}

fn ask<const OPCODE: Opcode>(fd: impl AsFd, mut request: Request) -> io::Result<Request> {
    // SAFETY: each of the opcodes above but SIOCADDRT reads and writes one `struct ifreq`, 40 bytes without pointers.
    unsafe { ioctl(fd, Updater::<OPCODE, Request>::new(&mut request)) }?;
    Ok(request)
}

/// Has a range lead to a device.
pub(in crate::develop) fn lead(device: &str, to: Range) -> io::Result<()> {
    let name = Request::of(device).name;
    let mut route = Route {
        pad1: 0,
        destination: address(to.address()),
        gateway: address(Ipv4Addr::UNSPECIFIED),
        mask: address(to.mask()),
        flags: RTF_UP,
        rest: [0; 30],
        device: name.as_ptr().expose_provenance() as u64,
        tail: [0; 24],
    };
    // SAFETY: SIOCADDRT reads one `struct rtentry`, 120 bytes, and the name of at most 16 bytes that it points to, which
    // lives until the call is over.
    unsafe { ioctl(network()?, Updater::<SIOCADDRT, Route>::new(&mut route)) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn the_structures_are_the_kernels() {
        assert_eq!(size_of::<Request>(), 40);
        assert_eq!(size_of::<Route>(), 120);
        assert_eq!((offset_of!(Route, flags), offset_of!(Route, device)), (56, 88));
    }
}
