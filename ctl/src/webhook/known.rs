//! The world as a replica knows it: made anew when the watches bring something, leader or not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use canary_istio::{LaneRouting, Object, Standing};
use canary_rules::name::{HeaderName, LaneName};
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lanes::{KEPT, condition};
use crate::settings::Installation;
use crate::steer;
use crate::world::{MeshConfigs, Seen, Watched, World};

/// How often it is made anew at the most; and the share of the time that making it may take.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_PER_MAKING: u32 = 10;
/// How often the Lanes are looked at, at the most.
const LANES_PAUSE: Duration = Duration::from_millis(10);
/// How often it is made anew without being told to: lanes expire.
const MAKE_EVERY: Duration = Duration::from_secs(30);
/// Wait after a read that failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What an answer is made from.
#[derive(Debug)]
pub struct Known {
    /// What stands in the mesh.
    pub standing: Standing,
    /// The controller's namespace.
    pub own_namespace: String,
    /// Istio's root namespace.
    pub root_namespace: String,
}

/// What is read beside the watches.
struct Settings {
    tag_header: HeaderName,
    root_namespace: String,
    mesh_configs: MeshConfigs,
    read: Instant,
}

/// Keeps it up to date. Never ends.
pub async fn keep(
    client: &Client,
    own_namespace: &str,
    watched: &Watched,
    known: &watch::Sender<Option<Arc<Known>>>,
) {
    watched.ready().await;
    let mut news = watched.news();
    let mut settings: Option<Settings> = None;
    loop {
        if settings.as_ref().is_none_or(|settings| settings.read.elapsed() > MAKE_EVERY) {
            match read(client, own_namespace).await {
                Ok(found) => settings = found.or(settings),
                Err(error) => tracing::warn!(%error, "the webhook cannot read the settings"),
            }
        }
        let Some(settings) = &settings else {
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        };
        let started = Instant::now();
        match make(watched.world(), settings, own_namespace).await {
            Some(made) => drop(known.send_replace(Some(Arc::new(made)))),
            None => tracing::warn!("the webhook cannot read the world"),
        }
        let pause = PAUSE_MIN.max(started.elapsed() * PAUSE_PER_MAKING).min(MAKE_EVERY);
        tokio::select! {
            () = news.changed() => tokio::time::sleep(pause).await,
            () = tokio::time::sleep(MAKE_EVERY) => {}
        }
    }
}

/// Keeps the Lanes as the watches bring them, without the long pauses that a whole world takes. Never ends.
pub async fn keep_lanes(watched: &Watched, lanes: &watch::Sender<Arc<Vec<Object>>>) {
    let mut news = watched.news();
    loop {
        let now = watched.lanes();
        lanes.send_if_modified(|last| {
            let differs = **last != now;
            if differs {
                *last = Arc::new(now);
            }
            differs
        });
        news.changed().await;
        tokio::time::sleep(LANES_PAUSE).await;
    }
}

async fn read(
    client: &Client,
    namespace: &str,
) -> Result<Option<Settings>, Box<dyn std::error::Error + Send + Sync>> {
    let Some((installation, mesh)) = Installation::read(client, namespace).await? else { return Ok(None) };
    let root_namespace = installation.presence.root_namespace;
    let mesh_configs = MeshConfigs::read(client, &root_namespace).await?;
    let tag_header = mesh.carriers.header;
    Ok(Some(Settings { tag_header, root_namespace, mesh_configs, read: Instant::now() }))
}

/// A large world takes a while, and nobody is to wait for it.
async fn make(world: World, settings: &Settings, own_namespace: &str) -> Option<Known> {
    let (header, mesh_configs) = (settings.tag_header.clone(), settings.mesh_configs.clone());
    let made = tokio::task::spawn_blocking(move || {
        let seen = world.see(&mesh_configs).ok()?;
        Some(stands(seen, header, Timestamp::now().as_second()))
    });
    Some(Known {
        standing: made.await.ok().flatten()?,
        own_namespace: own_namespace.into(),
        root_namespace: settings.root_namespace.clone(),
    })
}

/// What stands: the lanes as the controller has accepted them last.
pub(super) fn stands(seen: Seen, tag_header: HeaderName, now_unix_s: i64) -> Standing {
    let standing = steer::standing(seen.all_lanes(), now_unix_s, |lane| says(lane, "Accepted"));
    let accepted = standing.iter().filter_map(|lane| LaneRouting::try_from(lane).ok()).collect();
    Standing::new(seen.observed, accepted, tag_header)
}

/// The lanes that every proxy has as they are to be.
pub(super) fn programmed(lanes: &[Object], now_unix_s: i64) -> BTreeSet<LaneName> {
    let is_kept = |lane: &Object| condition(lane.value(), "Programmed").reason == KEPT;
    let has_all = lanes.iter().filter(|lane| says(lane, "Programmed") || is_kept(lane));
    let standing = steer::standing(has_all, now_unix_s, |_| true);
    standing.into_iter().map(|lane| lane.metadata.name).collect()
}

/// Whether the controller has said so of a Lane's present form.
fn says(lane: &Object, kind: &str) -> bool {
    condition(lane.value(), kind).status == "True"
}
