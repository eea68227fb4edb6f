//! A program in a network of its own, whose other end is here: an unprivileged user, network and mount namespace, a TUN
//! device in it, and a TCP/IP stack in this process. Nothing of this machine's own network changes.

mod device;
mod dns;
pub mod enter;
mod files;
mod handover;
mod outside;
mod stack;

use std::net::Ipv4Addr;

pub use handover::{Prepared, Running};
pub use outside::{Network, Outside};
pub use stack::{Ports, Stack};

/// The program's address. RFC 7335 keeps these for what no other machine sees.
const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
/// Our address: its DNS server, and what it calls this machine's loopback by.
const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
/// The name of this machine's loopback.
const HERE_NAME: &str = "host.canaryctl.internal";
/// Bytes of a packet on the device: no wire limits them.
const MTU: usize = 32 << 10;
