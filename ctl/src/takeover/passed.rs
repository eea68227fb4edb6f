//! Connections that an agent hands on to its Service's own pods, where it is one of that Service's pods itself: they go
//! by a Service of the Takeover's own, which leads to the others alone. A selector cannot leave a pod out, so it has none:
//! EndpointSlices of ours say what Kubernetes' say of the taken Service, without the pods of lanes and agents. Pure.

use std::collections::BTreeSet;

use canary_istio::lane::LANE_LABEL;
use canary_istio::observed::Port;
use canary_istio::{Object, ObservedService};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::selected::{KEPT_BY, SERVICE_LABEL};
use super::{LABEL, Takeover, is_copied, own_port};
use crate::develop::job::MANAGED_BY;

/// Whether a Takeover hands connections on, whatever becomes of it.
#[must_use]
pub fn is_asked_by(takeover: &Value) -> bool {
    takeover["spec"]["connections"].as_array().is_some_and(|ports| !ports.is_empty())
}

/// Why no agent can hand on what comes to a port, if none can.
#[must_use]
pub fn why_not(port: &Port) -> Option<String> {
    port.udp.then(|| format!("its port {port} is UDP, and its packets would meet the agent"))
}

/// Whether connections to a port are handed on whole: nobody looks for requests there.
#[must_use]
pub fn is_passed(port: &Port) -> bool {
    !is_copied(port)
}

/// Why a Takeover's agent is none for a Service's ports, if it is not: for one of them it takes it for another kind.
#[must_use]
pub fn unknown(takeover: &Takeover, service: &ObservedService) -> Option<String> {
    if let Some(why) = service.ports.iter().find_map(why_not) {
        return Some(why);
    }
    let is_known = |port: &Port| takeover.spec.connections.contains(&port.number);
    let port = service.ports.iter().find(|port| is_passed(port) != is_known(port))?;
    Some(match is_passed(port) {
        true => format!("its port {port} is not HTTP, and its agent does not know it: begin anew"),
        false => format!("its agent takes port {port} for one that is not HTTP: begin anew"),
    })
}

/// The Service that leads to the taken one's own pods.
#[must_use]
pub fn onward(takeover: &Takeover, service: &ObservedService) -> Value {
    // It has addresses of whichever families the slices are for.
    takeover.own_manifest(&json!({"ipFamilyPolicy": "PreferDualStack", "ports": ports(service)}))
}

/// What of a Service of [`onward`] is to be written anew, for the taken one says something else by now. One that has lost its
/// last such port keeps it: no Service is without.
#[must_use]
pub fn onward_change(found: &ObservedService, service: &ObservedService) -> Option<Value> {
    let mut passed = service.ports.iter().filter(|port| is_passed(port)).peekable();
    (passed.peek().is_some() && !found.ports.iter().eq(passed))
        .then(|| json!({"spec": {"ports": ports(service)}}))
}

/// The Service's ports; where its pods listen the slices say.
fn ports(service: &ObservedService) -> Value {
    service.ports.iter().filter(|port| is_passed(port)).map(|port| own_port(port, None)).collect()
}

/// Of a namespace's pods, those that connections may go on to: of no lane, and none that ends.
#[must_use]
pub fn own_pods(pods: &[Object]) -> BTreeSet<&str> {
    let is_own = |pod: &&Object| {
        let metadata = &pod.value()["metadata"];
        let lane = metadata["labels"][LANE_LABEL].as_str().unwrap_or_default();
        let is_of_nobody = lane.is_empty() && metadata["labels"][LABEL].is_null();
        // Kubernetes may name it for a moment yet.
        is_of_nobody && metadata["deletionTimestamp"].is_null()
    };
    pods.iter().filter(is_own).map(Object::name).collect()
}

