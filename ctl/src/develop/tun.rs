//! This machine in the cluster's network: a TUN device in its own namespace, exact routes to it, and names by a way that
//! leaves other names alone. What takes root is a helper's, a process of its own that puts back what it changed when its
//! door closes, for whatever reason that is.

mod bring;
mod entries;
pub mod helper;
mod hosts;
mod order;
mod ranges;
mod resolved;

pub use bring::{Brought, Held, Ready};
pub use entries::{Scope, follow};
pub use order::{Entry, Way};
pub use ranges::{Asked, Planned, plan};

/// The device's name.
pub const DEVICE: &str = "canaryctl0";
