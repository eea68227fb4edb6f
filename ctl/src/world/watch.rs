//! Keeps a cluster's objects up to date and says when something changed.

use std::future::Future;
use std::time::Duration;

use canary_istio::Object;
use futures_util::{StreamExt as _, future};
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Config};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client, Resource};
use tokio::sync::watch;

use super::list::json;
use super::{Kind, WORLD, World};
use crate::apply::Written;
use crate::takeover::{self, Known};

/// How often is looked whether a kind is there that the cluster lacked.
const LOOK_FOR_KIND_EVERY: Duration = Duration::from_secs(30);

/// Every object that plans look at, as last heard.
pub struct Watched {
    stores: Vec<Kept>,
    /// Kinds that the cluster lacked at the start: nobody waits for them.
    lacking: Vec<Kind>,
    changed: watch::Sender<()>,
}

/// Tells one listener of changes.
pub struct News(watch::Receiver<()>);

impl News {
    /// Waits until something changed since the last call.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            future::pending::<()>().await;
        }
    }
}

enum Kept {
    Whole(Kind, Store<DynamicObject>),
    Metadata(Kind, Store<PartialObjectMeta<DynamicObject>>),
}

impl Kept {
    fn kind(&self) -> &Kind {
        match self {
            Self::Whole(kind, _) | Self::Metadata(kind, _) => kind,
        }
    }
}

/// A kind that may have to be waited for.
struct Awaited {
    client: Client,
    kind: Kind,
    /// How often to look for it; not at all if it is there.
    every: Option<Duration>,
}

impl Awaited {
    async fn arrive(self) {
        let Some(every) = self.every else { return };
        loop {
            tokio::time::sleep(every).await;
            match is_served(&self.client, &self.kind).await {
                Ok(true) => return tracing::info!(kind = self.kind.name, "the cluster knows it by now"),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, kind = self.kind.name, "nobody says whether it is there")
                }
            }
        }
    }
}

impl Watched {
    /// Starts watching. The returned future never ends by itself; it must be polled for anything to be heard. A kind
    /// that the cluster may lack, and does, is heard of once it is there.
    ///
    /// # Errors
    /// When the API server cannot say which kinds there are.
    pub async fn start(client: &Client) -> Result<(Self, impl Future<Output = ()> + use<>), kube::Error> {
        Self::start_looking(client, LOOK_FOR_KIND_EVERY).await
    }

    async fn start_looking(
        client: &Client,
        every: Duration,
    ) -> Result<(Self, impl Future<Output = ()> + use<>), kube::Error> {
        let (changed, _) = watch::channel(());
        let mut stores = Vec::new();
        let mut streams = Vec::new();
        let mut lacking = Vec::new();
        for kind in WORLD {
            let lacks = kind.optional && !is_served(client, &kind).await?;
            if lacks {
                lacking.push(kind);
            }
            let first = Awaited { client: client.clone(), kind, every: lacks.then_some(every) };
            let resource = kind.resource();
            let config = Config::default();
            if kind.metadata_only {
                let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(client.clone(), &resource);
                let writer = Writer::new(resource);
                stores.push(Kept::Metadata(kind, writer.as_reader()));
                streams.push(follow(first, watch_objects(api, config), writer, changed.clone()));
            } else {
                let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
                let writer = Writer::new(resource);
                stores.push(Kept::Whole(kind, writer.as_reader()));
                streams.push(follow(first, watch_objects(api, config), writer, changed.clone()));
            }
        }
        let run = async move { drop(future::join_all(streams).await) };
        Ok((Self { stores, lacking, changed }, run))
    }

    /// Waits until every kind that was there at the start was listed once.
    pub async fn ready(&self) {
        for kept in self.stores.iter().filter(|kept| !self.lacking.contains(kept.kind())) {
            // A writer lives as long as the future that `start` returned; without it nothing ever gets ready.
            let listed = match kept {
                Kept::Whole(_, store) => store.wait_until_ready().await,
                Kept::Metadata(_, store) => store.wait_until_ready().await,
            };
            if listed.is_err() {
                future::pending::<()>().await;
            }
        }
    }

    /// For a listener: what changes from now on.
    #[must_use]
    pub fn news(&self) -> News {
        News(self.changed.subscribe())
    }

    /// What is known of a namespace's pods: their metadata.
    #[must_use]
    pub fn pods(&self, namespace: &str) -> Vec<Object> {
        let stores = self.stores.iter().filter_map(|kept| match kept {
            Kept::Metadata(kind, store) if kind.name == "Pod" => Some((kind, store)),
            _ => None,
        });
        let all = stores.flat_map(|(kind, store)| store.state().into_iter().map(move |one| (kind, one)));
        let own = all.filter(|(_, pod)| pod.metadata.namespace.as_deref() == Some(namespace));
        own.filter_map(|(kind, pod)| Object::new(json(kind, &*pod)).ok()).collect()
    }

    /// Whether a write of ours, or a later one, was heard of.
    #[must_use]
    pub fn has_heard(&self, write: &Written) -> bool {
        let heard = self.stores.iter().find_map(|kept| match kept {
            Kept::Whole(kind, store) if kind.name == write.object.kind => Some(store),
            _ => None,
        });
        // What nobody watches, nobody plans by.
        let Some(store) = heard else { return true };
        let is_it = |object: &DynamicObject| {
            object.metadata.name.as_ref() == Some(&write.object.name)
                && object.metadata.namespace.as_deref().unwrap_or_default() == write.object.namespace
        };
        let found = store.find(is_it);
        let version = |text: &str| text.parse::<u64>().unwrap_or(0);
        match (&write.resource_version, found) {
            (None, found) => found.is_none(),
            // It may have been deleted since; that is for the next plan to see.
            (Some(_), None) => false,
            (Some(ours), Some(object)) => {
                version(object.metadata.resource_version.as_deref().unwrap_or_default()) >= version(ours)
            }
        }
    }

