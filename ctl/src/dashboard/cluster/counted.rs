//! Asks the proxies of a cluster what they have counted, while somebody looks at the page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use canary_istio::plugins::ROLE_LABEL;
use canary_istio::{Labels, Object};
use futures_util::{StreamExt as _, stream};
use kube::Client;
use tokio::sync::watch;

use super::{NO_PAGE, SIDECAR_ANNOTATION};
use crate::dashboard::Picture;
use crate::dashboard::service_graph::id;
use crate::dashboard::traffic::{self, Counted, GATEWAY, History, LOOK_EVERY, Proxy, Traffic};
use crate::pod_port::PodPort;
use crate::world::{MeshConfigs, Seen, Watched};

/// The port at which Envoy answers callers from its own pod.
const ADMIN_PORT: u16 = 15000;
/// Most proxies that are asked.
const PROXIES_MAX: usize = 200;
/// How many are asked at a time.
const ASKED_AT_ONCE: usize = 8;

/// A proxy that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    namespace: String,
    pod: String,
    /// Whose calls it counts.
    from: String,
}

/// Looks again and again. Never ends.
pub(super) async fn keep(
    client: Client,
    watched: &Watched,
    shown: &watch::Sender<Arc<Picture>>,
    counted: &watch::Sender<Counted>,
) {
    let mut history = History::default();
    loop {
        let next = Instant::now() + LOOK_EVERY;
        if shown.receiver_count() <= NO_PAGE {
            history = History::default();
        } else if let Ok(seen) = watched.world().see(&MeshConfigs::default()) {
            let asked = asked(&seen);
            let (proxies, silent) = look(&client, &asked).await;
            let lacks = lacks(asked.len(), &silent, proxies.values().any(|proxy| !proxy.to.is_empty()));
            history.add(Instant::now(), proxies);
            let traffic = Traffic { edges: history.edges(), lacks };
            counted.send_replace(Counted { traffic, calls: history.calls() });
        }
        tokio::time::sleep_until(next.into()).await;
    }
}

/// What proxies have counted, and why others do not say.
async fn look(client: &Client, asked: &[Asked]) -> (BTreeMap<String, Proxy>, Vec<String>) {
    let answers = stream::iter(asked.iter().take(PROXIES_MAX).cloned())
        .map(|asked| async move {
            let Asked { namespace, pod, from } = asked;
            let answer = PodPort::new(client, &namespace, &pod, ADMIN_PORT).get(traffic::PATH).await;
            let read = answer.map(|answer| Proxy::read(&from, &String::from_utf8_lossy(&answer)));
            (format!("{namespace}/{pod}"), read)
        })
        .buffer_unordered(ASKED_AT_ONCE);
    let answers: Vec<(String, Result<Proxy, String>)> = answers.collect().await;
    let mut proxies = BTreeMap::new();
    let mut silent = Vec::new();
    for (name, read) in answers {
        match read {
            Ok(proxy) => _ = proxies.insert(name, proxy),
            Err(why) => silent.push(format!("{name}: {why}")),
        }
    }
    (proxies, silent)
}

/// What is not known, in words.
fn lacks(all: usize, silent: &[String], is_counted: bool) -> Option<String> {
    match silent.first() {
        Some(why) => Some(format!("{} of {all} proxies do not tell what they count: {why}", silent.len())),
        None if all > PROXIES_MAX => Some(format!("This is what {PROXIES_MAX} of {all} proxies count.")),
        None if all > 0 && !is_counted => Some(
            "No proxy counts its calls: Istio's metrics are off, and proxyStatsMatcher leaves out cluster.outbound."
                .into(),
        ),
        None => None,
    }
}

