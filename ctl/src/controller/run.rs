//! One run after the other: look, plan, change, report.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use canary_istio::observed::manifests::ManifestError;
use canary_istio::{Change, ObjectRef, Phase};
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Options;
use super::events::Events;
use super::held::Held;
use super::metrics::Metrics;
use super::releases::{self, Outside};
use super::report::{Outcome, Reporter};
use super::takeovers::{self, Arrivals, HandingOn, Looked};
use super::traces::Traces;
use crate::apply::{ApplyError, Written};
use crate::arrival::Labelled;
use crate::failure::chain;
use crate::phases::{PhaseError, Phases, comes_or_goes};
use crate::readiness;
use crate::selectors::Selectors;
use crate::settings::{Installation, ReadError};
use crate::steer::{self, Course, PodChange, Verdict};
use crate::world::{MeshConfigs, News, Seen, Watched};
use canary_rules::settings::MeshSettings;

/// How long the cluster must be quiet before a run looks at it.
pub(super) const SETTLE: Duration = Duration::from_millis(50);
/// How often everything is looked at without being told to.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long a write of ours may take to come back by the watches.
const HEAR_WITHIN: Duration = Duration::from_secs(5);
/// Shortest and longest wait after a run that failed.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Longest time that a change is given to reach every proxy, once shorter ones were not enough.
const ARRIVAL_TIMEOUT_MAX: Duration = Duration::from_secs(40);

/// The loop's state. All of it is a matter of pace: losing it loses nothing but time.
pub(super) struct Run<'a> {
    client: Client,
    options: Options,
    watched: &'a Watched,
    news: News,
    metrics: Arc<Metrics>,
    reporter: Arc<Reporter>,
    events: Events,
    outside: Outside,
    arrivals: Arrivals,
    selectors: Selectors,
    handing_on: Arc<HandingOn>,
    traces: Traces,
    held: Held,
    /// How long a change may take to reach every proxy, after those that did not in time.
    arrival_timeout: Duration,
    /// Whether a run before this one may have written what proxies do not have yet.
    unsettled: bool,
    /// Whether plugins came or went, and that is not proven.
    plugins_unproven: bool,
    /// Labels of pods whose arrival is not proven.
    unproven: Vec<Labelled>,
    /// What of an object waits to be collected, and since when.
    waiting: HashMap<ObjectRef, (String, Instant)>,
    /// What the last proof of arrival said.
    reached: usize,
    /// What the last run wrote: a plan made before it is heard of would do it again.
    unheard: Vec<Written>,
}

/// What a run may do.
struct Due<'c> {
    changes: Vec<&'c Change>,
    unset: Vec<&'c PodChange>,
    /// When there will be more, if that is known.
    next: Option<Duration>,
}

