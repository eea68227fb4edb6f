//! A program in a network of its own, whose other end is here: an unprivileged user, network and mount namespace, and a
//! TUN device in it. Nothing of this machine's own network changes.

pub mod enter;
mod files;
mod handover;

pub use handover::{Prepared, Running};
