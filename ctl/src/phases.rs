//! Makes a plan's changes in their order: a phase goes out once every proxy has the phases before it.

mod touched;

use std::collections::BTreeMap;
use std::time::Duration;

use canary_istio::{Change, ObjectRef, Phase};
use kube::Client;
use serde_json::Value;

use crate::apply::{self, ApplyError, Versions, Written};
use crate::arrival::{self, ArrivalError, Labelled, News, Sidecars};
use crate::steer::PodChange;

/// Makes changes, phase by phase.
pub struct Phases<'a> {
    client: &'a Client,
    root_namespace: &'a str,
    sidecars: Sidecars,
    timeout: Duration,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// What was written, in order.
    pub written: Vec<Written>,
    /// Proxies that have the last phase; none where nothing had to arrive.
    pub proxies: Option<usize>,
}

/// Why a phase is not through.
#[derive(Debug, thiserror::Error)]
pub enum PhaseError {
    /// A write failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Not every proxy has it.
    #[error("{phase}")]
    Arrival {
        /// The phase.
        phase: Phase,
        /// Who has not.
        #[source]
        source: ArrivalError,
    },
    /// Not every proxy ranks pods by their new labels.
    #[error("labels of pods")]
    Labels(
        /// Who does not.
        #[source]
        ArrivalError,
    ),
}

impl PhaseError {
    /// How many proxies it waits for.
    #[must_use]
    pub fn late_proxies(&self) -> usize {
        match self {
            Self::Arrival { source: ArrivalError::Late(proxies), .. }
            | Self::Labels(ArrivalError::Late(proxies)) => proxies.len(),
            Self::Arrival { .. } | Self::Labels(_) | Self::Apply(_) => 0,
        }
    }
}

/// The phases that proxies must have before the next one may go out. What is collected, nobody uses.
const ORDER: [Phase; 5] = [Phase::EdgeOff, Phase::Subsets, Phase::Routes, Phase::EdgeOn, Phase::Collect];

impl<'a> Phases<'a> {
    /// For this cluster, where these pods have a proxy; each phase may take this long to reach every proxy.
    #[must_use]
    pub fn new(client: &'a Client, root_namespace: &'a str, sidecars: Sidecars, timeout: Duration) -> Self {
        Self { client, root_namespace, sidecars, timeout }
    }

    /// Makes the changes. What is `unsettled` must have arrived before the first of them: an earlier run may
    /// have ended between a write and its proof.
    ///
    /// # Errors
    /// The first write that fails, or the proxies that do not confirm a phase in time. What was done stays.
    pub async fn run(&self, changes: &[&Change], unsettled: Option<&[Written]>) -> Result<Done, PhaseError> {
        let mut versions = Versions::default();
        let mut done = Done::default();
        let mut unsettled = unsettled;
        for phase in ORDER {
            let due: Vec<&&Change> = changes.iter().filter(|change| change.phase == phase).collect();
            if due.is_empty() {
                continue;
            }
            if phase == Phase::Collect {
                for change in due {
                    done.written.push(apply::change(self.client, change, &mut versions).await?);
                }
                continue;
            }
            if let Some(written) = unsettled.take() {
                let news = News { written: written.to_vec(), ..News::default() };
                self.prove(&news).await.map_err(|source| PhaseError::Arrival { phase, source })?;
            }
            let mut news = News {
                services: due.iter().flat_map(|change| touched::hosts(change)).collect(),
                ..News::default()
            };
            for change in due {
                let written = apply::change(self.client, change, &mut versions).await?;
                news.written.push(written.clone());
                done.written.push(written);
            }
            let proxies = self.prove(&news).await.map_err(|source| PhaseError::Arrival { phase, source })?;
            done.proxies = Some(proxies);
        }
        Ok(done)
    }

    /// Puts the labels on pods that rules are going to read, and waits until every proxy has them.
    ///
    /// # Errors
    /// When the API server refuses, or who has not heard of them in time.
    pub async fn label(&self, pods: &[PodChange]) -> Result<(), PhaseError> {
        let set = |change: &PodChange| {
            let labels = change.set.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
            Some((change.to_set()?, labels.collect()))
        };
        self.relabel(pods.iter().filter_map(|change| Some((&change.pod, set(change)?)))).await
    }

    /// Takes labels off pods that no rule reads any more, and waits until every proxy has heard.
    ///
    /// # Errors
    /// As for [`Self::label`].
    pub async fn unlabel(&self, pods: &[&PodChange]) -> Result<(), PhaseError> {
        let unset = |change: &PodChange| {
            let labels = change.unset.iter().map(|key| (key.clone(), None));
            Some((change.to_unset()?, labels.collect()))
        };
        self.relabel(pods.iter().filter_map(|change| Some((&change.pod, unset(change)?)))).await
    }

    async fn relabel(
        &self,
        pods: impl Iterator<Item = (&ObjectRef, (Value, BTreeMap<String, Option<String>>))>,
    ) -> Result<(), PhaseError> {
        let mut news = News::default();
        for (pod, (patch, labels)) in pods {
            if let Some(addresses) = apply::label(self.client, pod, &patch).await? {
                news.labelled.push(Labelled { pod: pod.clone(), addresses, labels });
            }
        }
        if news.labelled.is_empty() {
            return Ok(());
        }
        self.prove(&news).await.map(drop).map_err(PhaseError::Labels)
    }

    async fn prove(&self, news: &News) -> Result<usize, ArrivalError> {
        let deadline = std::time::Instant::now() + self.timeout;
        arrival::wait(self.client, self.root_namespace, news, &self.sidecars, deadline).await
    }
}
