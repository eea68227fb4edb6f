//! What is said through the door: one line of JSON each, by two processes of one binary.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Names that stand for an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    pub(super) address: Ipv4Addr,
    pub(super) names: Vec<String>,
}

/// What canaryctl asks the helper for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The device with routes to it, and the cluster's names.
    Make { routes: Vec<String>, namespace: String },
    /// What the hosts file is to say from now on.
    Names(Vec<Entry>),
}

/// How this machine learns the cluster's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// systemd-resolved asks the device's other end for them.
    Resolved,
    /// They are in the hosts file.
    Hosts,
}

impl Way {
    /// Its name, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Hosts => "hosts",
        }
    }
}

/// What the helper answers to each order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The device comes next.
    Made(Way),
    /// The hosts file says it.
    Named,
    Failed {
        message: String,
        help: Option<String>,
    },
}
