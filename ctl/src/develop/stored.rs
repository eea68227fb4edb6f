//! Objects of a cluster as they are now, for as long as somebody looks.

use futures_util::StreamExt as _;
use kube::Api;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Config;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::watch;

/// What watches, which is to be polled, and what it has seen; each change is told.
pub(crate) fn store<K>(api: Api<K>, changed: watch::Sender<()>) -> (impl Future<Output = ()>, Store<K>)
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let writer = Writer::new(());
    let reader = writer.as_reader();
    let seen = watcher(api, Config::default()).default_backoff().reflect(writer);
    let run = seen.for_each(move |seen| {
        match seen {
            Ok(_) => changed.send_modify(|()| {}),
            Err(error) => tracing::debug!(%error, "a watch broke and is taken up again"),
        }
        futures_util::future::ready(())
    });
    (run, reader)
}