/// The EndpointSlices of a Service of [`onward`]: Kubernetes' of the taken one, with these pods alone.
#[must_use]
pub fn slices(
    takeover: &Takeover,
    onward: &Service,
    found: &[EndpointSlice],
    own_pods: &BTreeSet<&str>,
) -> Vec<EndpointSlice> {
    let metadata = &takeover.metadata;
    let slice = |found: &EndpointSlice| {
        let mut slice = serde_json::to_value(found).ok()?;
        let end = found.name_any();
        let end = end.rsplit('-').next().unwrap_or_default().to_owned();
        let endpoints = slice["endpoints"].as_array_mut()?;
        endpoints.retain(|endpoint| {
            let pod = &endpoint["targetRef"];
            pod["kind"] == "Pod" && pod["name"].as_str().is_some_and(|name| own_pods.contains(name))
        });
        let ports = slice["ports"].as_array_mut()?;
        ports.retain(|port| has_port(onward, port));
        // Pods that lack a port of that name.
        if ports.is_empty() {
            return None;
        }
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-{end}", metadata.name), "namespace": metadata.namespace,
                "labels": {
                    SERVICE_LABEL: metadata.name, KEPT_BY.0: KEPT_BY.1, MANAGED_BY.0: MANAGED_BY.1,
                    LABEL: metadata.name,
                },
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Service", "name": metadata.name, "uid": onward.metadata.uid},
                ],
            },
            "addressType": slice["addressType"], "endpoints": slice["endpoints"], "ports": slice["ports"],
        });
        serde_json::from_value(slice).ok()
    };
    found.iter().filter_map(slice).collect()
}

/// Whether a Service has a port that is called like this one; without a name it is the only one.
fn has_port(service: &Service, port: &Value) -> bool {
    let name = port["name"].as_str().unwrap_or_default();
    let mut ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.any(|own| own.name.as_deref().unwrap_or_default() == name)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;
    use crate::takeover::KIND;
    use crate::world::{MeshConfigs, World};

    fn cart() -> ObservedService {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"selector": {"app": "cart"}, "ports": [
                {"name": "http", "port": 80}, {"name": "db", "port": 5432, "targetPort": "pg", "appProtocol": "tcp"},
            ]},
        });
        let world = World { objects: vec![service] }.see(&MeshConfigs::default()).expect("a world");
        world.observed.services.into_iter().next().expect("a service")
    }

    fn takeover() -> Takeover {
        let document = json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": KIND,
            "metadata": {"name": "cart-exchange", "namespace": "shop", "uid": "u-1"},
            "spec": {
                "service": "cart", "ports": [80, 5432], "connections": [5432], "mode": "exchange",
                "owner": {"user": "alice"},
            },
        });
        Takeover::deserialize(&document).expect("a takeover")
    }

    #[test]
    fn connections_go_on_to_the_services_own_pods_alone() {
        let pod = |name: &str, labels: Value| {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "shop", "labels": labels},
            });
            Object::new(pod).expect("a pod")
        };
        let mut ending = pod("cart-0", json!({"app": "cart"})).value().clone();
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let pods = [
            Object::new(ending).expect("a pod"),
            pod("cart-1", json!({"app": "cart"})),
            pod("cart-gray", json!({"app": "cart", LANE_LABEL: "gray"})),
            pod("agent", json!({"app": "cart", LANE_LABEL: "exchange", LABEL: "cart-exchange"})),
        ];
        // One that nobody has heard of yet may be an agent.
        let endpoints: Vec<Value> = ["cart-1", "cart-0", "cart-gray", "agent", "new"]
            .iter()
            .zip(1..)
            .map(|(name, at)| {
                json!({
                    "addresses": [format!("10.0.0.{at}")], "conditions": {"ready": true}, "nodeName": "n",
                    "targetRef": {"kind": "Pod", "name": name, "namespace": "shop"},
                })
            })
            .collect();
        let found = json!({
            "metadata": {"name": "cart-x7k2p"}, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "db", "port": 5433, "protocol": "TCP"}],
        });
        let found: EndpointSlice = serde_json::from_value(found).expect("a slice");
        let (takeover, service) = (takeover(), cart());
        let made = onward(&takeover, &service);
        let mut written = made.clone();
        written["metadata"]["uid"] = "s-1".into();
        let written: Service = serde_json::from_value(written).expect("a Service");
        let slices = slices(&takeover, &written, &[found], &own_pods(&pods));
        insta::assert_yaml_snapshot!((made, slices));
    }
}
