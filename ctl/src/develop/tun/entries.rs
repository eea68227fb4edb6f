//! The names of Services, as lines of a hosts file, for as long as the cluster has them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::order::Entry;
use crate::develop::stored::store;
use crate::develop::translation::Translation;

/// What names of the cluster's end in.
const DOMAIN: &str = "cluster.local";
/// Whose Service a slice is of.
const OF_SERVICE: &str = "kubernetes.io/service-name";
/// How long changes gather before they are told.
const GATHER: Duration = Duration::from_millis(300);

/// Whose names one may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces'.
    All,
    /// One namespace's.
    One,
    /// Nobody's.
    None,
}

impl Scope {
    /// Asks for it; a namespace's names are enough.
    pub async fn find(client: &Client, namespace: &str) -> Self {
        if may_list(Api::<Service>::all(client.clone()), Api::<EndpointSlice>::all(client.clone())).await {
            return Self::All;
        }
        let services = Api::<Service>::namespaced(client.clone(), namespace);
        match may_list(services, Api::<EndpointSlice>::namespaced(client.clone(), namespace)).await {
            true => Self::One,
            false => Self::None,
        }
    }
}

async fn may_list(services: Api<Service>, slices: Api<EndpointSlice>) -> bool {
    let one = ListParams::default().limit(1);
    services.list(&one).await.is_ok() && slices.list(&one).await.is_ok()
}

/// Tells the names of a scope whenever they change, by the addresses that they have here, until nobody listens.
pub async fn follow(
    client: Client,
    namespace: String,
    scope: Scope,
    translation: Translation,
    tell: mpsc::Sender<Vec<Entry>>,
) {
    let (services, slices) = match scope {
        Scope::All => (Api::all(client.clone()), Api::all(client)),
        Scope::One => (Api::namespaced(client.clone(), &namespace), Api::namespaced(client, &namespace)),
        Scope::None => return,
    };
    let (changed, mut changes) = watch::channel(());
    let (of_services, services) = store(services, changed.clone());
    let (of_slices, slices) = store(slices, changed);
    let telling = async {
        let ready = futures_util::future::join(services.wait_until_ready(), slices.wait_until_ready()).await;
        if ready.0.is_err() || ready.1.is_err() {
            return;
        }
        let mut last = None;
        loop {
            let mut now = entries(&namespace, &services.state(), &slices.state());
            now.iter_mut().for_each(|entry| entry.address = translation.here(entry.address));
            if last.as_ref() != Some(&now) {
                if tell.send(now.clone()).await.is_err() {
                    return;
                }
                last = Some(now);
            }
            if changes.changed().await.is_err() {
                return;
            }
            sleep(GATHER).await;
            changes.mark_unchanged();
        }
    };
    tokio::select! {
        () = telling => {}
        _ = futures_util::future::join(of_services, of_slices) => {}
    }
}

/// A pod of a headless Service: the name that it has there, if any, and its address.
type Pod<'s> = (Option<&'s str>, Ipv4Addr);

/// The lines: those of the namespace have short names, too.
fn entries<S: AsRef<Service>, E: AsRef<EndpointSlice>>(
    own: &str,
    services: &[S],
    slices: &[E],
) -> Vec<Entry> {
    let mut ready: BTreeMap<(String, String), Vec<Pod<'_>>> = BTreeMap::new();
    for slice in slices.iter().map(AsRef::as_ref) {
        let Some(service) = slice.labels().get(OF_SERVICE) else { continue };
        let of = ready.entry((slice.namespace().unwrap_or_default(), service.clone())).or_default();
        for endpoint in &slice.endpoints {
            let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
            let addresses = endpoint.addresses.iter().filter_map(|address| address.parse().ok());
            if is_ready != Some(false) {
                of.extend(addresses.map(|address| (endpoint.hostname.as_deref(), address)));
            }
        }
    }
    let mut found = Vec::new();
    for service in services.iter().map(AsRef::as_ref) {
        let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
        let spec = service.spec.as_ref();
        let addresses = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
        let is_headless = addresses.first().is_some_and(|address| address == "None");
        let entry = |name: &str, address| Entry { address, names: names(own, name, &namespace) };
        if !is_headless {
            let of_4 = addresses.iter().find_map(|address| address.parse().ok());
            found.extend(of_4.map(|address| entry(&name, address)));
            continue;
        }
        for (host, address) in ready.get(&(namespace.clone(), name.clone())).into_iter().flatten() {
            found.push(entry(&name, *address));
            found.extend(host.map(|host| entry(&format!("{host}.{name}"), *address)));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn names(own: &str, name: &str, namespace: &str) -> Vec<String> {
    let short = (own == namespace).then(|| name.to_owned());
    let long = [
        format!("{name}.{namespace}"),
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.{DOMAIN}"),
    ];
    short.into_iter().chain(long).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn of<K: serde::de::DeserializeOwned>(value: Value) -> Arc<K> {
        Arc::new(serde_json::from_value(value).expect("an object"))
    }

    fn lines(services: &[Value], slices: &[Value]) -> Vec<String> {
        let services: Vec<Arc<Service>> = services.iter().cloned().map(of).collect();
        let slices: Vec<Arc<EndpointSlice>> = slices.iter().cloned().map(of).collect();
        let entries = entries("shop", &services, &slices);
        entries.iter().map(|entry| format!("{} {}", entry.address, entry.names.join(" "))).collect()
    }

    fn service(name: &str, namespace: &str, address: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIPs": [address]}})
    }

    #[test]
    fn services_of_the_namespace_have_short_names_too() {
        let services = [service("cart", "shop", "10.96.0.7"), service("git", "tools", "10.96.0.8")];
        assert_eq!(
            lines(&services, &[]),
            [
                "10.96.0.7 cart cart.shop cart.shop.svc cart.shop.svc.cluster.local",
                "10.96.0.8 git.tools git.tools.svc git.tools.svc.cluster.local",
            ]
        );
    }

    #[test]
    fn a_headless_service_is_its_ready_pods_and_each_has_its_name() {
        let slice = json!({
            "metadata": {"name": "db-1", "namespace": "shop", "labels": {OF_SERVICE: "db"}},
            "addressType": "IPv4", "ports": [],
            "endpoints": [
                {"addresses": ["10.244.0.4"], "hostname": "db-0", "conditions": {"ready": true}},
                {"addresses": ["10.244.0.5"], "hostname": "db-1", "conditions": {"ready": false}},
            ],
        });
        assert_eq!(
            lines(&[service("db", "shop", "None")], &[slice]),
            [
                "10.244.0.4 db db.shop db.shop.svc db.shop.svc.cluster.local",
                "10.244.0.4 db-0.db db-0.db.shop db-0.db.shop.svc db-0.db.shop.svc.cluster.local",
            ]
        );
    }

    #[test]
    fn addresses_of_ipv6_and_names_elsewhere_have_no_line() {
        let elsewhere =
            json!({"metadata": {"name": "x", "namespace": "shop"}, "spec": {"externalName": "example.com"}});
        assert_eq!(lines(&[service("six", "shop", "fd00::7"), elsewhere], &[]), Vec::<String>::new());
    }
}
