//! A TUN device and what is at its other end: a TCP/IP stack in this process, and where its connections go. Knows
//! nothing of whose network the device is in.

pub(super) mod door;
pub(super) mod kernel;
mod outside;
mod stack;

use std::net::Ipv4Addr;

pub use outside::Outside;
pub use stack::{Ports, Stack};

/// The address of whoever uses the device. RFC 7335 keeps these for what no other machine sees.
pub(super) const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
/// Our address: the DNS server, and what a program in a network of its own calls this machine's loopback by.
pub(super) const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
/// The name of this machine's loopback.
const HERE_NAME: &str = "host.canaryctl.internal";
/// Bytes of a packet on the device: no wire limits them.
pub(super) const MTU: usize = 32 << 10;
