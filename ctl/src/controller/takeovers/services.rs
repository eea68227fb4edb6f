//! The Services that Takeovers have of their own: those that get copies of other ones' requests, and those that lead to
//! the taken one's own pods. They are made before anything leads there, kept as the taken one is, owned by their Takeover,
//! and go with it.

use std::collections::BTreeMap;

use canary_istio::{Host, Object, ObservedService};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{RunError, failed};
use crate::names::FIELD_MANAGER;
use crate::takeover::{By, Mode, Ruling, Takeover, is_copied, passed, ports, receiver, selected};
use crate::world::Seen;

/// Why Takeovers have none, by their namespace and name.
pub(in crate::controller) type Unmade = BTreeMap<(String, String), String>;

/// Makes those that are not there. One that the API server does not let be, as by a quota, keeps nothing else back.
pub(in crate::controller) async fn make(client: &Client, seen: &Seen) -> Result<Unmade, RunError> {
    let mut unmade = Unmade::new();
    for object in &seen.takeovers {
        let Some(Ruling::On(takeover)) = super::ruling(seen, object) else { continue };
        let due = match (takeover.spec.by, takeover.spec.mode) {
            (By::Selector, _) => baseline_due(takeover, &seen.taken),
            (By::Routes, Mode::Mirror) => receiver_due(takeover, &seen.observed.services),
            (By::Routes, Mode::Mesh | Mode::Exchange) => onward_due(takeover, &seen.observed.services),
        };
        let Some(due) = due else { continue };
        let api: Api<Service> = Api::namespaced(client.clone(), object.namespace());
        let written = match due {
            Due::Made(service) => {
                let service = serde_json::from_value(service).map_err(kube::Error::SerdeError);
                let service: Service = service.map_err(|error| failed(object, error))?;
                let params =
                    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
                api.create(&params, &service).await
            }
            Due::Changed(patch) => {
                let params =
                    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
                api.patch(object.name(), &params, &Patch::Merge(patch)).await
            }
        };
        match written {
            Ok(_) => {}
            // The next run sees what is there.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            Err(kube::Error::Api(status)) if [403, 422].contains(&status.code) => {
                unmade.insert((object.namespace().to_owned(), object.name().to_owned()), status.message);
            }
            Err(error) => return Err(failed(object, error)),
        }
    }
    Ok(unmade)
}

/// What is to be written of a Service.
#[derive(Debug, PartialEq)]
enum Due {
    Made(Value),
    Changed(Value),
}

/// What it takes for a Takeover's copies to be received; nothing where that is so.
fn receiver_due(takeover: &Takeover, services: &[ObservedService]) -> Option<Due> {
    let (service, found) = with_its_own(takeover, services)?;
    let Some(found) = found else { return Some(Due::Made(receiver(takeover, service))) };
    let copied = service.ports.iter().filter(|port| is_copied(port));
    let is_so = found.ports.iter().eq(copied);
    (!is_so).then(|| Due::Changed(json!({"spec": {"ports": ports(takeover, service)}})))
}

/// What it takes for a Takeover's agent to hand connections on; nothing where that is so.
fn onward_due(takeover: &Takeover, services: &[ObservedService]) -> Option<Due> {
    let (service, found) = with_its_own(takeover, services)?;
    let Some(found) = found else { return Some(Due::Made(passed::onward(takeover, service))) };
    passed::onward_change(found, service).map(Due::Changed)
}

/// The service that is taken, and the Takeover's own if it is there; none where it has none.
fn with_its_own<'s>(
    takeover: &Takeover,
    services: &'s [ObservedService],
) -> Option<(&'s ObservedService, Option<&'s ObservedService>)> {
    let to = takeover.own_service()?;
    let of = Host::new(&takeover.spec.service, &takeover.metadata.namespace).ok()?;
    let find = |host: &Host| services.iter().find(|service| service.host == *host);
    Some((find(&of)?, find(&to)))
}

/// What it takes for a Takeover's agent to reach who was there before; nothing where that is so.
fn baseline_due(takeover: &Takeover, taken: &[Object]) -> Option<Due> {
    let find = |name| selected::find(taken, &takeover.metadata.namespace, name).map(Object::value);
    let service = find(&takeover.spec.service)?;
    let Some(found) = find(&takeover.metadata.name) else {
        return Some(Due::Made(selected::baseline(takeover, service)));
    };
    selected::baseline_change(found, service).map(Due::Changed)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;
    use crate::world::{MeshConfigs, World};

    fn services(more: Vec<Value>) -> Vec<ObservedService> {
        let cart = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"selector": {"app": "cart"}, "ports": [{"name": "http", "port": 80}, {"name": "tcp-a", "port": 9}]},
        });
        let objects = std::iter::once(cart).chain(more).collect();
        World { objects }.see(&MeshConfigs::default()).expect("a world").observed.services
    }

    fn takeover(mode: &str) -> Takeover {
        let document = json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Takeover",
            "metadata": {"name": "cart-mirror-alice", "namespace": "shop", "uid": "u-1"},
            "spec": {"service": "cart", "ports": [80], "mode": mode, "owner": {"user": "alice"}},
        });
        Takeover::deserialize(&document).expect("a takeover")
    }

    #[test]
    fn a_way_on_is_made_once_and_follows_the_services_ports() {
        let mut mesh = takeover("mesh");
        let cart = services(vec![]);
        assert_eq!(onward_due(&mesh, &cart), None, "there is nothing to hand on");
        mesh.spec.connections = vec![9];
        let Some(Due::Made(made)) = onward_due(&mesh, &cart) else { panic!("it is to be made") };
        assert_eq!(onward_due(&mesh, &services(vec![made.clone()])), None);
        let mut older = made.clone();
        older["spec"]["ports"][0]["port"] = 8.into();
        let ports = json!([{"name": "tcp-a", "port": 9, "protocol": "TCP"}]);
        let changed = Due::Changed(json!({"spec": {"ports": ports}}));
        assert_eq!(onward_due(&mesh, &services(vec![older])), Some(changed));
        let mut without = services(vec![made]);
        let cart = without.iter_mut().find(|service| service.host.name() == "cart").expect("it is there");
        cart.ports.retain(|port| port.number != 9);
        assert_eq!(onward_due(&mesh, &without), None, "no Service is without ports");
    }

    #[test]
    fn a_receiver_is_made_once_and_follows_the_services_ports() {
        let mirror = takeover("mirror");
        let Some(Due::Made(made)) = receiver_due(&mirror, &services(vec![])) else {
            panic!("it is to be made")
        };
        assert_eq!(receiver_due(&mirror, &services(vec![made.clone()])), None);
        let mut older = made;
        older["spec"]["ports"][0]["port"] = 81.into();
        let ports = json!([{"name": "http", "port": 80, "targetPort": 15800, "protocol": "TCP"}]);
        let changed = Due::Changed(json!({"spec": {"ports": ports}}));
        assert_eq!(receiver_due(&mirror, &services(vec![older])), Some(changed));
        assert_eq!(receiver_due(&takeover("exchange"), &services(vec![])), None);
    }
}
