//! Services that are taken by their selector, where no proxy routes: a key of ours in it leaves it none of their pods,
//! EndpointSlices of ours lead to the agent, and a Service of the Takeover's own leads where the selector did. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use canary_istio::Object;
use canary_istio::service::Labels;
use serde_json::{Value, json};

use super::copied::POD_PORT_FIRST;
use super::{KIND, LABEL, Takeover};
use crate::develop::job::MANAGED_BY;

/// The label of an EndpointSlice that says whose endpoints it has.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// The label of one that says who keeps it: Kubernetes leaves those of others alone.
pub const KEPT_BY: (&str, &str) = ("endpointslice.kubernetes.io/managed-by", "canaryctl.io");
/// What the ports of an agent's pod are called that are for a port of the Service: this and its number.
const PORT_PREFIX: &str = "port-";
/// What a name of ours ends in that is for addresses of IPv6.
const IPV6_END: &str = "-6";

/// The pod that a Service is to lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Its addresses, one of a family at the most.
    pub addresses: Vec<String>,
    /// Where it listens, by the Service's port.
    pub ports: BTreeMap<u16, u16>,
}

/// Whether a Takeover is by its Service's selector, whatever becomes of it.
#[must_use]
pub fn is_asked_by(takeover: &Value) -> bool {
    takeover["spec"]["by"] == "selector"
}

/// A Service among these by its namespace and name.
#[must_use]
pub fn find<'a>(services: &'a [Object], namespace: &str, name: &str) -> Option<&'a Object> {
    services.iter().find(|service| service.namespace() == namespace && service.name() == name)
}

/// Of all objects, the Services that Takeovers are about: those that are taken by their selector, and those that are
/// called as a Takeover is.
pub fn of(objects: &[Value]) -> impl Iterator<Item = &Value> {
    let place = |object: &Value, name: &Value| {
        Some((object["metadata"]["namespace"].as_str()?.to_owned(), name.as_str()?.to_owned()))
    };
    let takeovers = objects.iter().filter(|object| object["kind"] == KIND);
    let named: BTreeSet<_> = takeovers
        .flat_map(|takeover| {
            let taken =
                is_asked_by(takeover).then(|| place(takeover, &takeover["spec"]["service"])).flatten();
            [taken, place(takeover, &takeover["metadata"]["name"])]
        })
        .flatten()
        .collect();
    let services = objects.iter().filter(|object| object["kind"] == "Service");
    services.filter(move |service| {
        holder(service).is_some()
            || place(service, &service["metadata"]["name"]).is_some_and(|place| named.contains(&place))
    })
}

/// What selects a Service's own pods, whoever has it.
#[must_use]
pub fn own_selector(service: &Value) -> Labels {
    let mut all = selector(service);
    if all.len() > 1 {
        all.remove(LABEL);
    }
    all
}

/// The name of the Takeover that has a Service by its selector, if one does.
#[must_use]
pub fn holder(service: &Value) -> Option<&str> {
    let selector = service["spec"]["selector"].as_object()?;
    // Alone it is how a Service of ours selects an agent.
    selector.get(LABEL).filter(|_| selector.len() > 1)?.as_str()
}

/// Why a Service cannot be taken by its selector, if it cannot.
#[must_use]
pub fn why_not(service: &Value) -> Option<String> {
    let spec = &service["spec"];
    if own_selector(service).is_empty() {
        return Some("it selects no pods, so its requests cannot be led elsewhere".into());
    }
    if spec["clusterIP"] == "None" {
        return Some("it is headless: clients pick its pods themselves".into());
    }
    if let Some(takeover) = service["metadata"]["labels"][LABEL].as_str() {
        return Some(format!("it is made for takeover {takeover}, and goes with it"));
    }
    for field in ["internalTrafficPolicy", "externalTrafficPolicy"] {
        if spec[field] == "Local" {
            return Some(format!(
                "its {field} is Local: on nodes without the agent its requests would get no answer"
            ));
        }
    }
    let other =
        ports(service).find(|port| port["protocol"].as_str().is_some_and(|protocol| protocol != "TCP"))?;
    let (name, protocol) = (other["name"].as_str().unwrap_or_default(), other["protocol"].as_str()?);
    Some(format!("its port {name}:{} is {protocol}, and a tunnel carries TCP", other["port"]))
}

/// What the agent's pod calls the port that is for this one of the Service, and its number: the ports of a Service have
/// one each, in their order.
#[must_use]
pub fn pod_port(index: u16, number: u16) -> (String, u16) {
    (format!("{PORT_PREFIX}{number}"), POD_PORT_FIRST.saturating_add(index))
}

