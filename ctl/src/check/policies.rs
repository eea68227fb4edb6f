//! Whether pods of a lane are under the policies that govern the pods they stand in for.
//!
//! Istio and the network choose pods by labels. The copies that a release makes have all labels of their Deployment's
//! pods; those that their owner put in a lane, and agents, have what they were given.

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::Labels;
use canary_istio::lane::LANE_LABEL;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use super::selector::selects;
use super::{Report, Weight};
use crate::cluster::api_failure;
use crate::failure::Failure;
use crate::steer::{Course, Verdict};
use crate::world::{self, Seen};

#[cfg(test)]
mod tests;

/// The kind of the network's own policies.
const NETWORK_POLICY: &str = "NetworkPolicy";
/// Istio's kinds that govern pods.
const ISTIO_KINDS: [(&str, &str); 3] = [
    ("security.istio.io/v1", "AuthorizationPolicy"),
    ("security.istio.io/v1", "RequestAuthentication"),
    ("security.istio.io/v1", "PeerAuthentication"),
];

/// A policy for some pods of a namespace.
struct Policy {
    kind: &'static str,
    namespace: String,
    name: String,
    selector: LabelSelector,
}

pub(super) async fn look(
    client: &Client,
    network: Option<&[NetworkPolicy]>,
    seen: &Seen,
    course: &Course,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut policies = Vec::new();
    match network {
        Some(network) => policies.extend(read_all(NETWORK_POLICY, network)),
        None => unreadable("networkpolicies", "networking.k8s.io", report),
    }
    for (api_version, kind) in ISTIO_KINDS {
        let resource = world::resource(api_version, kind);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match api.list(&ListParams::default()).await {
            Ok(found) => policies.extend(read_all(kind, &found.items)),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                unreadable(&resource.plural, &resource.group, report);
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(api_failure(&format!("list {}", resource.plural), &error)),
        }
    }
    judge(&policies, seen, course, report);
    Ok(())
}

fn read_all<T: Serialize>(kind: &'static str, objects: &[T]) -> impl Iterator<Item = Policy> {
    let objects = objects.iter().filter_map(|object| serde_json::to_value(object).ok());
    objects.filter_map(move |object| Policy::read(kind, &object))
}

fn unreadable(plural: &str, group: &str, report: &mut Report) {
    report.issue(
        "CC309",
        Weight::Info,
        format!("{plural} cannot be read: whether they hold for lane pods is not known"),
        format!("kubectl auth can-i list {plural}.{group} -A must say yes"),
    );
}

impl Policy {
    /// None for one that holds for all pods of its namespace, or for none.
    fn read(kind: &'static str, object: &Value) -> Option<Self> {
        let spec = &object["spec"];
        let selector = if kind == NETWORK_POLICY { &spec["podSelector"] } else { &spec["selector"] };
        if !spec["targetRefs"].is_null() || !spec["targetRef"].is_null() {
            return None;
        }
        let selector = LabelSelector::deserialize(selector).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let is_for_all = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
            && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
        (!is_for_all).then(|| Self {
            kind,
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            selector,
        })
    }

    fn holds_in(&self, namespace: &str, root_namespace: &str) -> bool {
        self.namespace == namespace || (self.kind != NETWORK_POLICY && self.namespace == root_namespace)
    }

    /// What a pod with these labels needs for it.
    fn lacking(&self, labels: &Labels) -> String {
        let exact = self.selector.match_labels.iter().flatten();
        let lacking = exact.filter(|(key, value)| labels.get(*key) != Some(value));
        lacking.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }
}

/// Names each workload of a lane that a policy leaves out although it holds for one that serves everybody else.
fn judge(policies: &[Policy], seen: &Seen, course: &Course, report: &mut Report) {
    let root_namespace = seen.observed.mesh.root_namespace.as_str();
    let mut said = BTreeSet::new();
    let lanes = members(course);
    for service in &seen.observed.services {
        let namespace = service.host.namespace();
        let full = format!("{namespace}/{}", service.host.name());
        let lane_of = |workload: &str| lanes.get(&(full.as_str(), workload)).copied();
        let stable = service.workloads.iter().filter(|workload| {
            lane_of(&workload.name).is_none() && !workload.labels.contains_key(LANE_LABEL)
        });
        let stable: Vec<&Labels> = stable.map(|workload| &workload.labels).collect();
        for policy in policies.iter().filter(|policy| policy.holds_in(namespace, root_namespace)) {
            if !stable.iter().any(|labels| selects(&policy.selector, labels)) {
                continue;
            }
            for workload in &service.workloads {
                let Some(lane) = lane_of(&workload.name) else { continue };
                if selects(&policy.selector, &workload.labels)
                    || !said.insert((policy.kind, &policy.namespace, &policy.name, namespace, &workload.name))
                {
                    continue;
                }
                let lacking = policy.lacking(&workload.labels);
                let labels = if lacking.is_empty() { "what it selects by".to_owned() } else { lacking };
                report.issue(
                    "CC308",
                    Weight::Warning,
                    format!(
                        "{} {}/{} holds for pods of {full}, but not for those of {} in lane {lane}",
                        policy.kind, policy.namespace, policy.name, workload.name
                    ),
                    format!("let it select by labels that all of them have, or give those pods {labels}"),
                );
            }
        }
    }
}

/// The lane of each workload that serves one, by service.
fn members(course: &Course) -> BTreeMap<(&str, &str), &str> {
    let on = course.lanes.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::On(on) => Some((name.as_str(), &on.members)),
        Verdict::Going(_) | Verdict::Refused(_) => None,
    });
    on.flat_map(|(lane, members)| {
        members.iter().map(move |member| ((member.service.as_str(), member.workload.as_str()), lane))
    })
    .collect()
}
