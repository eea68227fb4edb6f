//! What routing needs to know of a lane. Who gets into it is no concern of this crate.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use canary_rules::name::LaneName;

use crate::service::{Host, HostError, Labels, is_dns_label};

/// Pod label that makes a workload a member of a lane: `canaryctl.io/lane: gray`.
pub const LANE_LABEL: &str = "canaryctl.io/lane";

/// A lane as routing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRouting {
    /// Its name, which is also the tag.
    pub name: LaneName,
    /// The lane it falls back to before the baseline.
    pub parent: Option<LaneName>,
    /// What happens where it has nobody to serve.
    pub mode: Mode,
    /// Members named by labels that their pods carry already, besides those that carry [`LANE_LABEL`].
    pub members: BTreeMap<ServiceKey, Labels>,
}

/// What happens to a lane's request where the lane has nobody to serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The parent lane serves it, then the baseline; the tag goes on.
    Permissive,
    /// It is answered with this status.
    Strict(RefusalStatus),
}

/// The status that a strict lane answers with: 400 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalStatus(u16);

/// A status that is no refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("status {0} refuses nothing: wanted 400 to 599")]
pub struct RefusalStatusError(u16);

impl RefusalStatus {
    /// A status from its number.
    ///
    /// # Errors
    /// When it is no 4xx or 5xx.
    pub fn new(status: u16) -> Result<Self, RefusalStatusError> {
        if (400..=599).contains(&status) { Ok(Self(status)) } else { Err(RefusalStatusError(status)) }
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for RefusalStatus {
    /// 503 Service Unavailable.
    fn default() -> Self {
        Self(503)
    }
}

/// How a Lane names a service: `stock`, or with its namespace `stock.shop` or `shop/stock`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// A name alone; it must be unique in the mesh.
    Name(Box<str>),
    /// A name and its namespace.
    Host(Host),
}

impl FromStr for ServiceKey {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Some((namespace, name)) = text.split_once('/') {
            return Host::new(name, namespace).map(Self::Host);
        }
        if text.contains('.') {
            return text.parse().map(Self::Host);
        }
        if !is_dns_label(text) {
            return Err(HostError::Label { text: text.into(), part: text.into() });
        }
        Ok(Self::Name(text.into()))
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Host(host) => host.fmt(f),
        }
    }
}
