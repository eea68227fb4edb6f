//! A reference of which subsets and policy a client of a service gets from DestinationRules.
//!
//! Source: `destinationRule`, `mergeDestinationRule` in pilot/pkg/model and `SidecarScope.DestinationRule`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::hosts::{HostName, Named, named};
use crate::observed::{Object, Observed};
use crate::service::CLUSTER_DOMAIN;

/// What one client gets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Effective {
    pub(crate) policy: Value,
    pub(crate) subsets: Vec<Value>,
}

impl Effective {
    pub(crate) fn has(&self, subset: &str) -> bool {
        self.subsets.iter().any(|one| one["name"] == subset)
    }
}

type Exports = BTreeSet<String>;

/// Rules for one host name in one namespace, merged where Istio merges them.
struct Merged {
    exports: Exports,
    effective: Effective,
}

pub(crate) fn effective(observed: &Observed, client: &str, host: HostName) -> Effective {
    let root = observed.mesh.root_namespace.as_str();
    let mut rules: Vec<&Object> = observed.destination_rules.iter().collect();
    rules.sort_by_key(|rule| (rule.created(), rule.name()));
    let in_client = |rule: &Object| {
        let exports = exports(rule);
        rule.namespace() == client
            && (client != root || exports == Exports::from([".".to_owned()]))
            && (exports.is_empty() || [".", "*", client].iter().any(|name| exports.contains(*name)))
    };
    let local = most_specific(rules.iter().copied().filter(|rule| in_client(rule)), host);
    if let Some(last) = local.last() {
        return last.effective.clone();
    }
    for namespace in [host.namespace, root] {
        let private = |rule: &Object| {
            let exports = exports(rule);
            exports.len() == 1 && (exports.contains(".") || exports.contains(namespace))
        };
        let exported = rules.iter().copied().filter(|rule| rule.namespace() == namespace && !private(rule));
        let visible = most_specific(exported, host);
        let mut visible = visible.iter().filter(|merged| {
            merged.exports.is_empty() || merged.exports.contains("*") || merged.exports.contains(client)
        });
        if let Some(last) = visible.next_back() {
            return last.effective.clone();
        }
    }
    Effective::default()
}

fn exports(rule: &Object) -> Exports {
    let list = rule.spec()["exportTo"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(Into::into).collect()
}

/// The merged rules of the most specific host name.
fn most_specific<'a>(rules: impl Iterator<Item = &'a Object>, host: HostName) -> Vec<Merged> {
    let fqdn = format!("{}.{}.svc.{CLUSTER_DOMAIN}", host.name, host.namespace);
    let fits = |rule: &Object| match named(rule.spec()["host"].as_str().unwrap_or_default(), rule.namespace())
    {
        Named::Service(name) if name == host => Some(usize::MAX),
        Named::Wildcard(suffix) if fqdn.ends_with(suffix) => Some(suffix.len()),
        _ => None,
    };
    let fitting: Vec<(usize, &Object)> = rules.filter_map(|rule| Some((fits(rule)?, rule))).collect();
    let best = fitting.iter().map(|(length, _)| *length).max();
    let mut merged: Vec<Merged> = Vec::new();
    for (_, rule) in fitting.into_iter().filter(|(length, _)| Some(*length) == best) {
        merge(&mut merged, rule);
    }
    merged
}

fn merge(list: &mut Vec<Merged>, rule: &Object) {
    let incoming = exports(rule);
    let subsets = || rule.spec()["subsets"].as_array().into_iter().flatten();
    let mut separately = true;
    for existing in &mut *list {
        let joins = !existing.exports.is_empty() && incoming.is_superset(&existing.exports);
        if incoming != existing.exports && !joins {
            separately = true;
            continue;
        }
        separately = false;
        for subset in subsets() {
            if !existing.effective.has(subset["name"].as_str().unwrap_or_default()) {
                existing.effective.subsets.push(subset.clone());
            }
        }
        if existing.effective.policy.is_null() {
            existing.effective.policy = rule.spec()["trafficPolicy"].clone();
        }
    }
    if separately {
        let effective =
            Effective { policy: rule.spec()["trafficPolicy"].clone(), subsets: subsets().cloned().collect() };
        list.push(Merged { exports: incoming, effective });
    }
}
