//! Round by round: istiods hear of the news, the marker follows, proxies show it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use canary_istio::ObjectRef;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, future, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::debug::{Debug, Istiods};
use super::judge::{self, Proxy};
use super::marker::{self, Marked};
use super::{ArrivalError, News, ReadyPod, Sidecars};
use crate::apply::Written;
use crate::world;

/// How often istiods are looked for, and late proxies' pods looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many pods are looked at at a time.
const LOOKS_AT_A_TIME: usize = 16;

/// The state of a proof.
pub(super) struct Barrier<'a> {
    client: &'a Client,
    root_namespace: &'a str,
    news: &'a News,
    sidecars: &'a Sidecars,
    istiods: Vec<Istiod>,
    revisions: BTreeSet<String>,
    marked: Option<Marked>,
    looked_for_istiods: Option<Instant>,
    looked_at_pods: Option<Instant>,
    began: Instant,
    /// Proxies of pods that are gone, end, or serve nobody yet.
    excused: BTreeSet<String>,
    /// What was there and is gone, and pods that are ready no more: nobody hears of them.
    gone: BTreeSet<ObjectRef>,
    looked_at_objects: Instant,
}

struct Istiod {
    debug: Debug,
    /// Whether it says that it can serve proxies.
    is_ready: bool,
    /// Whether its store has the news.
    has_heard: bool,
}

/// What came of a round.
pub(super) enum Round {
    /// So many proxies have it.
    Through(usize),
    /// It waits for this.
    Waits(ArrivalError),
}

impl<'a> Barrier<'a> {
    pub(super) fn new(
        client: &'a Client,
        root_namespace: &'a str,
        news: &'a News,
        sidecars: &'a Sidecars,
    ) -> Self {
        Self {
            client,
            root_namespace,
            news,
            sidecars,
            istiods: Vec::new(),
            revisions: BTreeSet::new(),
            marked: None,
            looked_for_istiods: None,
            looked_at_pods: None,
            began: Instant::now(),
            excused: BTreeSet::new(),
            gone: BTreeSet::new(),
            looked_at_objects: Instant::now(),
        }
    }

    /// Asks everybody once.
    ///
    /// # Errors
    /// When the API server refuses.
    pub(super) async fn round(&mut self) -> Result<Round, ArrivalError> {
        match self.find_istiods().await {
            Ok(()) => {}
            Err(error @ ArrivalError::NoIstiod { .. }) => return Ok(Round::Waits(error)),
            Err(error) => return Err(error),
        }
        if let Some(error) = self.hear().await? {
            return Ok(Round::Waits(error));
        }
        let marked = match self.marked.take() {
            Some(marked) => marked,
            None => marker::write(self.client, self.root_namespace, &self.news.services).await?,
        };
        let asked = self.proxies(&marked).await;
        self.marked = Some(marked);
        let proxies = match asked {
            Ok(proxies) => proxies,
            Err(silent) => return Ok(Round::Waits(silent)),
        };
        let late = self.late(&proxies).await?;
        if late.is_empty() {
            return Ok(Round::Through(proxies.iter().filter(|proxy| proxy.in_sight).count()));
        }
        Ok(Round::Waits(ArrivalError::Late(late.into_iter().collect())))
    }

    /// Looks who is there now and then: istiods come and go during a long wait.
    async fn find_istiods(&mut self) -> Result<(), ArrivalError> {
        if self.looked_for_istiods.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let found = Istiods::find(self.client, self.root_namespace).await?;
        let mut before = std::mem::take(&mut self.istiods);
        for (debug, is_ready) in found.connect(self.client) {
            match before.iter().position(|istiod| istiod.debug.pod() == debug.pod()) {
                Some(at) => self.istiods.push(Istiod { is_ready, ..before.swap_remove(at) }),
                None => {
                    // A proxy that it tells of the marker need not have been told of the news.
                    self.marked = None;
                    self.istiods.push(Istiod { debug, is_ready, has_heard: false });
                }
            }
        }
        self.revisions = found.revisions();
        self.looked_for_istiods = Some(Instant::now());
        Ok(())
    }

