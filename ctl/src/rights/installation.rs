//! Rules of `install` and `uninstall`, from what an installation consists of.

use std::collections::BTreeSet;
use std::time::Duration;

use canary_istio::plugins::{EdgeGateway, FilterSource, Presence};
use serde_json::Value;

use super::command::{PURGING, WITHOUT_WEBHOOK};
use super::group::{ADMISSION, APPS, DEFINITIONS, ISTIO, OURS, PLUGINS, RBAC};
use super::{Rule, Whose, reading};
use crate::failure::{Code, Failure};
use crate::install::{Plan, Secrets};
use crate::names::{CONTROLLER, FILTER_SERVER, NAMESPACE, ROOT_NAMESPACE, SETTINGS, TRACE, WEBHOOK};
use crate::settings::Installation;
use crate::world;

/// What it writes, what it grants its controller, for nobody may grant what they have not, and what it looks at.
pub(super) fn install() -> Result<Vec<Rule>, Failure> {
    let plan = example();
    let objects = plan.objects(&Secrets::new(&plan.namespace)?);
    let objects = objects.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    let mut rules = BTreeSet::new();
    for object in &objects {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = world::resource(&text(&object["apiVersion"]), &text(&object["kind"]));
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        let written = Rule::new(&resource.group, &resource.plural, &["create", "patch"]);
        rules.insert(Rule { namespace: namespace.clone(), ..written });
        rules.extend(granted(object, namespace.as_deref()));
    }
    rules.extend(reading::settings());
    rules.extend(reading::istiods());
    rules.extend([
        Rule::new("", "namespaces", &["get"]),
        Rule::new("", "secrets", &["get"]).within(NAMESPACE).named(WEBHOOK),
        Rule::new(PLUGINS, "wasmplugins", &["get"]).within(ROOT_NAMESPACE),
        Rule::new(APPS, "deployments", &["list", "watch"]).within(NAMESPACE),
        Rule::new(ISTIO, "destinationrules", &["get", "list", "update"]),
        Rule::new("", "pods", &["get", "list"]),
    ]);
    rules.extend([
        Rule::new(ADMISSION, "mutatingwebhookconfigurations", &["delete"]).named(WEBHOOK).of(WITHOUT_WEBHOOK),
        Rule::new("", "secrets", &["delete"]).within(NAMESPACE).named(WEBHOOK).of(WITHOUT_WEBHOOK),
        Rule::new("", "services", &["delete"]).within(NAMESPACE).named(WEBHOOK).of(WITHOUT_WEBHOOK),
    ]);
    Ok(rules.into_iter().collect())
}

/// What a role of ours grants.
fn granted(role: &Value, namespace: Option<&str>) -> Vec<Rule> {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rules = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        // A webhook has rules of another kind.
        let verbs = list(&rule["verbs"]);
        let names: Vec<Option<String>> = match list(&rule["resourceNames"]) {
            names if names.is_empty() => vec![None],
            names => names.into_iter().map(Some).collect(),
        };
        for group in list(&rule["apiGroups"]).iter().filter(|_| !verbs.is_empty()) {
            for resource in list(&rule["resources"]) {
                let of = |name: &Option<String>| Rule {
                    namespace: namespace.map(str::to_owned),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                    verbs: verbs.clone(),
                    whose: Whose::All,
                };
                rules.extend(names.iter().map(of));
            }
        }
    }
    rules
}

/// Who uninstalls where no controller is left to give Services back.
const WITH_SELECTED: Whose = Whose::Saying("where an exchange outside the mesh was left behind");

