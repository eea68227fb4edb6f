//! One flow through the shop, and what became of it.

use std::net::SocketAddr;

use canary_localmesh::{Client, Protocol, Tree};
use tokio::task::JoinHandle;

use crate::shop::Shop;

/// A client outside the mesh.
#[derive(Clone)]
pub(crate) struct Caller {
    gateway: SocketAddr,
    host: String,
    client: Client,
    protocol: Protocol,
}

/// What a flow was answered with.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) headers: hyper::HeaderMap,
    /// Who answered, by service; empty where no app did.
    pub(crate) tree: Tree,
    /// What went wrong, if anything did.
    pub(crate) failure: Option<String>,
}

impl Caller {
    pub(crate) fn new(shop: &Shop, protocol: Protocol) -> Self {
        Self::of_host(shop, &shop.host(), protocol)
    }

    /// The same by another of the gateway's hosts.
    pub(crate) fn of_host(shop: &Shop, host: &str, protocol: Protocol) -> Self {
        let client = Client::new(shop.gateway(), protocol);
        Self { gateway: shop.gateway(), host: host.to_owned(), client, protocol }
    }

    /// The same with a connection of its own.
    pub(crate) fn anew(&self) -> Self {
        Self { client: Client::new(self.gateway, self.protocol), ..self.clone() }
    }

    /// Sends a flow with a trace of its own and these headers.
    pub(crate) async fn send(&self, headers: &[(&str, &str)]) -> Answer {
        self.send_to("/", headers).await
    }

    /// The same to this path, which travels with every call.
    pub(crate) async fn send_to(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let trace = format!("00-{:032x}-{:016x}-01", fastrand::u128(1..), fastrand::u64(1..));
        let all = [headers, &[("traceparent", trace.as_str())]].concat();
        match self.client.get(&self.host, path, &all).await {
            Err(error) => {
                let failure = Some(format!("{error:?}"));
                Answer { headers: hyper::HeaderMap::new(), tree: Tree::default(), failure }
            }
            Ok(reply) => {
                let tree: Tree = serde_json::from_slice(&reply.body).unwrap_or_default();
                let broken = tree.walk().find(|part| part.status != 200);
                let failure = match (reply.status.as_u16(), broken) {
                    (200, None) => None,
                    (status, _) => Some(format!("{status} {}", reply.text())),
                };
                Answer { headers: reply.headers, tree, failure }
            }
        }
    }
}

impl Answer {
    /// The version that answered for a service.
    pub(crate) fn version(&self, service: &str) -> Option<&str> {
        let is_it = |tree: &&Tree| tree.service.split('.').next() == Some(service);
        self.tree.walk().find(is_it).map(|tree| tree.version.as_str())
    }

    /// Who answered, callers first, by Deployment: `web-gray cart-v1 …`.
    pub(crate) fn path(&self) -> String {
        path(&self.tree)
    }

    /// How many of these services were answered for by a Deployment whose name ends so.
    pub(crate) fn served_by(&self, services: &[&str], end: &str) -> usize {
        let of = |service: &&&str| {
            let is_it = |tree: &&Tree| tree.service.split('.').next() == Some(service);
            self.tree.walk().find(is_it).is_some_and(|tree| deployment_of(&tree.instance).ends_with(end))
        };
        services.iter().filter(of).count()
    }
}

/// Who answered, callers first, by Deployment.
pub(crate) fn path(tree: &Tree) -> String {
    tree.walk().map(|tree| deployment_of(&tree.instance)).collect::<Vec<_>>().join(" ")
}

/// Flows with cookie `gray=1`, one after the other, until it is aborted or one fails.
pub(crate) fn crowd(shop: &Shop, path: &'static str) -> JoinHandle<()> {
    let caller = Caller::new(shop, Protocol::Http1);
    tokio::spawn(async move {
        loop {
            assert_eq!(caller.send_to(path, &[("cookie", "gray=1")]).await.failure, None);
        }
    })
}

/// A pod's name without what its Deployment and its ReplicaSet have added.
pub(crate) fn deployment_of(pod: &str) -> &str {
    let mut parts = pod.rsplitn(3, '-');
    parts.nth(2).unwrap_or(pod)
}
