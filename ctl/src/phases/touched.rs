//! Which services a change is about.

use std::collections::BTreeSet;

use canary_istio::{Action, Change, Host, SubsetName, own};
use serde_json::Value;

/// The services whose lanes' subsets a change makes or leads to: for these no client has rules of its own. What goes
/// leaves no trace in it, and nothing depends on its arrival but the collecting minutes later.
pub(super) fn hosts(change: &Change) -> BTreeSet<Host> {
    let mut hosts = BTreeSet::new();
    let body = match &change.action {
        Action::Create { body } | Action::Replace { body } => body,
        Action::Patch { merge } => merge,
        Action::Delete => return hosts,
    };
    let namespace = change.object.namespace.as_str();
    let subsets = body["spec"]["subsets"].as_array();
    if subsets.into_iter().flatten().any(|subset| is_a_lanes(&subset["name"])) {
        hosts.extend(own::service_of(&change.object.name, namespace));
    }
    collect(&body["spec"]["http"], namespace, &mut hosts);
    hosts
}

fn collect(value: &Value, namespace: &str, hosts: &mut BTreeSet<Host>) {
    if let Some(host) = value["host"].as_str().filter(|_| is_a_lanes(&value["subset"])) {
        let full = if host.contains('.') { host.parse() } else { Host::new(host, namespace) };
        hosts.extend(full);
    }
    let fields = value.as_object().into_iter().flat_map(|fields| fields.values());
    let items = value.as_array().into_iter().flatten();
    fields.chain(items).for_each(|inner| collect(inner, namespace, hosts));
}

fn is_a_lanes(subset: &Value) -> bool {
    subset.as_str().is_some_and(SubsetName::is_ours)
}

#[cfg(test)]
mod tests {
    use canary_istio::{Expects, ObjectRef, Phase};
    use serde_json::json;

    use super::*;

    fn check(kind: &str, name: &str, action: Action, want: &[&str]) {
        let change = Change {
            phase: Phase::Routes,
            api_version: "networking.istio.io/v1".into(),
            object: ObjectRef { kind: kind.into(), namespace: "shop".into(), name: name.into() },
            action,
            expects: Expects::Unversioned,
            notes: Vec::new(),
        };
        let hosts: Vec<String> = hosts(&change).iter().map(ToString::to_string).collect();
        assert_eq!(hosts, want);
    }

    #[test]
    fn a_users_object_is_about_whom_its_routes_lead_to_by_subset() {
        let route = |host: &str| json!({"route": [{"destination": {"host": host, "subset": "canary-gray"}}]});
        let http = json!([route("stock"), route("price.other.svc.cluster.local"), {"route": [{"destination": {"host": "web"}}]}]);
        let merge = json!({"spec": {"http": http}});
        check("VirtualService", "entry", Action::Patch { merge }, &["price.other", "stock.shop"]);
    }

    #[test]
    fn a_rule_of_ours_is_about_its_service_once_it_has_a_lanes_subset() {
        let rule = |subset: &str| json!({"spec": {"subsets": [{"name": subset}]}});
        check(
            "DestinationRule",
            "canaryctl-stock",
            Action::Create { body: rule("canary-gray") },
            &["stock.shop"],
        );
        check("DestinationRule", "canaryctl-stock", Action::Create { body: rule("m7") }, &[]);
        check("DestinationRule", "canaryctl-stock", Action::Create { body: json!({"spec": {}}) }, &[]);
        check("DestinationRule", "canaryctl-stock", Action::Delete, &[]);
        check("WasmPlugin", "canaryctl-edge-0", Action::Patch { merge: json!({"spec": {}}) }, &[]);
    }
}
