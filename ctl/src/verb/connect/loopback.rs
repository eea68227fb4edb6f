//! `connect --loopback`: each Service of the namespace at an address of this machine's own, with its ports, for programs
//! that know no proxy and where nobody may make a device.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use canary_tunnel::{Client, Target};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, api_failure};
use crate::develop::report::{self, Format};
use crate::develop::stored::store;
use crate::failure::Failure;
use crate::progress::Printed;
use crate::verb::forward;

/// The addresses, 127.64.0.0/10: none that anything else of a machine is likely to have.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 0);
/// How many there are.
const ADDRESSES: u32 = 1 << 22;
/// What is added to a port that takes root here.
const MOVED_BY: u16 = 10_000;

/// Services of a namespace, served here until dropped.
pub(super) struct Loopback {
    namespace: String,
    services: Api<Service>,
    tunnel: Client,
    format: Format,
    open: BTreeMap<Port, Open>,
    /// Ports that this machine does not let us have, which is told once.
    refused: BTreeSet<Port>,
}

/// A Service's port at its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    service: String,
    address: Ipv4Addr,
    number: u16,
}

/// One that is served.
struct Open {
    here: SocketAddr,
    /// Ends with it.
    _serving: JoinSet<()>,
}

impl Loopback {
    /// Serves what Services there are.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(super) async fn bring(cluster: &Cluster, tunnel: Client, format: Format) -> Result<Self, Failure> {
        let namespace = cluster.namespace.clone();
        let services: Api<Service> = Api::namespaced(cluster.client.clone(), &namespace);
        let found = services.list(&ListParams::default()).await;
        let found = found.map_err(|error| api_failure(&format!("list Services of {namespace}"), &error))?;
        let (open, refused) = Default::default();
        let mut loopback = Self { namespace, services, tunnel, format, open, refused };
        loopback.follow(&found.items.into_iter().map(Arc::new).collect::<Vec<_>>()).await;
        Ok(loopback)
    }

    /// Keeps to what Services there are, for as long as it is polled.
    pub(super) async fn keep(&mut self) -> Infallible {
        let (changed, mut changes) = watch::channel(());
        let (watching, store) = store(self.services.clone(), changed);
        let following = async {
            if store.wait_until_ready().await.is_err() {
                return;
            }
            loop {
                for port in self.follow(&store.state()).await {
                    self.tell(&port);
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(watching, following);
        pending().await
    }

    /// Serves the ports of these Services and no others. Those that are new.
    async fn follow(&mut self, services: &[Arc<Service>]) -> Vec<Port> {
        let wanted = ports(&self.namespace, services);
        self.open.retain(|port, _| wanted.contains(port));
        self.refused.retain(|port| wanted.contains(port));
        let mut new = Vec::new();
        for port in wanted {
            if self.open.contains_key(&port) || self.refused.contains(&port) {
                continue;
            }
            match self.serve(&port).await {
                Ok(open) => {
                    self.open.insert(port.clone(), open);
                    new.push(port);
                }
                Err(error) => {
                    let Port { service, address, number } = &port;
                    let why = format!("{service}:{number} is not here: cannot listen on {address}: {error}");
                    self.format.tell("refused", &why);
                    self.refused.insert(port);
                }
            }
        }
        new
    }

    async fn serve(&self, port: &Port) -> io::Result<Open> {
        let target = Target::new(&self.full_name(port), port.number).map_err(io::Error::other)?;
        let listener = match TcpListener::bind((port.address, port.number)).await {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                TcpListener::bind((port.address, port.number.saturating_add(MOVED_BY))).await?
            }
            bound => bound?,
        };
        let here = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(forward::serve(listener, target, self.tunnel.clone(), self.format));
        Ok(Open { here, _serving: serving })
    }

    fn tell(&self, port: &Port) {
        let Some(open) = self.open.get(port) else { return };
        match self.format {
            Format::Text => self.format.tell("service", &format!("{}  {}", open.here, self.names(port))),
            Format::Json => report::line(&self.event(port, open)),
        }
    }

    fn names(&self, port: &Port) -> String {
        let (service, namespace) = (&port.service, &self.namespace);
        format!("{service} {service}.{namespace} {}", self.full_name(port))
    }

    fn full_name(&self, port: &Port) -> String {
        format!("{}.{}.svc.cluster.local", port.service, self.namespace)
    }

    fn event(&self, port: &Port, open: &Open) -> Value {
        json!({
            "event": "service", "service": port.service, "port": port.number, "local": open.here.to_string(),
        })
    }

    /// For programs: all that are served.
    pub(super) fn events(&self) -> Vec<Value> {
        self.open.iter().map(|(port, open)| self.event(port, open)).collect()
    }

    /// For people: lines of a hosts file.
    pub(super) fn print(&self) {
        let mut printed = Printed;
        let mut label = "hosts";
        let mut lines: BTreeMap<Ipv4Addr, (String, Vec<String>)> = BTreeMap::new();
        for (port, open) in &self.open {
            let (_, ports) = lines.entry(port.address).or_insert_with(|| (self.names(port), Vec::new()));
            ports.push(match open.here.port() {
                here if here == port.number => here.to_string(),
                here => format!("{} at {here}, for it takes root", port.number),
            });
        }
        for (address, (names, ports)) in &lines {
            printed.line(label, &format!("{address} {names}  # {}", ports.join(", ")));
            label = "";
        }
        match lines.is_empty() {
            true => printed.line(label, &format!("{} has no Service with a port of TCP", self.namespace)),
            false => printed.line(label, "the same every time: they belong into the hosts file once"),
        }
    }
}

/// The ports of TCP of Services, each at its Service's address, which is the same every time: of what it is called.
fn ports(namespace: &str, services: &[Arc<Service>]) -> BTreeSet<Port> {
    let mut named: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for service in services {
        let all = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let tcp = all.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
        let numbers = tcp.filter_map(|port| u16::try_from(port.port).ok());
        named.entry(service.name_any()).or_default().extend(numbers);
    }
    let mut taken = BTreeSet::new();
    let mut found = BTreeSet::new();
    for (service, numbers) in named {
        let address = address(namespace, &service, &mut taken);
        found.extend(numbers.into_iter().map(|number| Port { service: service.clone(), address, number }));
    }
    found
}

/// The address of a Service, or the next where another has it.
fn address(namespace: &str, service: &str, taken: &mut BTreeSet<u32>) -> Ipv4Addr {
    let hash = Sha256::digest(format!("{namespace}/{service}"));
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let mut nth = number % ADDRESSES;
    // Some systems take the first and the last of a network for other things.
    while matches!(nth & 0xff, 0 | 0xff) || !taken.insert(nth) {
        nth = (nth + 1) % ADDRESSES;
    }
    Ipv4Addr::from(u32::from(FIRST) + nth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, ports: &Value) -> Arc<Service> {
        let value = json!({"metadata": {"name": name}, "spec": {"ports": ports}});
        Arc::new(serde_json::from_value(value).expect("a Service"))
    }

    #[test]
    fn a_service_is_at_the_same_address_every_time() {
        let cart = service("cart", &json!([{"port": 80}, {"port": 9000, "protocol": "TCP"}]));
        let dns = service("dns", &json!([{"port": 53, "protocol": "UDP"}]));
        let elsewhere = service("elsewhere", &Value::Null);
        let alone = ports("shop", std::slice::from_ref(&cart));
        let numbers: Vec<u16> = alone.iter().map(|port| port.number).collect();
        assert_eq!(numbers, [80, 9000]);
        let all = ports("shop", &[service("another", &json!([{"port": 80}])), dns, elsewhere, cart]);
        assert!(all.is_superset(&alone), "{all:?}");
        let services: BTreeSet<&str> = all.iter().map(|port| port.service.as_str()).collect();
        assert_eq!(services, BTreeSet::from(["another", "cart"]));
        assert_ne!(alone.first().map(|port| port.address), all.first().map(|port| port.address));
    }

    #[test]
    fn addresses_are_of_loopback_and_each_of_one_service() {
        let mut taken = BTreeSet::new();
        let first = address("shop", "cart", &mut taken);
        let next = address("shop", "cart", &mut taken);
        assert_eq!(u32::from(next), u32::from(first) + 1, "where another has it");
        for number in 0..1000 {
            let found = address("shop", &format!("service-{number}"), &mut taken);
            let [net, _, _, host] = found.octets();
            assert!(net == 127 && !matches!(host, 0 | 255) && found >= FIRST, "{found}");
        }
        assert_eq!(taken.len(), 1002);
    }
}