/// The Service's port that a port of the agent's pod is for, as its name says.
#[must_use]
pub fn served(name: &str) -> Option<u16> {
    name.strip_prefix(PORT_PREFIX)?.parse().ok()
}

/// The Service that leads where the taken one's selector did.
#[must_use]
pub fn baseline(takeover: &Takeover, service: &Value) -> Value {
    let mut spec = json!({"selector": own_selector(service), "ports": own_ports(service)});
    if service["spec"]["publishNotReadyAddresses"] == true {
        spec["publishNotReadyAddresses"] = true.into();
    }
    takeover.own_manifest(&spec)
}

/// What of a Service of [`baseline`] is to be written anew, for the taken one says something else by now.
#[must_use]
pub fn baseline_change(found: &Value, service: &Value) -> Option<Value> {
    let (wanted, ports) = (own_selector(service), own_ports(service));
    if selector(found) == wanted && own_ports(found) == ports {
        return None;
    }
    let mut patch = json!({"spec": {"selector": wanted, "ports": ports}});
    for gone in selector(found).keys().filter(|key| !wanted.contains_key(*key)) {
        patch["spec"]["selector"][gone] = Value::Null;
    }
    Some(patch)
}

/// What has a Service of [`baseline`] stay for as long as an agent's pod does, which hands on to it to its end; nothing
/// where that is so.
#[must_use]
pub fn kept_for(found: &Value, pod: &Pod) -> Option<Value> {
    let mut owners = found["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    if owners.iter().any(|owner| owner["uid"] == *pod.uid) {
        return None;
    }
    owners.push(json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}));
    Some(json!({"metadata": {"ownerReferences": owners}}))
}

/// The EndpointSlices by which a Service leads to an agent's pod: one for each family of addresses that it has.
///
/// # Errors
/// With the port of the Service that the agent does not serve, for it is newer.
pub fn slices(takeover: &Takeover, service: &Value, pod: &Pod) -> Result<Vec<Value>, u64> {
    let metadata = &takeover.metadata;
    let mut led = Vec::new();
    for port in ports(service) {
        let number = port["port"].as_u64().unwrap_or_default();
        let own = u16::try_from(number).ok().and_then(|number| pod.ports.get(&number)).ok_or(number)?;
        let mut slice_port = json!({
            "name": port["name"].as_str().unwrap_or_default(), "port": own, "protocol": "TCP",
        });
        if let Some(spoken) = port["appProtocol"].as_str() {
            slice_port["appProtocol"] = spoken.into();
        }
        led.push(slice_port);
    }
    let slice = |address: &String| {
        let (family, end) = match address.parse().ok()? {
            IpAddr::V4(_) => ("IPv4", ""),
            IpAddr::V6(_) => ("IPv6", IPV6_END),
        };
        Some(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}{end}", metadata.name), "namespace": metadata.namespace,
                "labels": {
                    SERVICE_LABEL: takeover.spec.service, KEPT_BY.0: KEPT_BY.1, MANAGED_BY.0: MANAGED_BY.1,
                    LABEL: metadata.name,
                },
                "ownerReferences": [takeover.owner_reference()],
            },
            "addressType": family,
            // Whether its laptop is there or not, it has an answer.
            "endpoints": [{
                "addresses": [address],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "namespace": metadata.namespace, "name": pod.name, "uid": pod.uid},
            }],
            "ports": led,
        }))
    };
    Ok(pod.addresses.iter().filter_map(slice).collect())
}

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service["spec"]["ports"].as_array().into_iter().flatten()
}

/// A Service's ports, without what is the cluster's alone to say.
fn own_ports(service: &Value) -> Value {
    let port = |port: &Value| {
        let mut own = port.clone();
        own.as_object_mut()?.shift_remove("nodePort");
        Some(own)
    };
    ports(service).filter_map(port).collect()
}

