//! The mesh as manifests describe it: what `render` plans against where there is no cluster.

use std::collections::HashMap;

use serde_json::Value;

use super::{Distribution, HttpRoutes, Namespace, Object, ObjectError, Observed, ObservedService, Port};
use crate::failover;
use crate::lane::TAKEOVER_LABEL;
use crate::service::{Host, HostError, Labels, Workload};

#[cfg(test)]
mod tests;

/// Namespace of objects that state none.
const NAMESPACE_DEFAULT: &str = "default";

/// What manifests hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests {
    /// What a plan looks at.
    pub observed: Observed,
    /// Objects of kinds that no plan looks at, Lanes among them.
    pub rest: Vec<Object>,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A Service that cannot be called so.
    #[error("Service {namespace}/{name} has no name that DNS could hold")]
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: HostError,
    },
}

/// Reads manifests: Services, workloads, Namespaces, HTTPRoutes, VirtualServices and DestinationRules.
/// Lists are opened. A namespaced object that states no namespace is in `default`.
///
/// # Errors
/// The first document that is no object.
pub fn read(documents: impl IntoIterator<Item = Value>) -> Result<Manifests, ManifestError> {
    let mut found = Found::default();
    for document in documents {
        found.take(document)?;
    }
    found.join()
}

/// Objects by what they are for, before they are joined.
#[derive(Default)]
struct Found {
    services: Vec<Object>,
    workloads: HashMap<String, Vec<Workload>>,
    http_routes: Vec<Object>,
    manifests: Manifests,
}

impl Found {
    fn take(&mut self, mut document: Value) -> Result<(), ManifestError> {
        if let Some(items) = document.get_mut("items").and_then(Value::as_array_mut) {
            for item in std::mem::take(items) {
                self.take(item)?;
            }
            return Ok(());
        }
        let kind = document["kind"].as_str().unwrap_or_default().to_owned();
        let of_cluster = matches!(kind.as_str(), "Namespace" | "Lane" | "Release" | "");
        if !of_cluster && document["metadata"]["namespace"].is_null() && document["metadata"].is_object() {
            document["metadata"]["namespace"] = NAMESPACE_DEFAULT.into();
        }
        let object = Object::new(document)?;
        let observed = &mut self.manifests.observed;
        if !object.namespace().is_empty() {
            observed.namespaces.entry(object.namespace().to_owned()).or_default();
        }
        match kind.as_str() {
            "Service" => self.services.push(object),
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                let labels = labels(&object.spec()["template"]["metadata"]["labels"]);
                self.add_workload(&object, labels);
            }
            "ReplicaSet" if !is_owned(&object) => {
                let labels = labels(&object.spec()["template"]["metadata"]["labels"]);
                self.add_workload(&object, labels);
            }
            "Pod" if !is_owned(&object) || is_agent(&object) => {
                let mut labels = labels(&object.value()["metadata"]["labels"]);
                // What we put there says nothing of what its owner wants.
                failover::labelled(object.value()).for_each(|key| drop(labels.remove(key)));
                self.add_workload(&object, labels);
            }
            "ReplicaSet" | "Pod" => {}
            "Namespace" => {
                let ambient = object.value()["metadata"]["labels"]["istio.io/dataplane-mode"] == "ambient";
                observed.namespaces.insert(object.name().into(), Namespace { ambient });
            }
            "HTTPRoute" | "GRPCRoute" => self.http_routes.push(object),
            "VirtualService" => observed.virtual_services.push(object),
            "DestinationRule" => observed.destination_rules.push(object),
            "WasmPlugin" => observed.edge.push(object),
            _ => self.manifests.rest.push(object),
        }
        Ok(())
    }

    fn add_workload(&mut self, object: &Object, labels: Labels) {
        let workload = Workload { name: object.name().into(), labels };
        self.workloads.entry(object.namespace().into()).or_default().push(workload);
    }

    fn join(mut self) -> Result<Manifests, ManifestError> {
        let mut services = Vec::with_capacity(self.services.len());
        for object in &self.services {
            let spec = object.spec();
            if spec["type"] == "ExternalName" {
                continue;
            }
            let (namespace, name) = (object.namespace(), object.name());
            let failed =
                |source| ManifestError::Service { namespace: namespace.into(), name: name.into(), source };
            let host = Host::new(name, namespace).map_err(failed)?;
            let mut selector = labels(&spec["selector"]);
            if selector.len() > 1 {
                // One that leads to an agent is its owner's all the same.
                selector.remove(TAKEOVER_LABEL);
            }
            let in_namespace = self.workloads.get(namespace).map_or(&[][..], Vec::as_slice);
            let selected = in_namespace.iter().filter(|workload| selects(&selector, &workload.labels));
            services.push(ObservedService {
                ports: spec["ports"].as_array().into_iter().flatten().filter_map(port).collect(),
                headless: spec["clusterIP"] == "None",
                workloads: selected.cloned().collect(),
                http_routes: http_routes(&host, &self.http_routes),
                distribution: distribution(object),
                exchanged: None,
                copies: Vec::new(),
                host,
                selector,
            });
        }
        self.manifests.observed.services = services;
        Ok(self.manifests)
    }
}

fn is_owned(object: &Object) -> bool {
    object.value()["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty())
}

fn is_agent(pod: &Object) -> bool {
    pod.value()["metadata"]["labels"][TAKEOVER_LABEL].is_string()
}

fn labels(value: &Value) -> Labels {
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    value.as_object().into_iter().flatten().filter_map(text).collect()
}

/// An empty selector selects nothing: such a Service has endpoints by hand.
fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn port(value: &Value) -> Option<Port> {
    Some(Port {
        name: value["name"].as_str().map(Into::into),
        number: u16::try_from(value["port"].as_u64()?).ok()?,
        app_protocol: value["appProtocol"].as_str().map(Into::into),
        udp: value["protocol"] == "UDP",
    })
}

fn distribution(service: &Object) -> Option<Distribution> {
    let annotation = &service.value()["metadata"]["annotations"]["networking.istio.io/traffic-distribution"];
    let said = annotation.as_str().or_else(|| service.spec()["trafficDistribution"].as_str())?;
    match said.to_ascii_lowercase().as_str() {
        "preferclose" | "prefersamezone" => Some(Distribution::SameZone),
        "prefersamenode" => Some(Distribution::SameNode),
        _ => None,
    }
}

fn http_routes(host: &Host, routes: &[Object]) -> HttpRoutes {
    let mut found = HttpRoutes::default();
    for route in routes {
        let names = |reference: &Value, kind: &str| {
            reference["kind"].as_str().unwrap_or(kind) == "Service"
                && reference["name"] == host.name()
                && reference["namespace"].as_str().unwrap_or(route.namespace()) == host.namespace()
        };
        let parents = || route.spec()["parentRefs"].as_array().into_iter().flatten();
        found.in_mesh |= parents().any(|parent| names(parent, "Gateway"));
        let has_gateway = parents().any(|parent| parent["kind"].as_str().unwrap_or("Gateway") == "Gateway");
        let rules = route.spec()["rules"].as_array().into_iter().flatten();
        let mut backends = rules.flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten());
        found.from_gateway |= has_gateway && backends.any(|backend| names(backend, "Service"));
    }
    found
}
