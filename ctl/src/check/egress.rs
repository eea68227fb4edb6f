//! Whether proxies may fetch the filter, as far as NetworkPolicies say.
//!
//! Istio's agent fetches it, from beside the proxy and not through it: no `Sidecar` and no outbound traffic policy
//! of Istio's stands in its way, for the agent's user is exempt from redirection. What the network itself forbids
//! does. A plugin that cannot be fetched fails open: the pod's requests lose their tags.

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::plugins::{FilterSource, Presence};
use canary_istio::{Labels, Object};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use kube::{Api, Client};

use super::{Report, Weight};
use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::names;
use crate::settings::Installation;
use policy::Target;

mod policy;
#[cfg(test)]
mod tests;

/// Most pods that a finding names.
const NAMED_MAX: usize = 3;

pub(super) async fn look(
    client: &Client,
    pods: &[Object],
    policies: Option<&[NetworkPolicy]>,
    report: &mut Report,
) -> Result<(), Failure> {
    let installed = Installation::read(client, names::NAMESPACE).await;
    let installed = installed.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    let Some((Installation { presence, .. }, _)) = installed else { return Ok(()) };
    let Some(policies) = policies else {
        report.issue(
            "CC306",
            Weight::Info,
            "NetworkPolicies cannot be read: whether proxies may fetch the filter is not known",
            "kubectl auth can-i list networkpolicies.networking.k8s.io -A must say yes",
        );
        return Ok(());
    };
    let namespaces = Api::<Namespace>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let namespaces = namespaces.map_err(|error| api_failure("list namespaces", &error))?.items;
    let namespaces = namespaces.into_iter().map(|namespace| {
        (namespace.metadata.name.unwrap_or_default(), namespace.metadata.labels.unwrap_or_default())
    });
    judge(&presence, pods, policies, &namespaces.collect(), report);
    Ok(())
}

/// Pods that are kept from the filter's source, and the policies that keep them.
#[derive(Default)]
struct CutOff<'a> {
    pods: Vec<&'a str>,
    policies: BTreeSet<&'a str>,
}

/// Names each namespace with pods whose NetworkPolicies keep them from the filter's source.
fn judge(
    presence: &Presence,
    pods: &[Object],
    policies: &[NetworkPolicy],
    namespaces: &BTreeMap<String, Labels>,
    report: &mut Report,
) {
    let mut cut_off: BTreeMap<(&str, &str), CutOff<'_>> = BTreeMap::new();
    for pod in pods {
        let Some(source) = source_of(presence, pod) else { continue };
        let labels = labels(pod);
        let binding: Vec<&NetworkPolicy> =
            policies.iter().filter(|policy| policy::binds(policy, pod.namespace(), &labels)).collect();
        let target = Target::of(&source.url);
        if binding.is_empty() || binding.iter().any(|policy| policy::allows(policy, &target, namespaces)) {
            continue;
        }
        let entry = cut_off.entry((pod.namespace(), &source.url)).or_default();
        entry.pods.push(pod.name());
        entry.policies.extend(binding.iter().filter_map(|policy| policy.metadata.name.as_deref()));
    }
    for ((namespace, url), CutOff { pods, policies }) in cut_off {
        let named: Vec<&str> = pods.iter().take(NAMED_MAX).copied().collect();
        let more = match pods.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let policies: Vec<&str> = policies.into_iter().collect();
        report.issue(
            "CC305",
            Weight::Warning,
            format!(
                "NetworkPolicies of {namespace} ({}) do not let pods fetch the filter from {url}: {}{more}; one that \
                 starts there loses tags",
                policies.join(", "),
                named.join(", ")
            ),
            Target::of(url).to_mend(namespace),
        );
    }
}

/// Where a pod's proxy gets the filter; none for one that does not run it.
fn source_of<'a>(presence: &'a Presence, pod: &Object) -> Option<&'a FilterSource> {
    let labels = labels(pod);
    if !pod.value()["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let is_edge = presence.edges.iter().any(|edge| {
        edge.namespace == pod.namespace()
            && edge.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    });
    let is_meshed = labels.contains_key(super::mesh::SIDECAR_LABEL);
    let is_chosen =
        presence.namespaces.is_empty() || presence.namespaces.iter().any(|name| name == pod.namespace());
    match (is_edge, is_meshed && is_chosen) {
        (true, _) => Some(&presence.gateway_filter),
        (false, true) => Some(&presence.sidecar_filter),
        (false, false) => None,
    }
}

fn labels(pod: &Object) -> Labels {
    let all = pod.value()["metadata"]["labels"].as_object().into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
