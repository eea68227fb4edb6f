//! What the mesh runs: services and the workloads behind them. Knows nothing of lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest DNS label, in bytes (RFC 1123): what a service or namespace may be called.
const DNS_LABEL_BYTES_MAX: usize = 63;
/// Domain behind `name.namespace.svc`, as Istio assumes by default.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";

/// Kubernetes labels of a workload's pods.
pub type Labels = BTreeMap<String, String>;

/// Why a host is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not of the form `name.namespace`.
    #[error("`{text}` is no host: wanted name.namespace, as in cart.shop")]
    Form {
        /// The text as given.
        text: String,
    },
    /// A part is no DNS label.
    #[error("`{part}` in host `{text}` is no DNS label: lower-case letters, digits and `-`, at most 63")]
    Label {
        /// The text as given.
        text: String,
        /// The part that breaks the rule.
        part: String,
    },
}

/// A Service, as the mesh names it: `cart.shop` is service `cart` in namespace `shop`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    namespace: Box<str>,
    name: Box<str>,
}

impl Host {
    /// A host from its two parts.
    ///
    /// # Errors
    /// When a part is no DNS label.
    pub fn new(name: &str, namespace: &str) -> Result<Self, HostError> {
        for part in [name, namespace] {
            if !is_dns_label(part) {
                return Err(HostError::Label { text: format!("{name}.{namespace}"), part: part.into() });
            }
        }
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }

    /// The Service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Service's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The fully qualified name, e.g. `cart.shop.svc.cluster.local`.
    #[must_use]
    pub fn fqdn(&self) -> String {
        format!("{}.{}.svc.{CLUSTER_DOMAIN}", self.name, self.namespace)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

impl FromStr for Host {
    type Err = HostError;

    /// Reads `cart.shop` or the fully qualified form.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let short =
            text.strip_suffix(CLUSTER_DOMAIN).and_then(|rest| rest.strip_suffix(".svc.")).unwrap_or(text);
        let (name, namespace) = short.split_once('.').ok_or_else(|| HostError::Form { text: text.into() })?;
        Self::new(name, namespace)
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

/// A Service with what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in the mesh.
    pub host: Host,
    /// The port that carries HTTP.
    pub port: u16,
    /// What its selector matches.
    pub workloads: Vec<Workload>,
    /// What workloads labelled [`crate::lane::EXCHANGE`] serve of what no lane of it claims, if they serve any.
    pub exchanged: Option<Exchanged>,
    /// Which other services get copies of what no lane of it claims.
    pub copies: Vec<Copies>,
}

/// What somebody has of a service: all requests that no lane claims, and connections that carry none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// The ports of the Service, none of them HTTP, whose connections are theirs.
    pub ports: BTreeSet<u16>,
}

/// Copies of a service's requests for another one, which has the same ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copies {
    /// The other service.
    pub to: Host,
    /// Of how many requests, in hundredths of a percent.
    pub share: u16,
}

/// Pods that share their labels: a Deployment, or one instance on the local mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Unique among the service's workloads.
    pub name: String,
    /// Labels of its pods.
    pub labels: Labels,
}

pub(crate) fn is_dns_label(text: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= DNS_LABEL_BYTES_MAX
        && bytes.first().is_some_and(&word)
        && bytes.last().is_some_and(&word)
        && bytes.iter().all(|b| word(b) || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, ()>) {
        let got = text.parse::<Host>().map(|host| host.fqdn());
        assert_eq!(got.as_deref().map_err(|_| ()), want, "{text}");
    }

    #[test]
    fn a_host_has_a_short_and_a_full_form() {
        check("cart.shop", Ok("cart.shop.svc.cluster.local"));
        check("cart.shop.svc.cluster.local", Ok("cart.shop.svc.cluster.local"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "cart", "cart.", ".shop", "cart.shop.example", "Cart.shop", "-cart.shop", "cart.sh op"]
        {
            check(text, Err(()));
        }
    }
}
