//! Makes a plan's changes in their order: a phase goes out once every proxy has the phases before it.

mod touched;

use std::collections::BTreeSet;
use std::time::Duration;

use canary_istio::{Change, Host, Phase};
use kube::Client;

use crate::apply::{self, ApplyError, Versions, Written};
use crate::arrival::{self, ArrivalError, Istiods};

/// Makes changes, phase by phase.
pub struct Phases<'a> {
    client: &'a Client,
    root_namespace: &'a str,
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
}

impl PhaseError {
    /// How many proxies it waits for.
    #[must_use]
    pub fn late_proxies(&self) -> usize {
        match self {
            Self::Arrival { source: ArrivalError::Late(proxies), .. } => proxies.len(),
            Self::Arrival { .. } | Self::Apply(_) => 0,
        }
    }
}

/// The phases that proxies must have before the next one may go out. What is collected, nobody uses.
const ORDER: [Phase; 5] = [Phase::EdgeOff, Phase::Subsets, Phase::Routes, Phase::EdgeOn, Phase::Collect];

impl<'a> Phases<'a> {
    /// For this cluster; each phase may take this long to reach every proxy.
    #[must_use]
    pub fn new(client: &'a Client, root_namespace: &'a str, timeout: Duration) -> Self {
        Self { client, root_namespace, timeout }
    }

    /// Makes the changes. With `settle`, what is there already must have arrived before the first of them:
    /// an earlier run may have ended between a write and its proof.
    ///
    /// # Errors
    /// The first write that fails, or the proxies that do not confirm a phase in time. What was done stays.
    pub async fn run(&self, changes: &[&Change], settle: bool) -> Result<Done, PhaseError> {
        let mut versions = Versions::default();
        let mut done = Done::default();
        let mut settle = settle;
        for phase in ORDER {
            let due: Vec<&&Change> = changes.iter().filter(|change| change.phase == phase).collect();
            if due.is_empty() {
                continue;
            }
            let arrived = |source| PhaseError::Arrival { phase, source };
            if phase == Phase::Collect {
                for change in due {
                    done.written.push(apply::change(self.client, change, &mut versions).await?);
                }
                continue;
            }
            let istiods = Istiods::find(self.client, self.root_namespace).await.map_err(arrived)?;
            if std::mem::take(&mut settle) {
                self.settle(&istiods).await.map_err(arrived)?;
            }
            let first = done.written.len();
            let hosts = due.iter().flat_map(|change| touched::hosts(change)).collect();
            for change in due {
                done.written.push(apply::change(self.client, change, &mut versions).await?);
            }
            let written = done.written.get(first..).unwrap_or_default();
            done.proxies = Some(self.prove(&istiods, written, &hosts).await.map_err(arrived)?);
        }
        Ok(done)
    }

    /// Proves that what is written now has arrived, whoever wrote it when.
    async fn settle(&self, istiods: &Istiods) -> Result<(), ArrivalError> {
        self.prove(istiods, &[], &BTreeSet::new()).await.map(drop)
    }

    async fn prove(
        &self,
        istiods: &Istiods,
        written: &[Written],
        hosts: &BTreeSet<Host>,
    ) -> Result<usize, ArrivalError> {
        let deadline = std::time::Instant::now() + self.timeout;
        arrival::wait(self.client, istiods, written, hosts, deadline).await
    }
}
