//! The Service that gets copies of another one's requests for a Takeover: its only pods are the agent's.

use canary_istio::ObservedService;
use canary_istio::observed::{Port, Speaks};
use serde_json::{Value, json};

use super::{LABEL, Takeover, own_port};

/// Where the agent's pod listens for the first port that is taken; the next ones follow.
pub(super) const POD_PORT_FIRST: u16 = 15_800;
/// Where nobody listens: for ports that are not taken. Without them their requests would come by the only port there is.
const POD_PORT_NOBODYS: u16 = 15_799;

/// Whether there are requests at a port that copies can be made of.
#[must_use]
pub fn is_copied(port: &Port) -> bool {
    port.speaks() != Speaks::Other
}

/// Where the agent's pod listens for a port of the service.
#[must_use]
pub fn pod_port(takeover: &Takeover, number: u16) -> u16 {
    let at = takeover.spec.ports.iter().position(|taken| *taken == number);
    let at = at.and_then(|at| u16::try_from(at).ok());
    at.map_or(POD_PORT_NOBODYS, |at| POD_PORT_FIRST.saturating_add(at))
}

/// The receiver's ports: those of the service at which there are requests.
pub(crate) fn ports(takeover: &Takeover, service: &ObservedService) -> Value {
    let own = |port| own_port(port, Some(pod_port(takeover, port.number)));
    service.ports.iter().filter(|port| is_copied(port)).map(own).collect()
}

/// The receiver, which goes with its Takeover.
pub(crate) fn receiver(takeover: &Takeover, service: &ObservedService) -> Value {
    let selector = json!({LABEL: takeover.metadata.name});
    takeover.own_manifest(&json!({"selector": selector, "ports": ports(takeover, service)}))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use canary_rules::lane::API_VERSION;

    use super::super::KIND;
    use super::*;
    use crate::world::{MeshConfigs, World};

    #[test]
    fn it_has_the_services_ports_of_requests_and_the_agents_pods_alone() {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"selector": {"app": "cart"}, "ports": [
                {"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-raw", "port": 9000},
                {"name": "rpc", "port": 81, "appProtocol": "grpc"},
            ]},
        });
        let world = World { objects: vec![service] }.see(&MeshConfigs::default()).expect("a world");
        let takeover = Takeover::deserialize(&json!({
            "apiVersion": API_VERSION, "kind": KIND,
            "metadata": {"name": "cart-mirror-alice", "namespace": "shop", "uid": "u-1"},
            "spec": {"service": "cart", "ports": [81], "mode": "mirror", "owner": {"user": "alice"}},
        }));
        let service = receiver(&takeover.expect("a takeover"), &world.observed.services[0]);
        insta::assert_yaml_snapshot!(service);
    }
}
