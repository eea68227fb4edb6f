//! What a NetworkPolicy lets a pod reach. Pure.
//!
//! Addresses are not compared: what an `ipBlock` names may well be the filter's source.

use std::collections::BTreeMap;

use canary_istio::Labels;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::check::selector::selects;
use crate::names;

/// Label that every namespace has, with its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Port of a URL that names none.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What has to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The namespace of a Service in the cluster.
    namespace: Option<String>,
    /// Labels of its pods, where they are known.
    labels: Option<Labels>,
    /// The port; none where only the Service's is known, not that of its pods.
    port: Option<u16>,
}

impl Target {
    /// What a URL leads to.
    pub(super) fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let port = port.parse().unwrap_or(if scheme == "http" { HTTP } else { HTTPS });
        let mut parts = host.split('.');
        let (service, namespace) = (parts.next().unwrap_or_default(), parts.next());
        if parts.next() != Some("svc") {
            return Self { namespace: None, labels: None, port: Some(port) };
        }
        let is_ours = service == names::FILTER_SERVER && namespace == Some(names::NAMESPACE);
        let own = || Labels::from([("app.kubernetes.io/name".to_owned(), names::FILTER_SERVER.to_owned())]);
        Self {
            namespace: namespace.map(str::to_owned),
            labels: is_ours.then(own),
            port: is_ours.then_some(port),
        }
    }

    /// What lets pods of a namespace reach it.
    pub(super) fn to_mend(&self, namespace: &str) -> String {
        match (&self.namespace, self.port) {
            (Some(target), Some(port)) => format!(
                "allow egress from {namespace} to namespace {target} ({NAME_LABEL}: {target}), TCP port {port}, and to DNS"
            ),
            (Some(target), None) => {
                format!(
                    "allow egress from {namespace} to namespace {target} ({NAME_LABEL}: {target}), and to DNS"
                )
            }
            (None, port) => format!(
                "allow egress from {namespace} to the registry's addresses, TCP port {}, and to DNS; or serve the \
                 filter from within the cluster",
                port.unwrap_or(HTTPS)
            ),
        }
    }
}

/// Whether a policy limits what a pod may reach.
pub(super) fn binds(policy: &NetworkPolicy, namespace: &str, labels: &Labels) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let limits = match spec.policy_types.as_deref() {
        Some(types) if !types.is_empty() => types.iter().any(|kind| kind == "Egress"),
        _ => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    };
    let selected = spec.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels));
    limits && selected && policy.metadata.namespace.as_deref() == Some(namespace)
}

/// Whether a policy lets the pods that it binds reach the target.
pub(super) fn allows(policy: &NetworkPolicy, target: &Target, namespaces: &BTreeMap<String, Labels>) -> bool {
    let own = policy.metadata.namespace.as_deref().unwrap_or_default();
    let rules = policy.spec.as_ref().and_then(|spec| spec.egress.as_deref()).unwrap_or_default();
    rules.iter().any(|rule| {
        let (ports, peers) = (rule.ports.as_deref(), rule.to.as_deref());
        let (ports, peers) = (ports.unwrap_or_default(), peers.unwrap_or_default());
        (ports.is_empty() || ports.iter().any(|port| is_port(port, target)))
            && (peers.is_empty() || peers.iter().any(|peer| is_peer(peer, target, own, namespaces)))
    })
}

fn is_port(allowed: &NetworkPolicyPort, target: &Target) -> bool {
    if allowed.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return false;
    }
    let Some(wanted) = target.port.map(i32::from) else { return true };
    match (&allowed.port, allowed.end_port) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), Some(last)) => (*first..=last).contains(&wanted),
        (Some(IntOrString::Int(port)), None) => *port == wanted,
        // The name that the filter server's pods give their port.
        (Some(IntOrString::String(name)), _) => target.labels.is_some() && name == "http",
    }
}

fn is_peer(
    peer: &NetworkPolicyPeer,
    target: &Target,
    own: &str,
    namespaces: &BTreeMap<String, Labels>,
) -> bool {
    if peer.ip_block.is_some() {
        return true;
    }
    let Some(namespace) = &target.namespace else { return false };
    let in_namespace = match &peer.namespace_selector {
        None => namespace == own,
        Some(selector) => {
            let mut labels = namespaces.get(namespace).cloned().unwrap_or_default();
            labels.insert(NAME_LABEL.to_owned(), namespace.clone());
            selects(selector, &labels)
        }
    };
    let is_pod = match (&peer.pod_selector, &target.labels) {
        (Some(selector), Some(labels)) => selects(selector, labels),
        _ => true,
    };
    in_namespace && is_pod
}
