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

mod debug;
mod judge;
mod marker;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use canary_istio::Host;
use kube::Client;

use crate::apply::Written;
use debug::Debug;
use judge::{Known, Proxy};

pub use debug::Istiods;
pub use marker::objects;

/// Shortest and longest pause between two questions.
const ASK_EVERY_MIN: Duration = Duration::from_millis(40);
const ASK_EVERY_MAX: Duration = Duration::from_millis(500);
/// How many late proxies an error names.
const NAMED_MAX: usize = 10;

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
    /// Proxies have not confirmed.
    #[error("{}", late(.0))]
    Late(
        /// The proxies, as `pod.namespace`.
        Vec<String>,
    ),
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

/// Waits until every proxy in sight has what was written about these services, and returns how many those are.
/// With nothing written: until they have all that there is.
///
/// # Errors
/// By the deadline, what or whom it waits for; earlier when the API server refuses.
pub async fn wait(
    client: &Client,
    istiods: &Istiods,
    written: &[Written],
    services: &BTreeSet<Host>,
    deadline: Instant,
) -> Result<usize, ArrivalError> {
    let mut debugs = istiods.connect(client);
    for debug in &mut debugs {
        heard(debug, written, deadline).await?;
    }
    let marked = marker::write(client, services).await?;
    let mut pause = ASK_EVERY_MIN;
    loop {
        let mut proxies: Vec<Proxy> = Vec::new();
        let mut silent = None;
        for debug in &mut debugs {
            match debug.proxies(&marked).await {
                Ok(found) => proxies.extend(found),
                Err(error) => silent = Some(error),
            }
        }
        let late = judge::late(&proxies);
        if late.is_empty() && silent.is_none() {
            return Ok(proxies.iter().filter(|proxy| proxy.in_sight).count());
        }
        if Instant::now() >= deadline {
            return Err(silent.unwrap_or(ArrivalError::Late(alive(client, late).await)));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_EVERY_MAX);
    }
}

/// Waits until an istiod's store has every write.
async fn heard(debug: &mut Debug, written: &[Written], deadline: Instant) -> Result<(), ArrivalError> {
    if written.is_empty() {
        return Ok(());
    }
    let mut pause = ASK_EVERY_MIN;
    loop {
        let asked = debug.config().await;
        let missing = match &asked {
            Ok(config) => written.iter().find(|write| judge::known(config, write) == Known::NotYet),
            Err(_) => written.first(),
        };
        let Some(missing) = missing else { return Ok(()) };
        if Instant::now() >= deadline {
            asked?;
            return Err(ArrivalError::Unheard {
                pod: debug.pod().into(),
                object: missing.object.to_string(),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_EVERY_MAX);
    }
}

/// Those of the late whose pods are there at all: istiod keeps a dead proxy's connection for a while.
async fn alive(client: &Client, late: BTreeSet<String>) -> Vec<String> {
    let mut alive = Vec::with_capacity(late.len());
    for proxy in late {
        let there = match proxy.rsplit_once('.') {
            Some((name, namespace)) => crate::world::get(client, "v1", "Pod", Some(namespace), name).await,
            None => Ok(None),
        };
        // Who cannot be asked for is named all the same.
        if !matches!(there, Ok(None)) {
            alive.push(proxy);
        }
    }
    alive
}
