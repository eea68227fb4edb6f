//! Makes a plan's changes in their order: a phase goes out once every proxy has the phases before it.

mod endpoints;
mod touched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use canary_istio::{
    Action, Change, Host, Object, ObjectRef, Observed, ObservedService, Phase, SubsetName, own, plugins,
};
use kube::Client;
use serde_json::Value;
use tokio::sync::watch;

use crate::apply::{self, ApplyError, Versions, Written};
use crate::arrival::{self, ArrivalError, Labelled, News, ReadyPod, Sidecars};
use crate::steer::PodChange;
use crate::world::{REVISION_LABEL, Seen};

/// Makes changes, phase by phase.
pub struct Phases<'a> {
    client: &'a Client,
    root_namespace: &'a str,
    sidecars: Sidecars,
    services: &'a [ObservedService],
    rules: &'a [Object],
    /// Whether users may be led to lanes by it.
    leads: bool,
    timeout: Duration,
    /// Namespaces that Istio does not look at: what is written there, nobody hears of.
    undiscovered: &'a BTreeSet<String>,
    /// What objects became by changes of the plan at hand.
    versions: Versions,
    /// What a proof waits for that takes a while, in words.
    waits: watch::Sender<String>,
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
    /// Not every proxy has what an earlier run wrote.
    #[error("what was written before")]
    Settle(
        /// Who has not.
        #[source]
        ArrivalError,
    ),
    /// Not every proxy ranks pods by their new labels.
    #[error("labels of pods")]
    Labels(
        /// Who does not.
        #[source]
        ArrivalError,
    ),
}

impl PhaseError {
    /// Whether all is written and it only has not arrived in the time that it had.
    #[must_use]
    pub fn is_late(&self) -> bool {
        match self {
            Self::Apply(_) => false,
            Self::Arrival { source, .. } | Self::Settle(source) | Self::Labels(source) => source.is_late(),
        }
    }

    /// How many proxies it waits for.
    #[must_use]
    pub fn late_proxies(&self) -> usize {
        match self {
            Self::Arrival { source: ArrivalError::Late(proxies), .. }
            | Self::Settle(ArrivalError::Late(proxies))
            | Self::Labels(ArrivalError::Late(proxies)) => proxies.len(),
            Self::Arrival { .. } | Self::Settle(_) | Self::Labels(_) | Self::Apply(_) => 0,
        }
    }
}

/// The phases that proxies must have before the next one may go out. What is collected, nobody uses.
const ORDER: [Phase; 5] = [Phase::EdgeOff, Phase::Subsets, Phase::Routes, Phase::EdgeOn, Phase::Collect];

impl<'a> Phases<'a> {
    /// For this cluster as it was seen; each phase may take this long to reach every proxy.
    #[must_use]
    pub fn new(client: &'a Client, root_namespace: &'a str, seen: &'a Seen, timeout: Duration) -> Self {
        Self {
            client,
            root_namespace,
            sidecars: Sidecars::of(&seen.pods),
            services: &seen.observed.services,
            rules: &seen.observed.destination_rules,
            leads: true,
            timeout,
            undiscovered: &seen.undiscovered,
            versions: Versions::default(),
            waits: watch::Sender::default(),
        }
    }

    /// What is waited for, in words, each time that it is something else, once it has taken a moment.
    #[must_use]
    pub fn waits(&self) -> watch::Receiver<String> {
        self.waits.subscribe()
    }

    /// For changes that take lanes away, by whoever may know nothing of their pods.
    #[must_use]
    pub fn taking_back(self) -> Self {
        Self { leads: false, ..self }
    }

    /// Waits until every proxy has what is of ours in a mesh as it was seen, and these labels: a run before may have
    /// ended between a write and its proof, of plugins that came or went, too. Plan anew afterwards, for rules of ours are written to prove it.
    ///
    /// # Errors
    /// Who has not, by the deadline.
    pub async fn settle(
        &self,
        observed: &Observed,
        labelled: &[Labelled],
        plugins_come_or_go: bool,
    ) -> Result<(), PhaseError> {
        let mut news = there(observed, labelled, plugins_come_or_go);
        news.written.retain(|write| !self.undiscovered.contains(&write.object.namespace));
        if news.written.is_empty() && news.labelled.is_empty() {
            return Ok(());
        }
        let proven = async {
            news.ready = self.endpoints(&news.services).await?;
            self.prove(&news).await.map(drop)
        };
        proven.await.map_err(PhaseError::Settle)
    }

    /// Makes the changes of one plan, in one call or several.
    ///
    /// # Errors
    /// The first write that fails, or the proxies that do not confirm a phase in time. What was done stays.
    pub async fn run(&mut self, changes: &[&Change]) -> Result<Done, PhaseError> {
        let mut done = Done::default();
        for phase in ORDER {
            let due: Vec<&&Change> = changes.iter().filter(|change| change.phase == phase).collect();
            if due.is_empty() {
                continue;
            }
            if phase == Phase::Collect {
                for change in due {
                    done.written.push(apply::change(self.client, change, &mut self.versions).await?);
                }
                continue;
            }
            let mut news = News {
                services: due.iter().flat_map(|change| touched::hosts(change)).collect(),
                plugins_come_or_go: due.iter().any(|change| comes_or_goes(change)),
                ..News::default()
            };
            for change in due {
                let written = apply::change(self.client, change, &mut self.versions).await?;
                if !self.undiscovered.contains(&written.object.namespace) {
                    news.written.push(written.clone());
                }
                done.written.push(written);
            }
            let proven = async {
                match phase {
                    Phase::Routes => news.ready = self.endpoints(&news.services).await?,
                    // Where routes have led for longer, whose pods were not ready then.
                    Phase::EdgeOn => news.ready = self.endpoints(&with_lanes(self.rules).collect()).await?,
                    Phase::EdgeOff | Phase::Subsets | Phase::Collect => {}
                }
                self.prove(&news).await
            };
            done.proxies = Some(proven.await.map_err(|source| PhaseError::Arrival { phase, source })?);
        }
        Ok(done)
    }

