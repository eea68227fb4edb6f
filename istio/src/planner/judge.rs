//! What a user should know of a service that lanes touch, whatever Istio's objects say.

use crate::failover;
use crate::finding::{Finding, Severity};
use crate::lane::EXCHANGE;
use crate::observed::{Observed, ObservedService, Speaks};
use crate::plan::{Exchange, HostPlan};

/// Whether there can be requests to route.
pub(super) fn speaks_http(service: &ObservedService) -> bool {
    service.ports.iter().any(|port| port.speaks() != Speaks::Other)
}

/// Whether connections are all that there is, and nobody is there but who has some of them or is about to come or to
/// end. Nothing tells who has datagrams.
pub(super) fn is_of_connections(host: &HostPlan, service: &ObservedService) -> bool {
    let has_some = |exchange: &Exchange| {
        let mut ports = service.ports.iter();
        ports.all(|port| !port.udp) && !exchange.ports.is_empty()
    };
    !speaks_http(service)
        && host.subsets.is_empty()
        && host.idle.iter().all(|idle| idle.lane == EXCHANGE)
        && host.exchange.as_ref().is_none_or(has_some)
}

/// Whether proxies can at least put the baseline first. Where there are no requests they need to for an exchange: its
/// pods are nobody else's.
pub(super) fn is_steerable(host: &HostPlan, findings: &[Finding]) -> bool {
    let is_exchanged = failover::lanes_here(host).contains(EXCHANGE);
    let mut refused = findings.iter().filter(|finding| finding.severity() == Severity::Refused);
    refused.all(|finding| is_exchanged && matches!(finding, Finding::PortNotHttp { .. }))
}

/// Judges a service. `has_pods` says whether lanes have pods there, or only refuse.
pub(super) fn service_findings(
    observed: &Observed,
    host: &HostPlan,
    service: &ObservedService,
    has_pods: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = || host.host.clone();
    let speaks = |what| service.ports.iter().find(|port| port.speaks() == what);
    if service.headless && has_pods {
        findings.push(Finding::Headless { host: name() });
    }
    match (speaks(Speaks::Http), speaks(Speaks::Guessed)) {
        (Some(_), _) => {}
        (None, Some(port)) => findings.push(Finding::PortGuessed { host: name(), port: port.number }),
        (None, None) if is_of_connections(host, service) => {}
        (None, None) => {
            let ports: Vec<String> = service.ports.iter().map(ToString::to_string).collect();
            findings.push(Finding::PortNotHttp { host: name(), ports: ports.join(", ") });
        }
    }
    if observed.namespaces.get(host.host.namespace()).is_some_and(|namespace| namespace.ambient) {
        findings.push(Finding::Ambient { host: name() });
    }
    if service.http_routes.in_mesh {
        findings.push(Finding::MeshHttpRoute { host: name() });
    }
    if service.http_routes.from_gateway {
        findings.push(Finding::GatewayHttpRoute { host: name() });
    }
    if host.baseline.workloads.is_empty() && has_pods {
        findings.push(Finding::NoBaseline { host: name() });
    }
    findings
}
