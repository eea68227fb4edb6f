//! Keeps a cluster's objects up to date and says when something changed.

use std::future::Future;

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

/// Every object that plans look at, as last heard.
pub struct Watched {
    stores: Vec<Kept>,
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

impl Watched {
    /// Starts watching. The returned future never ends by itself; it must be polled for anything to be heard.
    ///
    /// # Errors
    /// When the API server cannot say which kinds there are.
    pub async fn start(client: &Client) -> Result<(Self, impl Future<Output = ()> + use<>), kube::Error> {
        let (changed, _) = watch::channel(());
        let mut stores = Vec::new();
        let mut streams = Vec::new();
        for kind in WORLD {
            if kind.optional && !is_served(client, &kind).await? {
                continue;
            }
            let resource = kind.resource();
            let config = Config::default();
            if kind.metadata_only {
                let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(client.clone(), &resource);
                let writer = Writer::new(resource);
                stores.push(Kept::Metadata(kind, writer.as_reader()));
                streams.push(follow(watch_objects(api, config), writer, changed.clone()));
            } else {
                let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
                let writer = Writer::new(resource);
                stores.push(Kept::Whole(kind, writer.as_reader()));
                streams.push(follow(watch_objects(api, config), writer, changed.clone()));
            }
        }
        let run = async move { drop(future::join_all(streams).await) };
        Ok((Self { stores, changed }, run))
    }

    /// Waits until every kind was listed once.
    pub async fn ready(&self) {
        for kept in &self.stores {
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

    /// The Lanes, as last heard.
    #[must_use]
    pub fn lanes(&self) -> Vec<Object> {
        let stores = self.stores.iter().filter_map(|kept| match kept {
            Kept::Whole(kind, store) if kind.name == canary_rules::lane::KIND => Some((kind, store)),
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
    events: impl futures_util::Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    writer: Writer<K>,
    changed: watch::Sender<()>,
) -> Following
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: std::hash::Hash + Eq + Clone + Send + Sync,
{
    let heard = events.default_backoff().reflect(writer);
    Box::pin(heard.for_each(move |event| {
        match event {
            Ok(_) => changed.send_replace(()),
            // The stream goes on by itself, with back-off.
            Err(error) => tracing::warn!(%error, "watch interrupted"),
        }
        future::ready(())
    }))
}

async fn is_served(client: &Client, kind: &Kind) -> Result<bool, kube::Error> {
    match client.list_api_group_resources(&kind.api_version()).await {
        Ok(resources) => Ok(resources.resources.iter().any(|resource| resource.name == kind.plural)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}