fn selector(service: &Value) -> Labels {
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    service["spec"]["selector"].as_object().into_iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use canary_rules::lane::API_VERSION;
    use serde::Deserialize as _;

    use super::*;

    fn takeover() -> Takeover {
        let document = json!({
            "apiVersion": API_VERSION, "kind": KIND,
            "metadata": {"name": "cart-exchange", "namespace": "shop", "uid": "u-1"},
            "spec": {
                "service": "cart", "ports": [80], "mode": "exchange", "by": "selector", "owner": {"user": "alice"},
            },
        });
        Takeover::deserialize(&document).expect("a takeover")
    }

    fn pod() -> Pod {
        Pod {
            name: "agent-1".into(),
            uid: "p-1".into(),
            addresses: vec!["10.0.0.7".into(), "fd00::7".into()],
            ports: BTreeMap::from([(80, 15_800)]),
        }
    }

    /// A Service that has been taken.
    fn cart() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {
                "type": "NodePort", "selector": {"app": "cart", LABEL: "cart-exchange"},
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080, "protocol": "TCP", "appProtocol": "http"},
                    {"name": "db", "port": 5432, "targetPort": 5432, "nodePort": 30432, "protocol": "TCP"},
                ],
            },
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Value {
        let mut service = cart();
        change(&mut service);
        service
    }

    #[test]
    fn what_is_made_leads_to_the_agent_and_to_who_was_there() {
        let (takeover, cart) = (takeover(), cart());
        let pod = &Pod { ports: BTreeMap::from([(80, 15_800), (5432, 15_801)]), ..pod() };
        let baseline = baseline(&takeover, &cart);
        let slices = slices(&takeover, &cart, pod).expect("every port is served");
        insta::assert_yaml_snapshot!((&baseline, slices));
        assert_eq!(baseline_change(&baseline, &cart), None);
        let later =
            changed(|cart| cart["spec"]["selector"] = json!({"app": "cart", "track": "b", LABEL: "x"}));
        let change = baseline_change(&baseline, &later).expect("a change");
        assert_eq!(change["spec"]["selector"], json!({"app": "cart", "track": "b"}));
        let renamed = changed(|cart| cart["spec"]["selector"] = json!({"name": "cart"}));
        let change = baseline_change(&baseline, &renamed).expect("a change");
        assert_eq!(change["spec"]["selector"], json!({"name": "cart", "app": null}));
        let kept = kept_for(&baseline, pod).expect("one owner more");
        assert_eq!(kept["metadata"]["ownerReferences"][1]["uid"], "p-1");
        let mut owned = baseline;
        owned["metadata"]["ownerReferences"] = kept["metadata"]["ownerReferences"].clone();
        assert_eq!(kept_for(&owned, pod), None);
    }

    #[test]
    fn a_port_that_the_agent_does_not_know_is_named() {
        assert_eq!(slices(&takeover(), &cart(), &pod()), Err(5432));
        assert_eq!(served(&pod_port(1, 5432).0), Some(5432));
        assert_eq!((served("health"), served("port-x")), (None, None));
    }

    #[test]
    fn who_has_a_service_is_seen_by_its_selector() {
        assert_eq!(holder(&cart()), Some("cart-exchange"));
        assert_eq!(own_selector(&cart()), Labels::from([("app".to_owned(), "cart".to_owned())]));
        let receiver = changed(|cart| cart["spec"]["selector"] = json!({LABEL: "cart-mirror-alice"}));
        assert_eq!(holder(&receiver), None);
        assert_eq!(own_selector(&receiver).len(), 1);
    }

    #[test]
    fn services_that_takeovers_are_about_are_found_wherever_they_are() {
        let named = |name: &str| {
            changed(|cart| {
                cart["metadata"]["name"] = name.into();
                cart["spec"]["selector"] = json!({"app": name});
            })
        };
        let takeover = serde_json::to_value(takeover()).expect("JSON");
        let mut other = named("cart");
        other["metadata"]["namespace"] = "elsewhere".into();
        let objects = [takeover, named("cart"), named("cart-exchange"), named("stock"), other, cart()];
        let found: Vec<&Value> = of(&objects).collect();
        assert_eq!(found, [&objects[1], &objects[2], &objects[5]]);
    }

    #[test]
    fn what_could_be_taken_only_in_part_is_refused() {
        assert_eq!(why_not(&cart()), None);
        for (change, says) in [
            (json!({"spec": {"selector": {}}}), "it selects no pods"),
            (json!({"spec": {"clusterIP": "None"}}), "it is headless"),
            (json!({"spec": {"internalTrafficPolicy": "Local"}}), "its internalTrafficPolicy is Local"),
            (json!({"spec": {"externalTrafficPolicy": "Local"}}), "its externalTrafficPolicy is Local"),
            (
                json!({"spec": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}}),
                "its port dns:53 is UDP",
            ),
            (json!({"metadata": {"labels": {LABEL: "a"}}}), "it is made for takeover a"),
        ] {
            let service = changed(|cart| {
                for part in ["spec", "metadata"] {
                    for (key, value) in change[part].as_object().into_iter().flatten() {
                        cart[part][key] = value.clone();
                    }
                }
            });
            let why = why_not(&service).expect("it cannot be");
            assert!(why.starts_with(says), "{why}");
        }
    }
}