pub(super) fn uninstall() -> Vec<Rule> {
    let own = |group: &str, resource: &str, name: &str| {
        Rule::new(group, resource, &["delete"]).within(NAMESPACE).named(name)
    };
    let mut rules = reading::world(&["list"]);
    rules.extend(reading::settings());
    rules.extend(reading::istiods());
    rules.extend([
        Rule::new(OURS, "lanes", &["get", "watch", "delete", "patch"]),
        Rule::new(OURS, "takeovers", &["watch", "delete", "patch"]),
        Rule::new(OURS, "releases", &["patch"]),
        Rule::new(ISTIO, "virtualservices", &["update", "patch", "delete"]),
        Rule::new(ISTIO, "destinationrules", &["get", "update", "patch", "delete", "create"]),
        Rule::new(PLUGINS, "wasmplugins", &["update", "patch", "delete"]),
        Rule::new("", "pods", &["get", "patch"]),
        Rule::new("", "pods/status", &["patch"]),
        Rule::new(DEFINITIONS, "customresourcedefinitions", &["get"]).named("lanes.canaryctl.io"),
        Rule::new(ADMISSION, "mutatingwebhookconfigurations", &["list", "delete"]),
        Rule::new(ADMISSION, "validatingadmissionpolicies", &["list", "delete"]),
        Rule::new(ADMISSION, "validatingadmissionpolicybindings", &["list", "delete"]),
        Rule::new(RBAC, "clusterroles", &["list", "delete"]),
        Rule::new(RBAC, "clusterrolebindings", &["list", "delete"]),
        Rule::new(APPS, "deployments", &["get"]).within(NAMESPACE).named(CONTROLLER),
        own(APPS, "deployments", CONTROLLER),
        own(APPS, "deployments", FILTER_SERVER),
        own("", "services", FILTER_SERVER),
        own("", "services", WEBHOOK),
        own("", "secrets", WEBHOOK),
        own("", "secrets", TRACE),
        own("policy", "poddisruptionbudgets", FILTER_SERVER),
        own("policy", "poddisruptionbudgets", CONTROLLER),
        own("", "serviceaccounts", CONTROLLER),
        own("coordination.k8s.io", "leases", CONTROLLER),
        own("", "configmaps", SETTINGS),
    ]);
    for resource in ["roles", "rolebindings"] {
        rules.push(own(RBAC, resource, CONTROLLER));
        rules.push(Rule::new(RBAC, resource, &["delete"]).within(ROOT_NAMESPACE).named(CONTROLLER));
    }
    rules.extend([
        Rule::new("", "services", &["patch"]).of(WITH_SELECTED),
        Rule::new("discovery.k8s.io", "endpointslices", &["list", "delete"]).of(WITH_SELECTED),
        Rule::new("", "namespaces", &["watch", "delete"]).of(PURGING),
        Rule::new(DEFINITIONS, "customresourcedefinitions", &["list", "watch", "delete"]).of(PURGING),
    ]);
    rules
}

/// An installation like any other: which rights it takes does not depend on its details.
fn example() -> Plan {
    let source = FilterSource { url: String::new(), sha256: String::new(), pull_secret: None };
    let presence = Presence {
        root_namespace: ROOT_NAMESPACE.into(),
        edges: vec![EdgeGateway { namespace: ROOT_NAMESPACE.into(), labels: [].into() }],
        namespaces: Vec::new(),
        gateway_filter: source.clone(),
        sidecar_filter: source,
    };
    Plan {
        namespace: NAMESPACE.into(),
        image: String::new(),
        installation: Installation::new(presence),
        collect_after: Duration::ZERO,
        serves_filter: true,
        webhook: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::rights;

    #[test]
    fn what_an_installation_writes_and_grants_is_asked_for() {
        let rights: Vec<String> =
            rights(&install().expect("rules")).iter().map(ToString::to_string).collect();
        for wanted in [
            "create customresourcedefinitions.apiextensions.k8s.io",
            "patch wasmplugins.extensions.istio.io in istio-system",
            "create secrets in canaryctl-system",
            "create mutatingwebhookconfigurations.admissionregistration.k8s.io",
            "delete virtualservices.networking.istio.io",
            "create pods/portforward in istio-system",
            "route lanes.canaryctl.io",
            "update leases.coordination.k8s.io canaryctl-controller in canaryctl-system",
        ] {
            assert!(rights.iter().any(|right| right == wanted), "{wanted} in {rights:#?}");
        }
    }
}
