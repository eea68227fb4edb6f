//! Where the program's connections and lookups go: through the session, or out of this machine as without us.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use canary_tunnel::{Client, DialError, Problem, Target};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::dns::{self, Answer, Kind};
use super::{HERE, HERE_NAME};

/// What names of the cluster end in.
const CLUSTER_SUFFIXES: [&str; 3] = [".svc", ".cluster.local", ".pod"];
/// This machine's routes, as proc(5) has them.
const ROUTES: &str = "/proc/net/route";
/// How many addresses of the cluster's are remembered.
const SEEN_MAX: usize = 65_536;
/// How long a connection that leaves this machine may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Addresses that no host of the internet has: RFC 1918 and RFC 6598.
const PRIVATE: [Network; 4] = [
    Network::new(Ipv4Addr::new(10, 0, 0, 0), 8),
    Network::new(Ipv4Addr::new(172, 16, 0, 0), 12),
    Network::new(Ipv4Addr::new(192, 168, 0, 0), 16),
    Network::new(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// A range of addresses, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u32,
    mask: u32,
}

impl Network {
    const fn new(address: Ipv4Addr, bits: u8) -> Self {
        let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
        Self { address: address.to_bits() & mask, mask }
    }

    fn has(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.address
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range of addresses such as 10.96.0.0/12");
        let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        if bits <= 32 { Ok(Self::new(address, bits)) } else { Err(wrong()) }
    }
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Cluster,
    Machine(SocketAddrV4),
}

/// Bytes both ways.
pub(super) trait Far: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Far for T {}

/// What is outside of the namespace.
pub struct Outside {
    tunnel: Client,
    /// What is said to be the cluster's.
    clusters: Vec<Network>,
    /// What this machine has routes to.
    machines: Vec<Network>,
    /// What names of the cluster stood for.
    seen: Mutex<HashSet<Ipv4Addr>>,
}

impl Outside {
    /// Through a session, for these addresses in any case.
    #[must_use]
    pub fn new(tunnel: Client, clusters: Vec<Network>) -> Self {
        let machines = fs::read_to_string(ROUTES).map(|text| routes(&text)).unwrap_or_default();
        Self { tunnel, clusters, machines, seen: Mutex::default() }
    }

    /// Connects to what the program calls by this address.
    pub(super) async fn dial(&self, to: SocketAddrV4) -> io::Result<Box<dyn Far>> {
        match self.way(to) {
            Way::Cluster => {
                let target = Target::new(&to.ip().to_string(), to.port()).map_err(io::Error::other)?;
                let stream = self.tunnel.dial(&target).await.map_err(io::Error::other)?;
                Ok(Box::new(stream))
            }
            Way::Machine(to) => {
                let stream = timeout(DIAL_TIMEOUT, TcpStream::connect(to)).await;
                let stream = stream.map_err(|_| io::ErrorKind::TimedOut)??;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
        }
    }

    fn way(&self, to: SocketAddrV4) -> Way {
        let address = *to.ip();
        let has = |networks: &[Network]| networks.iter().any(|network| network.has(address));
        if address == HERE {
            return Way::Machine(SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port()));
        }
        match self.is_seen(address) || has(&self.clusters) || (has(&PRIVATE) && !has(&self.machines)) {
            true => Way::Cluster,
            false => Way::Machine(to),
        }
    }

    /// Answers a query of DNS; nothing where it is none.
    pub(super) async fn ask(&self, query: &[u8]) -> Option<Vec<u8>> {
        let question = dns::read(query)?;
        let answer = match question.kind {
            Kind::Addresses => self.look_up(&question.name).await,
            Kind::Addresses6 => match self.look_up(&question.name).await {
                Answer::Addresses(_) => Answer::Addresses(Vec::new()),
                other => other,
            },
            Kind::Other => Answer::NotImplemented,
        };
        dns::answer(query, &answer)
    }

    async fn look_up(&self, name: &str) -> Answer {
        if name == HERE_NAME {
            return Answer::Addresses(vec![HERE]);
        }
        let mut last = Answer::NoSuchName;
        for step in steps(name) {
            let found = match &step {
                Step::Cluster(name) => self.of_cluster(name).await,
                Step::Machine => of_machine(name).await,
            };
            match found {
                Answer::NoSuchName => {}
                Answer::Addresses(_) => return found,
                other => last = other,
            }
        }
        last
    }

    async fn of_cluster(&self, name: &str) -> Answer {
        match self.tunnel.resolve(name).await {
            Ok(found) => {
                let addresses = only_4(found.into_iter());
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let room = SEEN_MAX.saturating_sub(seen.len());
                seen.extend(addresses.iter().take(room));
                Answer::Addresses(addresses)
            }
            Err(error) => match error.problem() {
                Some(Problem::NoSuchName) => Answer::NoSuchName,
                _ => failed(name, &error),
            },
        }
    }

    fn is_seen(&self, address: Ipv4Addr) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

fn failed(name: &str, error: &DialError) -> Answer {
    tracing::debug!(name, "{error}");
    Answer::Failed
}

async fn of_machine(name: &str) -> Answer {
    match lookup_host((name, 0)).await {
        Ok(found) => Answer::Addresses(only_4(found.map(|address| address.ip()))),
        Err(_) => Answer::NoSuchName,
    }
}

fn only_4(addresses: impl Iterator<Item = IpAddr>) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    for address in addresses {
        match address {
            IpAddr::V4(address) if !found.contains(&address) => found.push(address),
            _ => {}
        }
    }
    found
}

/// Who is asked for a name, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Cluster(String),
    Machine,
}

/// A pod's resolver would try the cluster for every name first. Names of the internet shall not wait for that.
fn steps(name: &str) -> Vec<Step> {
    let own = || Step::Cluster(name.to_owned());
    if CLUSTER_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        return vec![own()];
    }
    match name.matches('.').count() {
        0 => vec![own(), Step::Machine],
        // A Service and its namespace, or a domain.
        1 => vec![Step::Cluster(format!("{name}.svc")), Step::Machine, own()],
        _ => vec![Step::Machine, own()],
    }
}

/// The networks of a routing table, the default route left out.
fn routes(table: &str) -> Vec<Network> {
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let hex = |field: Option<&str>| u32::from_str_radix(field?, 16).ok().map(u32::from_be);
        let (address, mask) = (hex(fields.nth(1))?, hex(fields.nth(5))?);
        (mask != 0).then_some(Network { address, mask })
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_cluster_are_asked_for_there() {
        let cluster = |name: &str| Step::Cluster(name.into());
        for (name, want) in [
            ("cart", vec![cluster("cart"), Step::Machine]),
            ("cart.shop", vec![cluster("cart.shop.svc"), Step::Machine, cluster("cart.shop")]),
            ("cart.shop.svc", vec![cluster("cart.shop.svc")]),
            ("cart.shop.svc.cluster.local", vec![cluster("cart.shop.svc.cluster.local")]),
            ("www.example.com", vec![Step::Machine, cluster("www.example.com")]),
        ] {
            assert_eq!(steps(name), want, "{name}");
        }
    }

    #[test]
    fn a_routing_table_says_what_this_machine_reaches() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(routes(table), ["192.168.1.0/24".parse().expect("a range")]);
    }

    #[test]
    fn ranges_are_typed_as_kubernetes_prints_them() {
        let range: Network = "10.96.0.0/12".parse().expect("a range");
        assert!(range.has(Ipv4Addr::new(10, 111, 255, 255)) && !range.has(Ipv4Addr::new(10, 112, 0, 0)));
        for wrong in ["10.96.0.0/33", "fd00::/8", "ten", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
