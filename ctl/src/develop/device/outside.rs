//! Where the program's connections and lookups go: through the session, or out of this machine as without us.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use canary_tunnel::Target;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{HERE, HERE_NAME};
use crate::develop::dns::{self, Answer, Kind, only_4};
use crate::develop::network::Network;
use crate::develop::range::Range;
use crate::develop::routes;

/// What names of the cluster end in.
const CLUSTER_SUFFIXES: [&str; 3] = [".svc", ".cluster.local", ".pod"];
/// How many addresses of the cluster's are remembered.
const SEEN_MAX: usize = 65_536;
/// How long a connection that leaves this machine may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Addresses that no host of the internet has: RFC 1918 and RFC 6598.
const PRIVATE: [Range; 4] = [
    Range::new(Ipv4Addr::new(10, 0, 0, 0), 8),
    Range::new(Ipv4Addr::new(172, 16, 0, 0), 12),
    Range::new(Ipv4Addr::new(192, 168, 0, 0), 16),
    Range::new(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Cluster,
    Machine(SocketAddrV4),
    Nowhere,
}

/// What leads to the device.
#[derive(Debug)]
enum Led {
    /// Everything; these are the cluster's in any case, and those what this machine has routes to.
    All { clusters: Vec<Range>, machines: Vec<Range> },
    /// What is the cluster's, and nothing else: this machine would lead anything else back here.
    Cluster,
}

/// Bytes both ways.
pub(super) trait Far: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Far for T {}

/// What is outside of the namespace.
pub struct Outside {
    cluster: Network,
    led: Led,
    /// What names of the cluster stood for.
    seen: Mutex<HashSet<Ipv4Addr>>,
}

impl Outside {
    /// Through a session, for these addresses in any case; all that is not the cluster's as without us.
    #[must_use]
    pub fn new(cluster: Network, clusters: Vec<Range>) -> Self {
        let machines = routes::here().unwrap_or_default().into_iter().map(|route| route.to).collect();
        Self { cluster, led: Led::All { clusters, machines }, seen: Mutex::default() }
    }

    /// Through a session, whatever the address and the name.
    #[must_use]
    pub fn cluster(cluster: Network) -> Self {
        Self { cluster, led: Led::Cluster, seen: Mutex::default() }
    }

    /// Connects to what the program calls by this address.
    pub(super) async fn dial(&self, to: SocketAddrV4) -> io::Result<Box<dyn Far>> {
        match self.way(to) {
            Way::Cluster => {
                let target = Target::new(&to.ip().to_string(), to.port()).map_err(io::Error::other)?;
                let stream = self.cluster.dial(&target).await.map_err(io::Error::other)?;
                Ok(Box::new(stream))
            }
            Way::Machine(to) => {
                let stream = timeout(DIAL_TIMEOUT, TcpStream::connect(to)).await;
                let stream = stream.map_err(|_| io::ErrorKind::TimedOut)??;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Way::Nowhere => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn way(&self, to: SocketAddrV4) -> Way {
        let address = *to.ip();
        let Led::All { clusters, machines } = &self.led else {
            return if address == HERE { Way::Nowhere } else { Way::Cluster };
        };
        let has = |ranges: &[Range]| ranges.iter().any(|range| range.has(address));
        if address == HERE {
            return Way::Machine(SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port()));
        }
        match self.is_seen(address) || has(clusters) || (has(&PRIVATE) && !has(machines)) {
            true => Way::Cluster,
            false => Way::Machine(to),
        }
    }

    /// Answers a query of DNS; nothing where it is none.
    pub(super) async fn ask(&self, query: &[u8]) -> Option<Vec<u8>> {
        let question = dns::read(query)?;
        let answer = match question.kind {
            Kind::Addresses | Kind::Addresses6 => self.look_up(&question.name).await,
            Kind::Other => Answer::NotImplemented,
        };
        dns::answer(query, &answer)
    }

    async fn look_up(&self, name: &str) -> Answer {
        let all = matches!(self.led, Led::All { .. });
        if name == HERE_NAME && all {
            return Answer::Addresses(vec![HERE]);
        }
        let mut last = Answer::NoSuchName;
        let steps = if all { steps(name) } else { steps_of_cluster(name) };
        for step in steps {
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
        let answer = Answer::resolved(name, self.cluster.resolve(name).await);
        if let Answer::Addresses(addresses) = &answer {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let room = SEEN_MAX.saturating_sub(seen.len());
            seen.extend(addresses.iter().take(room));
        }
        answer
    }

    fn is_seen(&self, address: Ipv4Addr) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

async fn of_machine(name: &str) -> Answer {
    match lookup_host((name, 0)).await {
        Ok(found) => Answer::Addresses(only_4(found.map(|address| address.ip()))),
        Err(_) => Answer::NoSuchName,
    }
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

/// Where others are asked for all that is not the cluster's: a name that may be somebody else's is not known here.
fn steps_of_cluster(name: &str) -> Vec<Step> {
    let is_its = |step: &Step| match step {
        Step::Cluster(asked) => {
            !asked.contains('.') || CLUSTER_SUFFIXES.iter().any(|suffix| asked.ends_with(suffix))
        }
        Step::Machine => false,
    };
    steps(name).into_iter().filter(is_its).collect()
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
    fn where_others_are_asked_too_only_the_clusters_names_are_known() {
        let cluster = |name: &str| Step::Cluster(name.into());
        for (name, want) in [
            ("cart", vec![cluster("cart")]),
            ("cart.shop", vec![cluster("cart.shop.svc")]),
            ("cart.shop.svc.cluster.local", vec![cluster("cart.shop.svc.cluster.local")]),
            ("www.example.com", vec![]),
        ] {
            assert_eq!(steps_of_cluster(name), want, "{name}");
        }
    }
}
