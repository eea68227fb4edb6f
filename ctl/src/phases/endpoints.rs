//! The pods of lanes that Kubernetes sends requests to: who is led to a lane must find them, and an istiod that has just lost
//! the API server may not know them yet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use canary_istio::lane::LANE_LABEL;
use canary_istio::service::Labels;
use canary_istio::{ObjectRef, ObservedService};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::arrival::{ArrivalError, ReadyPod, addresses, is_ready};
use crate::takeover::selected::SERVICE_LABEL;

/// How long Kubernetes is given to send requests to pods that are ready. One that it does not name by then gets none.
const NAMED_WITHIN: Duration = Duration::from_secs(10);
/// How long after a pod has become ready that is waited for, in seconds: one that is not named by then never is.
const NEW_FOR_S: i64 = 30;
/// Shortest and longest pause before is looked again whether it does.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);
/// How many services an API server is asked for by their names.
const ASKED_BY_NAME_MAX: usize = 32;

/// The pods of lanes that are endpoints of these services. Waits for those that have become ready and are none yet.
///
/// # Errors
/// When the API server cannot be asked.
pub(super) async fn of_lanes(
    client: &Client,
    services: &[&ObservedService],
) -> Result<Vec<ReadyPod>, ArrivalError> {
    let deadline = Instant::now() + NAMED_WITHIN;
    let mut pause = LOOK_EVERY_MIN;
    let mut by_namespace: BTreeMap<&str, Vec<&ObservedService>> = BTreeMap::new();
    for service in services {
        by_namespace.entry(service.host.namespace()).or_default().push(service);
    }
    loop {
        let mut named = Vec::new();
        let mut is_whole = true;
        for (namespace, services) in &by_namespace {
            let failed = |source| ArrivalError::Api {
                tried: format!("list the pods of lanes in namespace {namespace}"),
                source: Box::new(source),
            };
            let there = There::look(client, namespace, services).await.map_err(failed)?;
            for service in services {
                let (of_service, all) = there.of(service);
                named.extend(of_service);
                is_whole &= all;
            }
        }
        if is_whole || Instant::now() >= deadline {
            return Ok(named);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_EVERY_MAX);
    }
}

/// What there is in a namespace.
struct There {
    /// Pods of lanes that are ready.
    pods: Vec<Pod>,
    /// The pods that services have as endpoints, and whether there is a port to call them at.
    endpoints: BTreeMap<String, BTreeMap<String, bool>>,
}

impl There {
    async fn look(
        client: &Client,
        namespace: &str,
        services: &[&ObservedService],
    ) -> Result<Self, kube::Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pods = pods.list(&ListParams::default().labels(LANE_LABEL)).await?.items;
        if pods.is_empty() {
            return Ok(Self::of_lists(pods, &[]));
        }
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        let mut which = ListParams::default();
        if services.len() <= ASKED_BY_NAME_MAX {
            let names: Vec<&str> = services.iter().map(|service| service.host.name()).collect();
            which = which.labels(&format!("{SERVICE_LABEL} in ({})", names.join(",")));
        }
        Ok(Self::of_lists(pods, &slices.list(&which).await?.items))
    }

    fn of_lists(mut pods: Vec<Pod>, slices: &[EndpointSlice]) -> Self {
        pods.retain(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
        let mut endpoints: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
        for slice in slices {
            let Some(service) = slice.labels().get(SERVICE_LABEL) else { continue };
            let has_ports = slice.ports.as_ref().is_some_and(|ports| !ports.is_empty());
            let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
            let ready = slice
                .endpoints
                .iter()
                .filter(|one| one.conditions.as_ref().is_none_or(|conditions| is_ready(conditions.ready)));
            for name in ready.filter_map(|one| one.target_ref.as_ref()?.name.clone()) {
                *endpoints.entry(service.clone()).or_default().entry(name).or_default() |= has_ports;
            }
        }
        Self { pods, endpoints }
    }

    /// Those of a service, and whether there are none to wait for.
    fn of(&self, service: &ObservedService) -> (Vec<ReadyPod>, bool) {
        let own = self.pods.iter().filter(|pod| selects(&service.selector, pod));
        let endpoints = self.endpoints.get(service.host.name());
        let has_ports = |pod: &Pod| endpoints.and_then(|all| all.get(&pod.name_any())).copied();
        let (named, others): (Vec<&Pod>, Vec<&Pod>) = own.partition(|pod| has_ports(pod).is_some());
        let called = named.into_iter().filter(|pod| has_ports(pod) == Some(true));
        (called.map(ready).collect(), !others.into_iter().any(is_new))
    }
}