    /// Puts the labels on pods that rules are going to read, and waits until every proxy has them. What is written
    /// is in `unproven` until then. A pod that may not be labelled keeps none of the others back: the first
    /// refusal is returned once they are done.
    ///
    /// # Errors
    /// Who has not heard of them in time.
    pub async fn label(
        &self,
        pods: &[PodChange],
        unproven: &mut Vec<Labelled>,
    ) -> Result<Option<ApplyError>, PhaseError> {
        let set = |change: &PodChange| {
            let labels = change.set.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
            Some((change.to_set()?, labels.collect()))
        };
        let changes = pods.iter().filter_map(|change| Some((&change.pod, set(change)?)));
        self.relabel(changes, unproven).await
    }

    /// Takes labels off pods that no rule reads any more, likewise.
    ///
    /// # Errors
    /// As for [`Self::label`].
    pub async fn unlabel(
        &self,
        pods: &[&PodChange],
        unproven: &mut Vec<Labelled>,
    ) -> Result<Option<ApplyError>, PhaseError> {
        let unset = |change: &PodChange| {
            let labels = change.unset.iter().map(|key| (key.clone(), None));
            Some((change.to_unset()?, labels.collect()))
        };
        let changes = pods.iter().filter_map(|change| Some((&change.pod, unset(change)?)));
        self.relabel(changes, unproven).await
    }

    async fn relabel(
        &self,
        pods: impl Iterator<Item = (&ObjectRef, (Value, BTreeMap<String, Option<String>>))>,
        unproven: &mut Vec<Labelled>,
    ) -> Result<Option<ApplyError>, PhaseError> {
        let mut refused = None;
        for (pod, (patch, labels)) in pods {
            match apply::label(self.client, pod, &patch).await {
                Ok(None) => {}
                Ok(Some(addresses)) => unproven.push(Labelled { pod: pod.clone(), addresses, labels }),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if !unproven.is_empty() {
            let news = News { labelled: unproven.clone(), ..News::default() };
            self.prove(&news).await.map_err(PhaseError::Labels)?;
            unproven.clear();
        }
        Ok(refused)
    }

    /// The pods of lanes that these services have requests sent to, where anybody is led there.
    async fn endpoints(&self, services: &BTreeSet<Host>) -> Result<Vec<ReadyPod>, ArrivalError> {
        if !self.leads {
            return Ok(Vec::new());
        }
        let services: Vec<&ObservedService> =
            self.services.iter().filter(|service| services.contains(&service.host)).collect();
        endpoints::of_lanes(self.client, &services).await
    }

    async fn prove(&self, news: &News) -> Result<usize, ArrivalError> {
        let deadline = std::time::Instant::now() + self.timeout;
        let tell = |waits_for: &ArrivalError| {
            let now = waits_for.to_string();
            self.waits.send_if_modified(|before| {
                let is_news = *before != now;
                *before = now;
                is_news
            });
        };
        arrival::wait_and_tell(self.client, self.root_namespace, news, &self.sidecars, deadline, tell).await
    }
}

/// Whether a change brings a plugin or takes one away, rather than telling it something else.
pub(crate) fn comes_or_goes(change: &Change) -> bool {
    change.object.kind == "WasmPlugin" && matches!(change.action, Action::Create { .. } | Action::Delete)
}

/// The services whose rules of ours have subsets of lanes.
fn with_lanes(rules: &[Object]) -> impl Iterator<Item = Host> {
    let has_lanes = |rule: &&Object| {
        let subsets = rule.spec()["subsets"].as_array();
        subsets.into_iter().flatten().any(|subset| subset["name"].as_str().is_some_and(SubsetName::is_ours))
    };
    let ours = rules.iter().filter(|rule| rule.is_ours()).filter(has_lanes);
    ours.filter_map(|rule| own::service_of(rule.name(), rule.namespace()))
}

/// All that is ours or has something of ours, as it was seen.
fn there(observed: &Observed, labelled: &[Labelled], plugins_come_or_go: bool) -> News {
    let objects = observed.virtual_services.iter().chain(&observed.destination_rules);
    let ours = objects.filter(|object| object.is_ours() || object.is_edited());
    let ours = ours.chain(observed.edge.iter().filter(|plugin| plugins::role_of(plugin).is_some()));
    let written = ours.map(|object| Written {
        revision: object.value()["metadata"]["labels"][REVISION_LABEL].as_str().map(str::to_owned),
        ..Written::new(object.reference().clone(), object.resource_version().map(str::to_owned))
    });
    News {
        written: written.collect(),
        services: with_lanes(&observed.destination_rules).collect(),
        labelled: labelled.to_vec(),
        plugins_come_or_go,
        was_found: true,
        ..News::default()
    }
}