    /// Asks those that have not heard of the news; says what the first of them lacks.
    ///
    /// # Errors
    /// When what was written is gone.
    async fn hear(&mut self) -> Result<Option<ArrivalError>, ArrivalError> {
        let (news, gone) = (self.news, &self.gone);
        let unheard = self.istiods.iter_mut().filter(|istiod| !istiod.has_heard);
        let asked = join_all(unheard.map(|istiod| async move {
            let missing = missing(&mut istiod.debug, news, gone).await;
            istiod.has_heard = missing.is_none();
            // One that does not serve yet, or no more, has nobody's ear; who is its client all the same shows, for
            // nobody else knows of it.
            missing.filter(|_| istiod.is_ready)
        }));
        let missing = asked.await.into_iter().flatten().next();
        if let Some(Missing::Write { object, is_deletion: false, .. }) = &missing
            && self.is_gone(object).await
        {
            if !self.news.was_found {
                return Err(ArrivalError::Deleted(object.clone()));
            }
            self.gone.insert(object.clone());
        }
        if let Some(Missing::Endpoints { of, .. }) = &missing {
            let gone = self.serving_nobody(of).await;
            self.gone.extend(gone);
        }
        let missing = missing.map(ArrivalError::from);
        self.note_silence(missing.as_ref());
        Ok(missing)
    }

    /// Looks now and then whether what was written is there at all: somebody may have deleted it.
    async fn is_gone(&mut self, object: &ObjectRef) -> bool {
        if self.looked_at_objects.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked_at_objects = Instant::now();
        let Some(kind) = world::WORLD.iter().find(|kind| kind.name == object.kind) else { return false };
        let (namespace, name) = (Some(object.namespace.as_str()), &object.name);
        let found = world::get(self.client, &kind.api_version(), kind.name, namespace, name).await;
        matches!(found, Ok(None))
    }

    /// Looks now and then which of these pods end, or are ready no more.
    async fn serving_nobody(&mut self, pods: &[ObjectRef]) -> Vec<ObjectRef> {
        if self.looked_at_objects.elapsed() < LOOK_EVERY {
            return Vec::new();
        }
        self.looked_at_objects = Instant::now();
        let client = self.client;
        let serves = |pod: &Pod| super::is_ready(pod) && pod.metadata.deletion_timestamp.is_none();
        let asked = stream::iter(pods.to_vec()).map(|pod| async move {
            let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
            let found = api.get_opt(&pod.name).await;
            found.is_ok_and(|found| !found.as_ref().is_some_and(serves)).then_some(pod)
        });
        asked.buffer_unordered(LOOKS_AT_A_TIME).filter_map(future::ready).collect().await
    }

    /// Everybody's proxies, as to this marker.
    async fn proxies(&mut self, marked: &Marked) -> Result<Vec<Proxy>, ArrivalError> {
        let parts = &self.news.parts();
        let heard = self.istiods.iter_mut().filter(|istiod| istiod.has_heard);
        let asked = join_all(heard.map(|istiod| async {
            let answer = istiod.debug.proxies(marked, parts).await;
            if istiod.is_ready { answer } else { Ok(answer.unwrap_or_default()) }
        }));
        let mut proxies = Vec::new();
        let mut silent = None;
        for answer in asked.await {
            match answer {
                Ok(found) => proxies.extend(found),
                Err(error) => silent = Some(error),
            }
        }
        self.note_silence(silent.as_ref());
        silent.map_or(Ok(proxies), Err)
    }

    /// One that does not answer may be gone.
    fn note_silence(&mut self, error: Option<&ArrivalError>) {
        if matches!(error, Some(ArrivalError::Silent { .. })) {
            self.looked_for_istiods = None;
        }
    }

