//! Tells others of what happens to releases: each release's news one after the other, and no release waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use canary_release::{Notice, Release, notices, origin};
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::Notify;

use super::beside::{Beside, Heard};
use crate::failure::chain;
use crate::names::NOTIFY;
use crate::post::{Letter, Post};

/// How long one try may take, and how many there are after the first: a minute and a half in all.
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 4;

/// What is being told.
pub(super) struct Tells {
    client: Client,
    /// Where the addresses are that are told of every release.
    namespace: String,
    post: Option<Post>,
    told: Beside<u32>,
}

impl Tells {
    pub(super) fn new(client: Client, namespace: &str, answered: Arc<Notify>) -> Self {
        Self { client, namespace: namespace.into(), post: None, told: Beside::new(answered) }
    }

    /// How many entries of a release's history are told of, if some have been since the last time. Tells what is new.
    pub(super) async fn look(&mut self, release: &Release, now: i64) -> Option<u32> {
        let key = release.metadata.uid.as_deref().unwrap_or(release.metadata.name.as_str());
        match self.told.hear(key) {
            Heard::Answer(told) => return Some(told),
            Heard::NotYet => return None,
            Heard::Nothing => {}
        }
        let news = notices(release, now)?;
        let urls = self.urls(release).await;
        if urls.is_empty() {
            return None;
        }
        let post = self.post()?;
        let name = release.metadata.name.to_string();
        self.told.ask(key, async move {
            join_all(urls.iter().map(|url| tell(&post, &name, url, &news.list))).await;
            news.told
        });
        None
    }

    /// What is under way is told even of a release that is gone by now.
    pub(super) fn keep(&mut self, releases: &[Release]) {
        self.told.finish(&releases.iter().filter_map(|release| release.metadata.uid.clone()).collect());
    }

    /// Who is told of a release: whom it names, and who is told of each.
    async fn urls(&self, release: &Release) -> BTreeSet<String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = match api.get_opt(NOTIFY).await {
            Ok(found) => found.and_then(|secret| secret.data).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "Secret {NOTIFY} cannot be read");
                [].into()
            }
        };
        let all = all.into_values().filter_map(|url| String::from_utf8(url.0).ok());
        let all =
            all.map(|url| url.trim().to_owned()).chain(release.spec.notify.iter().map(|one| one.url.clone()));
        all.filter(|url| !origin(url).is_empty()).collect()
    }

    fn post(&mut self) -> Option<Post> {
        if self.post.is_none() {
            match Post::new() {
                Ok(post) => self.post = Some(post),
                Err(error) => tracing::warn!(error = %chain(&error), "nobody can be told of releases"),
            }
        }
        self.post.clone()
    }
}

/// Tells one address, in order. Of what follows something that it did not take it is not told: it would be as long in
/// coming.
async fn tell(post: &Post, release: &str, url: &str, news: &[Notice]) {
    for notice in news {
        let letter = Letter {
            url: url.to_owned(),
            id: notice.id.clone(),
            body: notice.body.clone(),
            timeout: TIMEOUT,
            retries: RETRIES,
        };
        if let Err(why) = post.send(&letter).await {
            tracing::warn!(release, to = origin(url), id = notice.id, why, "is not told of a release");
            return;
        }
    }
}
