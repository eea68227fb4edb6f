//! Proof that every proxy has what was written, proxy by proxy, from what istiod knows.
//!
//! Nothing that a proxy says of a change itself proves that it has it: before istiod's debounce has fired every
//! proxy looks in sync, and one that a change does not concern never answers to it. So a change is followed by
//! a *marker*: a subset without meaning in a DestinationRule of ours, for a Service of ours that every proxy
//! knows. Once every istiod has the change in its own store, the marker is written. A proxy that subscribes to
//! the endpoints of the marker's cluster has accepted a push made after that; that push was sent whole before
//! istiod read the subscription; so the proxy has the change as soon as what was sent to it is acknowledged.
//!
//! Not every proxy may see our Service: a `Sidecar` may leave out its namespace, and a gateway may be given only
//! the clusters that it routes to. So the rules of ours for the services that a change is about get the marker too,
//! and a proxy that knows any of these services has to show it for each of them. One that knows neither is out of
//! sight and not waited for: it calls none of the services that the change is about.

mod barrier;
mod debug;
mod judge;
mod marker;
mod sidecars;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use canary_istio::{Host, ObjectRef};
use kube::Client;

use crate::apply::Written;
use barrier::{Barrier, Round};

pub use debug::Istiods;
pub use marker::objects;
pub use sidecars::{AWAITED_ANNOTATION, Sidecars};
pub(crate) use sidecars::{PROXY, addresses, has_proxy, is_ready};

/// Shortest and longest pause between two questions.
const ASK_EVERY_MIN: Duration = Duration::from_millis(40);
const ASK_EVERY_MAX: Duration = Duration::from_millis(500);
/// How long is waited before anybody is told what for.
const TOLD_AFTER: Duration = Duration::from_secs(3);
/// How many late proxies an error names.
const NAMED_MAX: usize = 10;

/// What has to arrive.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// The writes; without any, what is there already.
    pub written: Vec<Written>,
    /// The services that they are about.
    pub services: BTreeSet<Host>,
    /// Running pods whose labels changed.
    pub labelled: Vec<Labelled>,
    /// Pods that have become ready.
    pub ready: Vec<ReadyPod>,
    /// Whether plugins come or go: listeners change then, and not only what plugins are told.
    pub plugins_come_or_go: bool,
    /// Whether all of it is only what was found: what of it somebody deletes is nothing to wait for.
    pub was_found: bool,
}

/// A part of what istiod sends to a proxy, acknowledged or refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Clusters,
    Endpoints,
    Listeners,
    Routes,
    Extensions,
}

impl News {
    /// What a proxy has to acknowledge. What it refuses elsewhere, as for an `EnvoyFilter` that makes no sense to it, keeps
    /// none of this from it.
    fn parts(&self) -> BTreeSet<Part> {
        let kinds = self.written.iter().map(|write| write.object.kind.as_str());
        let of_kinds = kinds.flat_map(|kind| match kind {
            "DestinationRule" => &[Part::Clusters, Part::Endpoints][..],
            "VirtualService" => &[Part::Routes],
            "WasmPlugin" => &[Part::Extensions],
            _ => &[],
        });
        let mut parts: BTreeSet<Part> = of_kinds.copied().collect();
        if !(self.labelled.is_empty() && self.ready.is_empty()) {
            parts.insert(Part::Endpoints);
        }
        if self.plugins_come_or_go {
            parts.insert(Part::Listeners);
        }
        parts
    }
}

/// A running pod whose labels changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The pod.
    pub pod: ObjectRef,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// What they are now; none for one that it lost.
    pub labels: BTreeMap<String, Option<String>>,
}

/// A pod that has become ready, and so an endpoint of its services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyPod {
    /// The pod.
    pub pod: ObjectRef,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// Why it is not proven that all proxies have it.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// There is no istiod.
    #[error("no istiod runs in namespace {namespace}")]
    NoIstiod {
        /// Where it was looked for.
        namespace: String,
    },
    /// The API server does not say, or does not write the marker.
    #[error("cannot {tried}")]
    Api {
        /// What was tried.
        tried: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An istiod does not answer.
    #[error("istiod {pod} does not answer: {why}")]
    Silent {
        /// The istiod.
        pod: String,
        /// How that showed.
        why: String,
    },
    /// An istiod has not heard of a write.
    #[error("istiod {pod} has not heard of {object}")]
    Unheard {
        /// The istiod.
        pod: String,
        /// The object.
        object: String,
    },
    /// The rule that carries the markers is gone.
    #[error("{rule} is gone; canaryctl install makes it again")]
    NoMarker {
        /// The rule.
        rule: ObjectRef,
    },
    /// What was written is gone: what builds on it must not go out.
    #[error("somebody deleted {0}")]
    Deleted(
        /// The object.
        ObjectRef,
    ),
    /// Nobody had the time to answer.
    #[error("istiod was not asked in time")]
    NoAnswer,
    /// Proxies have not confirmed.
    #[error("{}", late(.0))]
    Late(
        /// The proxies, as `pod.namespace`.
        Vec<String>,
    ),
}

impl ArrivalError {
    /// Whether it was waited for until the deadline.
    #[must_use]
    pub fn is_late(&self) -> bool {
        match self {
            Self::NoIstiod { .. }
            | Self::Silent { .. }
            | Self::Unheard { .. }
            | Self::NoAnswer
            | Self::Late(_) => true,
            Self::Api { .. } | Self::NoMarker { .. } | Self::Deleted(_) => false,
        }
    }
}

fn late(proxies: &[String]) -> String {
    let named = proxies.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let rest = proxies.len().saturating_sub(NAMED_MAX);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    let (count, has) = if proxies.len() == 1 {
        ("1 proxy".into(), "has")
    } else {
        (format!("{} proxies", proxies.len()), "have")
    };
    format!("{count} {has} not confirmed it: {named}{more}")
}

/// Waits until every proxy in sight has the news, and returns how many those are.
///
/// # Errors
/// By the deadline, what or whom it waits for; earlier when the API server refuses.
pub async fn wait(
    client: &Client,
    root_namespace: &str,
    news: &News,
    sidecars: &Sidecars,
    deadline: Instant,
) -> Result<usize, ArrivalError> {
    wait_and_tell(client, root_namespace, news, sidecars, deadline, |_| {}).await
}

/// The same, and tells what it waits for, again and again, once that has taken a moment.
///
/// # Errors
/// As for [`wait`].
pub async fn wait_and_tell(
    client: &Client,
    root_namespace: &str,
    news: &News,
    sidecars: &Sidecars,
    deadline: Instant,
    tell: impl Fn(&ArrivalError),
) -> Result<usize, ArrivalError> {
    let began = Instant::now();
    let mut barrier = Barrier::new(client, root_namespace, news, sidecars);
    let mut pause = ASK_EVERY_MIN;
    let mut waits_for = None;
    loop {
        // The last answer may take until the deadline and no longer.
        match tokio::time::timeout_at(deadline.into(), barrier.round()).await {
            Ok(Ok(Round::Through(proxies))) => return Ok(proxies),
            Ok(Ok(Round::Waits(error))) => waits_for = Some(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
        if let Some(error) = waits_for.as_ref().filter(|_| began.elapsed() >= TOLD_AFTER) {
            tell(error);
        }
        if Instant::now() >= deadline {
            return Err(waits_for.unwrap_or(ArrivalError::NoAnswer));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_EVERY_MAX);
    }
}
