//! Where `tcp` and `tls` routes lead a service's connections.
//!
//! Source: `buildSidecarOutboundTCPFilterChainOpts`, `matchTCP` and `matchTLS` in pilot/pkg/networking/core of Istio
//! (1.31 development, August 2026): routes for a port are read up to the first that takes every connection there.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::hosts::{HostName, MESH_GATEWAY, service_named};
use crate::observed::Object;

#[cfg(test)]
mod tests;

/// Connections at some ports of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connections<'a> {
    pub(crate) host: HostName<'a>,
    pub(crate) ports: &'a BTreeSet<u16>,
}

impl Connections<'_> {
    /// Where a VirtualService leads them, if it leads any elsewhere than to the service at one of these ports.
    /// `covers` says whether it is for that service inside the mesh.
    pub(crate) fn led_past(&self, object: &Object, covers: bool) -> Option<String> {
        ["tcp", "tls"].iter().find_map(|kind| {
            let mut open: Vec<u16> = self.ports.iter().copied().filter(|_| covers).collect();
            let mut routes = list(&object.spec()[*kind]).filter(|route| destinations(route).next().is_some());
            routes.find_map(|route| {
                let is_here = open.iter().any(|port| takes(route, *port).is_some());
                open.retain(|port| takes(route, *port) != Some(Taken::All));
                let past = |to| self.past(to, object.namespace(), is_here, covers);
                destinations(route).find_map(past)
            })
        })
    }

    /// What a destination is, if it is past them. `is_here` says whether they are led there, and `covers` whether they
    /// alone can be.
    fn past(&self, destination: &Value, namespace: &str, is_here: bool, covers: bool) -> Option<String> {
        let name = destination["host"].as_str().unwrap_or_default();
        if service_named(name, namespace) != Some(self.host) {
            return is_here.then(|| name.to_owned());
        }
        let port = destination["port"]["number"].as_u64();
        let is_theirs = port.map(|port| self.ports.iter().any(|one| u64::from(*one) == port));
        match (destination["subset"].as_str().unwrap_or_default(), port) {
            ("", None) => None,
            ("", Some(port)) => (is_here && is_theirs == Some(false)).then(|| format!("port {port}")),
            // Where no port is said, another host's connections are led to that of the same number.
            (subset, _) => (is_here || is_theirs.unwrap_or(!covers)).then(|| format!("subset {subset}")),
        }
    }
}

/// How many of the connections at a port a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Some,
    All,
}

/// Whether sidecars follow a route at a port, if they have one for it.
fn takes(route: &Value, port: u16) -> Option<Taken> {
    let mut matches = list(&route["match"]).peekable();
    if matches.peek().is_none() {
        return Some(Taken::All);
    }
    let is_at = |one: &&Value| {
        let gateways = list(&one["gateways"]).count();
        one["port"].as_u64().is_none_or(|at| at == 0 || at == u64::from(port))
            && (gateways == 0 || list(&one["gateways"]).any(|gateway| gateway == MESH_GATEWAY))
    };
    let every = |one: &Value| {
        let names = ["destinationSubnets", "sniHosts", "sourceLabels", "sourceNamespace"];
        names.iter().all(|name| match &one[*name] {
            Value::Array(list) => list.is_empty(),
            Value::Object(labels) => labels.is_empty(),
            Value::String(text) => text.is_empty(),
            _ => true,
        })
    };
    let fitting: Vec<&Value> = matches.filter(is_at).collect();
    let taken = if fitting.iter().any(|one| every(one)) { Taken::All } else { Taken::Some };
    (!fitting.is_empty()).then_some(taken)
}

/// Where a route leads: one destination has everything, others have what they weigh.
fn destinations(route: &Value) -> impl Iterator<Item = &Value> {
    let is_only = list(&route["route"]).count() == 1;
    let weighted =
        list(&route["route"]).filter(move |one| is_only || one["weight"].as_u64().unwrap_or(0) > 0);
    weighted.map(|one| &one["destination"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