/// How far a run came.
enum Progress {
    /// What an earlier run wrote has arrived; it is time to plan anew.
    Settled,
    /// All that was due is done.
    Through {
        /// When there will be more, if that is known.
        next: Option<Duration>,
        /// A pod that may not be labelled.
        refused: Option<ApplyError>,
    },
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("cannot read {0}")]
    Read(&'static str, #[source] Box<kube::Error>),
    #[error("namespace {0} lacks the settings or the keys of an installation")]
    NotInstalled(String),
    #[error(
        "Istio does not look at namespace {0}: its discoverySelectors leave it out, so no arrival can be proven"
    )]
    Undiscovered(String),
    #[error(transparent)]
    Settings(ReadError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Phase(#[from] PhaseError),
    #[error("cannot write the status of {0}")]
    Report(String, #[source] Box<kube::Error>),
}

impl RunError {
    /// Whether it took the time that proxies have for a change.
    fn is_late(&self) -> bool {
        matches!(self, Self::Phase(error) if error.is_late())
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        client: Client,
        options: Options,
        watched: &'a Watched,
        metrics: Arc<Metrics>,
        handing_on: Arc<HandingOn>,
    ) -> Self {
        let events = Events::new(client.clone(), &options.identity);
        let reporter = Arc::new(Reporter::new(client.clone(), events.clone()));
        let traces = Traces::new(&client, &options.namespace);
        let outside = Outside::new(&client, &options.namespace);
        Self {
            client,
            arrival_timeout: options.arrival_timeout,
            options,
            watched,
            news: watched.news(),
            metrics,
            reporter,
            events,
            outside,
            arrivals: Arrivals::default(),
            selectors: Selectors::default(),
            handing_on,
            traces,
            held: Held::default(),
            unsettled: true,
            plugins_unproven: false,
            unproven: Vec::new(),
            waiting: HashMap::new(),
            reached: 0,
            unheard: Vec::new(),
        }
    }

    pub(super) async fn forever(&mut self) {
        let mut retry = RETRY_MIN;
        loop {
            let started = Instant::now();
            let next = match self.once().await {
                Ok(next) => {
                    retry = RETRY_MIN;
                    next.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
                }
                Err(error) => {
                    self.unsettled = true;
                    self.count(&error);
                    // Who waited for proxies has paused.
                    if error.is_late() {
                        retry = RETRY_MIN;
                    }
                    let wait = retry;
                    retry = (retry * 2).min(RETRY_MAX);
                    match error {
                        // It is seen by now, most likely.
                        RunError::Apply(error @ ApplyError::Conflict { .. }) => {
                            tracing::info!(reason = %error, retry_ms = wait.as_millis(), "plans anew");
                        }
                        error => {
                            tracing::warn!(error = %chain(&error), retry_ms = wait.as_millis(), "run failed");
                        }
                    }
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.metrics.last_run_ms.store(took, Ordering::Relaxed);
            tokio::select! {
                () = self.news.changed() => tokio::time::sleep(SETTLE).await,
                () = self.outside.answered() => {}
                () = self.arrivals.ended() => {}
                () = self.traces.changed() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    fn count(&self, error: &RunError) {
        self.metrics.failures.fetch_add(1, Ordering::Relaxed);
        if matches!(error, RunError::Apply(ApplyError::Conflict { .. })) {
            self.metrics.conflicts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One run. Returns when the next one is due at the latest, if that is known.
    async fn once(&mut self) -> Result<Option<Duration>, RunError> {
        self.metrics.runs.fetch_add(1, Ordering::Relaxed);
        self.hear().await;
        self.reporter.begin();
        let (mut settings, root_namespace) = self.settings().await?;
        let now_unix_s = Timestamp::now().as_second();
        let traced = self.traces.look(now_unix_s).await?;
        settings.trace.clone_from(&traced.tracing);
        let configs = MeshConfigs::read(&self.client, &root_namespace).await;
        let configs = configs.map_err(|error| RunError::Read("Istio's settings", Box::new(error)))?;
        let seen = self.watched.world().see(&configs)?;
        let needed = [root_namespace.as_str(), &self.options.namespace];
        if let Some(namespace) = seen.undiscovered_of(needed).next() {
            return Err(RunError::Undiscovered(namespace.to_owned()));
        }
        // A release that cannot go on keeps no lane from being as it should be.
        let released = releases::round(&self.client, &seen, &mut self.outside, &self.events).await;
        self.unheard.extend(released.written);
        let course = steer::course(&seen, &settings, now_unix_s);
        self.count_what_is(&seen, &course);
        if let Some(error) = readiness::release(&self.client, &self.held.known(&seen)).await {
            tracing::warn!(error = %chain(&error), "a pod is held back for longer");
        }

        // Before anything depends on them: what a Lane needs to end in order, and to keep its users.
        self.reporter.hold(&seen, &course).await?;
        takeovers::hold(&self.client, &seen).await?;
        self.handing_on.set(&seen);
        let mut unmade = takeovers::make_services(&self.client, &seen).await?;
        unmade.extend(self.handing_on.troubles());
        let client = self.client.clone();
        // No proxy is asked for these.
        let mut turned = takeovers::turn(&client, &seen, &mut self.selectors).await;
        takeovers::release_selected(&client, &seen, &turned).await?;
        let mut phases = Phases::new(&client, &root_namespace, &seen, self.arrival_timeout);
        let (watched, mut selectors) = (self.watched, std::mem::take(&mut self.selectors));
        let (reporter, waits) = (self.reporter.clone(), phases.waits());
        let changed = tokio::select! {
            changed = self.change(&mut phases, &seen, &course) => changed,
            never = takeovers::go_on(&client, (watched, &configs), &seen, &mut selectors, &mut turned) => match never {},
            never = tell_of_waits(&reporter, waits, &seen, &course) => match never {},
        };
        self.selectors = selectors;
        self.unheard.append(&mut turned.written);
        // A proof begins with a push to every proxy; without the time for that it would begin anew for ever.
        self.arrival_timeout = match &changed {
            Ok(Progress::Through { .. }) => self.options.arrival_timeout,
            Err(error) if error.is_late() => {
                (self.arrival_timeout * 2).min(ARRIVAL_TIMEOUT_MAX.max(self.options.arrival_timeout))
            }
            Ok(Progress::Settled) | Err(_) => self.arrival_timeout,
        };
        let looked = |outcome| Looked {
            root_namespace: &root_namespace,
            seen: &seen,
            settings: &settings,
            course: &course,
            outcome,
            unmade: &unmade,
            turned: &turned,
        };
        match changed {
            Ok(Progress::Settled) => Ok(Some(Duration::ZERO)),
            Ok(Progress::Through { next, refused }) => {
                self.metrics.waits(0, 0);
                let outcome = Outcome::Done(self.reached);
                self.reporter.report(&seen, &course, &outcome).await?;
                self.reporter.release(&seen, &course).await?;
                takeovers::release_routed(&client, &seen).await?;
                let ends = takeovers::report(&client, looked(&outcome), &mut self.arrivals).await?;
                self.traces.report(&traced, &outcome).await?;
                let (may_be_ready, others_in) = self.held.arrived(&seen, Instant::now());
                let held = readiness::release(&self.client, &may_be_ready).await;
                // The lanes are served; the pod is tried again.
                refused.or(held).map_or(Ok(()), Err)?;
                let next = [next, released.again_in, turned.again_in, ends, traced.ends_in, others_in];
                Ok(next.into_iter().flatten().min())
            }
            // Somebody was faster, or what was planned by was old: the next plan knows better.
            Err(PhaseError::Apply(error @ ApplyError::Conflict { .. })) => Err(error.into()),
            Err(error) => {
                self.metrics.waits(lanes_on(&course), error.late_proxies());
                let outcome = Outcome::Stuck(chain(&error));
                self.reporter.report(&seen, &course, &outcome).await?;
                takeovers::report(&client, looked(&outcome), &mut self.arrivals).await?;
                self.traces.report(&traced, &outcome).await?;
                Err(error.into())
            }
        }
    }

    /// Makes what is due. Nobody is put in a lane, and nothing goes, before what an earlier run wrote has arrived.
    async fn change(
        &mut self,
        phases: &mut Phases<'_>,
        seen: &Seen,
        course: &Course,
    ) -> Result<Progress, PhaseError> {
        let due = self.due(course);
        let (off, rest): (Vec<&Change>, Vec<&Change>) =
            due.changes.iter().partition(|change| change.phase == Phase::EdgeOff);
        if due.changes.iter().any(|change| change.phase != Phase::Collect) {
            let told = self.reporter.report(seen, course, &Outcome::Working).await;
            told.unwrap_or_else(|error| tracing::debug!(%error, "nobody is told of the work"));
        }
        // Who leaves a lane leaves it whatever else has to be waited for.
        self.run_phases(phases, &off).await?;
        if self.unsettled {
            phases.settle(&seen.observed, &self.unproven, self.plugins_unproven).await?;
            self.unproven.clear();
            self.plugins_unproven = false;
            self.unsettled = false;
            if !due.changes.is_empty() {
                return Ok(Progress::Settled);
            }
        }
        let kept = phases.label(&course.pods, &mut self.unproven).await?;
        self.run_phases(phases, &rest).await?;
        let left = phases.unlabel(&due.unset, &mut self.unproven).await?;
        Ok(Progress::Through { next: due.next, refused: kept.or(left) })
    }

    async fn run_phases(&mut self, phases: &mut Phases<'_>, changes: &[&Change]) -> Result<(), PhaseError> {
        if changes.is_empty() {
            return Ok(());
        }
        let moves_plugins = changes.iter().any(|change| comes_or_goes(change));
        self.plugins_unproven |= moves_plugins;
        let done = phases.run(changes).await?;
        self.plugins_unproven &= !moves_plugins;
        self.metrics.writes.fetch_add(done.written.len() as u64, Ordering::Relaxed);
        self.reached = done.proxies.unwrap_or(self.reached);
        self.unheard.extend(done.written);
        Ok(())
    }

    /// Waits until the watches have brought what the last run wrote.
    async fn hear(&mut self) {
        hear(self.watched, &mut self.news, &self.unheard).await;
        self.unheard.clear();
    }

    async fn settings(&self) -> Result<(MeshSettings, String), RunError> {
        let namespace = self.options.namespace.as_str();
        let found = Installation::read(&self.client, namespace).await;
        match found.map_err(RunError::Settings)? {
            Some((installation, mesh)) => Ok((mesh, installation.presence.root_namespace)),
            None => Err(RunError::NotInstalled(namespace.into())),
        }
    }

    /// What may be done now, and when the rest may.
    fn due<'c>(&mut self, course: &'c Course) -> Due<'c> {
        let now = Instant::now();
        let collects = course.plan.changes.iter().filter(|change| change.phase == Phase::Collect);
        let collects = collects.map(|change| (&change.object, format!("{:?}", change.action)));
        let lingering = course.pods.iter().filter(|change| change.lingers);
        let lingering = lingering.map(|change| (&change.pod, format!("{:?}", change.unset)));
        // What goes later than the rest of an object has a time of its own.
        let since = |object: &ObjectRef, what: &String| match self.waiting.get(object) {
            Some((before, since)) if before == what => *since,
            _ => now,
        };
        let waiting = collects.chain(lingering).map(|(object, what)| {
            let since = since(object, &what);
            (object.clone(), (what, since))
        });
        self.waiting = waiting.collect();
        let left = |object: &ObjectRef| match self.waiting.get(object) {
            Some((_, since)) => self.options.collect_after.saturating_sub(now.duration_since(*since)),
            None => Duration::ZERO,
        };
        let changes = course.plan.changes.iter();
        Due {
            changes: changes
                .filter(|change| change.phase != Phase::Collect || left(&change.object).is_zero())
                .collect(),
            unset: course
                .pods
                .iter()
                .filter(|change| !change.unset.is_empty() && left(&change.pod).is_zero())
                .collect(),
            next: self.waiting.keys().map(left).filter(|left| !left.is_zero()).min(),
        }
    }

    fn count_what_is(&self, seen: &Seen, course: &Course) {
        let refused = course.lanes.values().filter(|verdict| matches!(verdict, Verdict::Refused(_))).count();
        let degraded =
            seen.releases.iter().filter(|one| one.value()["status"]["trouble"]["needsHelp"] == true);
        self.metrics.lanes.store(lanes_on(course) as u64, Ordering::Relaxed);
        self.metrics.lanes_refused.store(refused as u64, Ordering::Relaxed);
        self.metrics.releases_degraded.store(degraded.count() as u64, Ordering::Relaxed);
    }
}

/// Waits until the watches have brought what was written.
pub(super) async fn hear(watched: &Watched, news: &mut News, written: &[Written]) {
    let heard = async {
        while !written.iter().all(|write| watched.has_heard(write)) {
            news.changed().await;
        }
    };
    // If it takes long, a conflict says so.
    let _ = tokio::time::timeout(HEAR_WITHIN, heard).await;
}

/// Says in lanes what is waited for for their sake.
async fn tell_of_waits(
    reporter: &Reporter,
    mut waits: watch::Receiver<String>,
    seen: &Seen,
    course: &Course,
) -> Infallible {
    loop {
        let Ok(()) = waits.changed().await else { return std::future::pending().await };
        let why = waits.borrow_and_update().clone();
        let told = reporter.report(seen, course, &Outcome::Waiting(why)).await;
        told.unwrap_or_else(|error| tracing::debug!(%error, "nobody is told what is waited for"));
    }
}

fn lanes_on(course: &Course) -> usize {
    course.lanes.values().filter(|verdict| matches!(verdict, Verdict::On(_))).count()
}