    /// Who has not confirmed: proxies that istiods know of, and ready pods of whose proxy none knows.
    async fn late(&mut self, proxies: &[Proxy]) -> Result<BTreeSet<String>, ArrivalError> {
        let mut late = judge::late(proxies);
        let known: BTreeSet<&str> = proxies.iter().map(|proxy| proxy.name.as_str()).collect();
        let sidecars = self.sidecars.of_revisions(&self.revisions);
        let unknown = sidecars.filter(|name| !known.contains(name));
        late.extend(unknown.map(str::to_owned));
        late.retain(|name| !self.excused.contains(name));
        let only_unknown = late.iter().all(|name| !known.contains(name.as_str()));
        let looks = match self.looked_at_pods {
            // Whom no istiod knows, nothing is heard of by waiting.
            None => only_unknown || self.began.elapsed() >= LOOK_EVERY,
            Some(at) => at.elapsed() >= LOOK_EVERY,
        };
        if late.is_empty() || !looks {
            return Ok(late);
        }
        self.looked_at_pods = Some(Instant::now());
        let asked: Vec<(String, bool)> =
            late.iter().map(|name| (name.clone(), known.contains(name.as_str()))).collect();
        let (client, sidecars) = (self.client, self.sidecars);
        let excused = stream::iter(asked).map(|(name, is_known)| async move {
            (!sidecars.counts(client, &name, is_known).await).then_some(name)
        });
        let excused = excused.buffer_unordered(LOOKS_AT_A_TIME).filter_map(future::ready);
        self.excused.extend(excused.collect::<Vec<String>>().await);
        late.retain(|name| !self.excused.contains(name));
        Ok(late)
    }
}

/// What an istiod lacks of the news, or why it does not say.
enum Missing {
    Write { pod: String, object: ObjectRef, is_deletion: bool },
    Labels { pod: String, of: ObjectRef },
    Endpoints { pod: String, of: Vec<ObjectRef> },
    Answer(ArrivalError),
}

impl From<Missing> for ArrivalError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Write { pod, object, .. } => Self::Unheard { pod, object: object.to_string() },
            Missing::Labels { pod, of } => Self::Unheard { pod, object: format!("the labels of {of}") },
            Missing::Endpoints { pod, of } => {
                let first = of.first().map(ToString::to_string).unwrap_or_default();
                Self::Unheard { pod, object: format!("the endpoint of {first}") }
            }
            Missing::Answer(error) => error,
        }
    }
}

async fn missing(debug: &mut Debug, news: &News, gone: &BTreeSet<ObjectRef>) -> Option<Missing> {
    let pod = debug.pod().to_owned();
    let found = async {
        let written: Vec<&Written> =
            news.written.iter().filter(|write| !gone.contains(&write.object) && debug.reads(write)).collect();
        if !written.is_empty()
            && let Some(write) = judge::unknown(&debug.config().await?, written.into_iter())
        {
            let is_deletion = write.resource_version.is_none();
            return Ok(Some(Missing::Write { pod, object: write.object.clone(), is_deletion }));
        }
        if news.labelled.is_empty() && news.ready.is_empty() {
            return Ok(None);
        }
        let endpoints = debug.endpoints().await?;
        if let Some(labelled) = judge::unlabelled(&endpoints, &news.labelled) {
            return Ok(Some(Missing::Labels { pod, of: labelled.pod.clone() }));
        }
        let ready: Vec<&ReadyPod> = news.ready.iter().filter(|ready| !gone.contains(&ready.pod)).collect();
        let of: Vec<ObjectRef> = judge::absent(&endpoints, &ready).map(|absent| absent.pod.clone()).collect();
        Ok((!of.is_empty()).then_some(Missing::Endpoints { pod, of }))
    };
    found.await.unwrap_or_else(|error| Some(Missing::Answer(error)))
}
