//! How Istio reads the names in its objects: short names, wildcards, who an object is exported to.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::service::{CLUSTER_DOMAIN, Host, is_dns_label};

#[cfg(test)]
mod tests;

/// The gateway name that means every sidecar.
pub(crate) const MESH_GATEWAY: &str = "mesh";

/// A Service's name and namespace, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostName<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> From<&'a Host> for HostName<'a> {
    fn from(host: &'a Host) -> Self {
        Self { namespace: host.namespace(), name: host.name() }
    }
}

/// What a name in an Istio object stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// A Service of the cluster.
    Service(HostName<'a>),
    /// `web.shop`: it looks like a Service, but Istio looks for exactly these letters.
    HalfQualified(HostName<'a>),
    /// Every host that ends so, e.g. `.shop.svc.cluster.local`, or empty for all.
    Wildcard(&'a str),
    /// A name outside the cluster's.
    Foreign,
}

/// Reads a name that stands in an object of a namespace.
///
/// Source: `ResolveShortnameToFQDN` in pilot/pkg/model: a name without dots is a Service of the object's
/// namespace; any other is taken as it is.
pub(crate) fn named<'a>(name: &'a str, namespace: &'a str) -> Named<'a> {
    if let Some(rest) = name.strip_prefix('*') {
        return Named::Wildcard(rest);
    }
    if !name.contains('.') {
        return Named::Service(HostName { namespace, name });
    }
    let short = name.strip_suffix(CLUSTER_DOMAIN).and_then(|rest| rest.strip_suffix(".svc."));
    let two = |text: &'a str| {
        let (name, namespace) = text.split_once('.')?;
        (is_dns_label(name) && is_dns_label(namespace)).then_some(HostName { namespace, name })
    };
    match short {
        Some(short) => two(short).map_or(Named::Foreign, Named::Service),
        None => two(name).map_or(Named::Foreign, Named::HalfQualified),
    }
}

/// The Service that a name stands for, if it stands for one.
pub(crate) fn service_named<'a>(name: &'a str, namespace: &'a str) -> Option<HostName<'a>> {
    match named(name, namespace) {
        Named::Service(host) => Some(host),
        _ => None,
    }
}

/// Who sees an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exported {
    /// Every namespace.
    Everywhere,
    /// These.
    To(BTreeSet<String>),
}

impl Exported {
    /// Who sees an object of a namespace with this `exportTo`. One that says nothing is taken to be for all.
    pub(crate) fn of(export_to: &Value, namespace: &str) -> Self {
        let said: Vec<&str> = export_to.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if said.is_empty() || said.contains(&"*") {
            return Self::Everywhere;
        }
        let to = said.iter().filter(|to| **to != "~");
        Self::To(to.map(|to| if *to == "." { namespace } else { to }.to_owned()).collect())
    }

    /// Adds those who see another object.
    pub(crate) fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::To(mine), Self::To(theirs)) => mine.extend(theirs.iter().cloned()),
            (Self::To(_), Self::Everywhere) => *self = Self::Everywhere,
            (Self::Everywhere, _) => {}
        }
    }

    /// Whether a namespace sees both this and the other.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::To(mine), Self::To(theirs)) => !mine.is_disjoint(theirs),
            (Self::To(some), Self::Everywhere) | (Self::Everywhere, Self::To(some)) => !some.is_empty(),
            (Self::Everywhere, Self::Everywhere) => true,
        }
    }
}