/// Whether a pod has become ready just now, as far as is said.
fn is_new(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut since = conditions
        .filter(|one| one.type_ == "Ready")
        .filter_map(|one| one.last_transition_time.as_ref().map(|time| time.0.as_second()));
    since.next().is_none_or(|since| Timestamp::now().as_second() - since <= NEW_FOR_S)
}

fn selects(selector: &Labels, pod: &Pod) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
}

fn ready(pod: &Pod) -> ReadyPod {
    let namespace = pod.namespace().unwrap_or_default();
    ReadyPod {
        pod: ObjectRef { kind: "Pod".into(), namespace, name: pod.name_any() },
        addresses: addresses(pod),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::world::{MeshConfigs, World};

    fn stock() -> ObservedService {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "stock", "namespace": "shop"},
            "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 80}]},
        });
        let world = World { objects: vec![service] }.see(&MeshConfigs::default()).expect("a world");
        world.observed.services.into_iter().next().expect("a service")
    }

    fn pod(name: &str, app: &str, is_ready: bool) -> Pod {
        since(name, app, is_ready, Timestamp::now())
    }

    fn since(name: &str, app: &str, is_ready: bool, time: Timestamp) -> Pod {
        let status = if is_ready { "True" } else { "False" };
        let ready = json!({"type": "Ready", "status": status, "lastTransitionTime": time.to_string()});
        let pod = json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": app, LANE_LABEL: "gray"}},
            "status": {"podIPs": [{"ip": "10.0.0.7"}], "conditions": [ready]},
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn slice(service: &str, names: &[(&str, bool)], ports: Value) -> EndpointSlice {
        let endpoints: Vec<Value> = names
            .iter()
            .map(|(name, is_ready)| {
                json!({
                    "addresses": ["10.0.0.7"], "conditions": {"ready": is_ready},
                    "targetRef": {"kind": "Pod", "name": name},
                })
            })
            .collect();
        let slice = json!({
            "metadata": {"name": "s", "labels": {SERVICE_LABEL: service}}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": ports,
        });
        serde_json::from_value(slice).expect("a slice")
    }

    #[track_caller]
    fn check(pods: Vec<Pod>, slices: &[EndpointSlice], named: &[&str], is_whole: bool) {
        let (found, all) = There::of_lists(pods, slices).of(&stock());
        let found: Vec<&str> = found.iter().map(|ready| ready.pod.name.as_str()).collect();
        assert_eq!((found.as_slice(), all), (named, is_whole));
    }

    #[test]
    fn pods_of_lanes_count_once_requests_are_sent_to_them() {
        let port = || json!([{"port": 80}]);
        let ours = || vec![pod("a", "stock", true)];
        check(ours(), &[slice("stock", &[("a", true)], port())], &["a"], true);
        check(ours(), &[], &[], false);
        check(ours(), &[slice("stock", &[("a", false)], port())], &[], false);
        check(ours(), &[slice("cart", &[("a", true)], port())], &[], false);
        check(ours(), &[slice("stock", &[("a", true)], json!([]))], &[], true);
        check(vec![pod("a", "stock", false), pod("b", "cart", true)], &[], &[], true);
        let long_ago = Timestamp::from_second(1).expect("a time");
        check(vec![since("a", "stock", true, long_ago)], &[], &[], true);
    }
}