    /// The Lanes, as last heard, and those of Takeovers.
    #[must_use]
    pub fn lanes(&self) -> Vec<Object> {
        let mut lanes = self.of_kind(canary_rules::lane::KIND);
        let takeovers = self.of_kind(takeover::KIND);
        let known = Known { lanes: &lanes, services: None, written: None };
        let derived = takeover::derive(&takeovers, known).lanes;
        lanes.extend(derived);
        lanes
    }

    fn of_kind(&self, name: &str) -> Vec<Object> {
        let stores = self.stores.iter().filter_map(|kept| match kept {
            Kept::Whole(kind, store) if kind.name == name => Some((kind, store)),
            _ => None,
        });
        let all = stores.flat_map(|(kind, store)| store.state().into_iter().map(|one| json(kind, &*one)));
        all.filter_map(|value| Object::new(value).ok()).collect()
    }

    /// Everything, as last heard.
    #[must_use]
    pub fn world(&self) -> World {
        let mut objects = Vec::new();
        for kept in &self.stores {
            match kept {
                Kept::Whole(kind, store) => {
                    objects.extend(store.state().iter().map(|object| json(kind, &**object)));
                }
                Kept::Metadata(kind, store) => {
                    objects.extend(store.state().iter().map(|object| json(kind, &**object)));
                }
            }
        }
        World { objects }
    }
}

type Following = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn follow<K>(
    first: Awaited,
    events: impl futures_util::Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    writer: Writer<K>,
    changed: watch::Sender<()>,
) -> Following
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: std::hash::Hash + Eq + Clone + Send + Sync,
{
    let heard = events.default_backoff().reflect(writer);
    let each = move |event| {
        match event {
            Ok(_) => changed.send_replace(()),
            // The stream goes on by itself, with back-off.
            Err(error) => tracing::warn!(%error, "watch interrupted"),
        }
        future::ready(())
    };
    Box::pin(async move {
        first.arrive().await;
        heard.for_each(each).await;
    })
}

async fn is_served(client: &Client, kind: &Kind) -> Result<bool, kube::Error> {
    match client.list_api_group_resources(&kind.api_version()).await {
        Ok(resources) => Ok(resources.resources.iter().any(|resource| resource.name == kind.plural)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Json;
    use axum::http::{StatusCode, Uri};
    use axum::response::{IntoResponse as _, Response};
    use kube::Config;
    use serde_json::json;

    use super::*;

    const RELEASES: &str = "/apis/canaryctl.io/v1alpha1/releases";

    /// An API server that has one Release, once it knows the kind.
    async fn server(knows: Arc<AtomicBool>) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = move |uri: Uri| {
            let knows = knows.load(Ordering::Relaxed);
            async move { respond(&uri, knows).await }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(axum::serve(listener, axum::Router::new().fallback(answer)).into_future());
        Client::try_from(Config::new(format!("http://{address}").parse().expect("a URL"))).expect("a client")
    }

    async fn respond(uri: &Uri, knows: bool) -> Response {
        let path = uri.path();
        if uri.query().is_some_and(|query| query.contains("watch=true")) {
            return future::pending().await;
        }
        if path == "/apis/canaryctl.io/v1alpha1" {
            let release = json!({
                "name": "releases", "singularName": "release", "namespaced": false, "kind": "Release", "verbs": ["list"],
            });
            let resources = if knows { vec![release] } else { Vec::new() };
            let version = "canaryctl.io/v1alpha1";
            return Json(json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources}))
                .into_response();
        }
        let is_discovery = path.matches('/').count() < 4 && path.starts_with("/apis/");
        if is_discovery || (path == RELEASES && !knows) {
            let status = json!({"kind": "Status", "status": "Failure", "code": 404, "message": "", "reason": "NotFound"});
            return (StatusCode::NOT_FOUND, Json(status)).into_response();
        }
        let release = json!({"metadata": {"name": "r", "resourceVersion": "1"}, "spec": {"workloads": []}});
        let items = if path == RELEASES { vec![release] } else { Vec::new() };
        Json(
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
        )
        .into_response()
    }

    #[tokio::test]
    async fn a_kind_that_the_cluster_lacked_is_heard_of_once_it_is_there() {
        let knows = Arc::new(AtomicBool::new(false));
        let client = server(knows.clone()).await;
        let started = Watched::start_looking(&client, Duration::from_millis(20)).await;
        let (watched, keep_watching) = started.expect("it starts");
        let releases = || {
            let objects = watched.world().objects;
            objects.into_iter().filter(|object| object["kind"] == canary_release::KIND).count()
        };
        let heard = async {
            watched.ready().await;
            assert_eq!(releases(), 0);
            knows.store(true, Ordering::Relaxed);
            let mut news = watched.news();
            while releases() == 0 {
                news.changed().await;
            }
        };
        let limit = Duration::from_secs(30);
        tokio::select! {
            heard = tokio::time::timeout(limit, heard) => heard.expect("the release is heard of"),
            () = keep_watching => unreachable!("it goes on"),
        }
    }
}
