//! What a user should know of a service that lanes touch, whatever Istio's objects say.

use crate::finding::Finding;
use crate::observed::{Observed, ObservedService, Speaks};
use crate::plan::HostPlan;

/// Whether there can be requests to route.
pub(super) fn speaks_http(service: &ObservedService) -> bool {
    service.ports.iter().any(|port| port.speaks() != Speaks::Other)
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