/// The proxies of services' pods and of edges' gateways; first one of each service.
fn asked(seen: &Seen) -> Vec<Asked> {
    let has = |labels: &Labels, object: &Object| {
        labels.iter().all(|(key, value)| object.value()["metadata"]["labels"][key] == value.as_str())
    };
    let edges = seen.observed.edge.iter();
    let edges = edges.filter(|plugin| plugin.value()["metadata"]["labels"][ROLE_LABEL] == "edge");
    let gateways = edges.filter_map(|plugin| {
        let selector = &plugin.spec()["selector"]["matchLabels"];
        Some((plugin.namespace(), serde_json::from_value(selector.clone()).ok()?))
    });
    let gateways: Vec<(&str, Labels)> = gateways.collect();
    let of_pod = |pod: &Object| {
        let namespace = pod.namespace();
        let is_gateway = gateways.iter().any(|(place, labels)| *place == namespace && has(labels, pod));
        let is_sidecar = pod.value()["metadata"]["annotations"][SIDECAR_ANNOTATION].is_string();
        let services = seen.observed.services.iter().filter(|service| {
            is_sidecar
                && service.host.namespace() == namespace
                && !service.selector.is_empty()
                && has(&service.selector, pod)
        });
        let from = match is_gateway {
            true => Some(GATEWAY.to_owned()),
            false => services.map(|service| id(&service.host)).min(),
        };
        Some(Asked { namespace: namespace.to_owned(), pod: pod.name().to_owned(), from: from? })
    };
    let mut seen_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut asked: Vec<(usize, Asked)> = seen
        .pods
        .iter()
        .filter_map(of_pod)
        .map(|asked| {
            let place = seen_of.entry(asked.from.clone()).or_default();
            *place += 1;
            (*place, asked)
        })
        .collect();
    asked.sort_by(|(a, one), (b, other)| (a, &one.from).cmp(&(b, &other.from)));
    asked.into_iter().map(|(_, asked)| asked).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::world::World;

    fn pod(name: &str, namespace: &str, labels: &Value, is_sidecar: bool) -> Value {
        let annotations = if is_sidecar { json!({"sidecar.istio.io/status": "{}"}) } else { json!({}) };
        json!({"apiVersion": "v1", "kind": "Pod", "metadata":
            {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}})
    }

    fn service(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "name": "http"}]}})
    }

    #[test]
    fn one_pod_of_each_service_is_asked_before_the_others() {
        let edge = json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
            "metadata": {"name": "canaryctl-edge-0", "namespace": "istio-system", "labels": {"canaryctl.io/role": "edge"}},
            "spec": {"selector": {"matchLabels": {"istio": "ingressgateway"}}}});
        let objects = vec![
            service("cart"),
            service("web"),
            edge,
            pod("cart-1", "shop", &json!({"app": "cart"}), true),
            pod("cart-2", "shop", &json!({"app": "cart"}), true),
            pod("web-1", "shop", &json!({"app": "web"}), true),
            pod("web-bare", "shop", &json!({"app": "web"}), false),
            pod("web-1", "other", &json!({"app": "web"}), true),
            pod("gateway-1", "istio-system", &json!({"istio": "ingressgateway"}), false),
            pod("job-1", "shop", &json!({"app": "job"}), true),
        ];
        let seen = World { objects }.see(&MeshConfigs::default()).expect("sound objects");
        let asked: Vec<String> =
            asked(&seen).iter().map(|one| format!("{}/{} {}", one.namespace, one.pod, one.from)).collect();
        let want = [
            "istio-system/gateway-1 gateway",
            "shop/cart-1 shop/cart",
            "shop/web-1 shop/web",
            "shop/cart-2 shop/cart",
        ];
        assert_eq!(asked, want);
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(lacks(0, &[], false), None);
        assert_eq!(lacks(3, &[], true), None);
        assert!(lacks(3, &[], false).is_some_and(|said| said.contains("proxyStatsMatcher")));
        assert!(lacks(PROXIES_MAX + 1, &[], true).is_some_and(|said| said.contains("200 of 201")));
        let said = lacks(3, &["shop/a: forbidden".into()], true);
        assert_eq!(said.as_deref(), Some("1 of 3 proxies do not tell what they count: shop/a: forbidden"));
    }
}
