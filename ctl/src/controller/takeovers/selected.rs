//! Takeovers that have a service by its selector: which agent is to have it, now and while proxies are waited for.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use canary_istio::Object;
use kube::Client;
use tokio::time::sleep;

use super::agents::{Agent, Agents};
use super::release_selected;
use crate::controller::run::{SETTLE, hear};
use crate::failure::chain;
use crate::selectors::{Selectors, Turned, Wanted};
use crate::takeover::{By, Ruling, Takeover};
use crate::world::{MeshConfigs, Seen, Watched};

/// How long before there is another round where nothing is heard.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Turns services by their selectors, as Takeovers and their agents have it. Where that cannot be done it says so of them, and
/// keeps nothing else back.
pub(in crate::controller) async fn turn(client: &Client, seen: &Seen, selectors: &mut Selectors) -> Turned {
    if !seen.has_selected() {
        *selectors = Selectors::default();
        return Turned::default();
    }
    round(client, seen, selectors).await.unwrap_or_else(|error| {
        tracing::warn!(error = %chain(&error), "cannot turn services by their selectors");
        Turned::failed(chain(&error))
    })
}

async fn round(client: &Client, seen: &Seen, selectors: &mut Selectors) -> Result<Turned, kube::Error> {
    let agents = Agents::list(client).await?;
    let wanted = |service: &Object| {
        let asked = seen.derived.rulings.values().filter_map(by_selector);
        asked.filter(|takeover| is_of(takeover, service)).find_map(|takeover| {
            match agents.of_takeover(service.namespace(), &takeover.metadata.name) {
                Agent::Running(agent) if agent.is_ready => Some(Wanted { takeover, pod: agent.pod }),
                _ => None,
            }
        })
    };
    selectors.round(client, &seen.taken, wanted).await
}

/// Goes on with that for as long as it is polled, if there is anything to turn: no service waits for the proxies of a
/// mesh that it is not in.
pub(in crate::controller) async fn go_on(
    client: &Client,
    (watched, configs): (&Watched, &MeshConfigs),
    begun: &Seen,
    selectors: &mut Selectors,
    turned: &mut Turned,
) -> Infallible {
    if !begun.has_selected() {
        return pending().await;
    }
    let mut news = watched.news();
    loop {
        tokio::select! {
            () = news.changed() => sleep(SETTLE).await,
            () = sleep(turned.again_in.unwrap_or(AGAIN_AFTER)) => {}
        }
        hear(watched, &mut news, &turned.written).await;
        let Ok(seen) = watched.world().see(configs) else { continue };
        *turned = turn(client, &seen, selectors).await;
        if let Err(error) = release_selected(client, &seen, turned).await {
            tracing::info!(error = %chain(&error), "a takeover stays a moment longer");
        }
    }
}

fn is_of(takeover: &Takeover, service: &Object) -> bool {
    takeover.metadata.namespace == service.namespace() && takeover.spec.service == service.name()
}

fn by_selector(ruling: &Ruling) -> Option<&Takeover> {
    match ruling {
        Ruling::On(takeover) if takeover.spec.by == By::Selector => Some(takeover),
        _ => None,
    }
}
