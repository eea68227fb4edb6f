//! Takes releases further: asks what is next, journals it, does it.

mod ailing;
mod beside;
mod calls;
mod jobs;
mod measure;
mod tells;
mod write;

use std::sync::Arc;
use std::time::Duration;

use canary_istio::Object;
use canary_release::{
    Action, Next, Phase, Release, Status, Trouble, Verdict, WorkloadRef, World, holder, next,
};
use jiff::Timestamp;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::events::{self, Events};
use super::finalizers::{self, api, failed};
use super::run::RunError;
use crate::apply::{ApplyError, Written};
use crate::failure::chain;
use crate::names::{FIELD_MANAGER, RELEASE_FINALIZER};
use crate::world::Seen;
use calls::Calls;
use measure::Measures;
use tells::Tells;

/// How soon pods that do not come are looked at again: their Deployment does not say why.
const LOOK_AT_PODS_EVERY: Duration = Duration::from_secs(2);
/// How soon what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// How soon what somebody else has changed is looked at again.
const LOOK_AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// The journal's word for pods that do not come.
const PODS: &str = "Pods";

/// What a round came to.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// What was written.
    pub(super) written: Vec<Written>,
    /// When to look again, if that is known.
    pub(super) again_in: Option<Duration>,
}

/// What is asked of others, beside the rounds.
pub(super) struct Outside {
    measures: Measures,
    calls: Calls,
    tells: Tells,
    answered: Arc<Notify>,
}

impl Outside {
    /// For a controller in this namespace.
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        let answered = Arc::new(Notify::new());
        Self {
            measures: Measures::new(answered.clone()),
            calls: Calls::new(answered.clone()),
            tells: Tells::new(client.clone(), namespace, answered.clone()),
            answered,
        }
    }

    /// Waits until there is an answer that was not fetched yet.
    pub(super) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// Leaves off asking about what is not of these releases.
    fn keep(&mut self, releases: &[Release]) {
        self.measures.keep(releases);
        self.calls.keep(releases);
        self.tells.keep(releases);
    }
}

/// One turn of every release. What keeps one from going on is in its journal or in the log; the others go on.
pub(super) async fn round(client: &Client, seen: &Seen, outside: &mut Outside, events: &Events) -> Round {
    let mut round = Round::default();
    if seen.releases.is_empty() {
        outside.keep(&[]);
        return round;
    }
    let mut world = world(seen);
    let mut all = Vec::with_capacity(seen.releases.len());
    for object in &seen.releases {
        match Release::deserialize(object.value()) {
            Ok(release) => all.push((release, object)),
            Err(error) => {
                let journal = Journal::of(client, object, events, Status::default());
                let refused = refuse(journal, &error.to_string()).await;
                round.note(object, refused);
            }
        }
    }
    let releases: Vec<Release> = all.iter().map(|(release, _)| release.clone()).collect();
    outside.keep(&releases);
    for (release, object) in &all {
        world.ailing = ailing::look(client, release, &world).await;
        let taken = holder(release, &releases);
        let now = Timestamp::now().as_second();
        world.measured = outside.measures.look(release, &world, now);
        world.called = outside.calls.look(release);
        world.told = outside.tells.look(release, now).await;
        jobs::look(client, release, &mut world).await;
        let next = next(release, &world, taken.as_deref(), now);
        let journal = Journal::of(client, object, events, release.status.clone().unwrap_or_default());
        let taken = turn(journal, release, next, &world, &mut round).await;
        round.note(object, taken);
    }
    round
}

impl Round {
    fn look_again_in(&mut self, time: Duration) {
        self.again_in = Some(self.again_in.map_or(time, |before| before.min(time)));
    }

    fn note(&mut self, object: &Object, done: Result<(), RunError>) {
        if let Err(RunError::Apply(ApplyError::Conflict { .. })) = &done {
            // It is seen by now, most likely.
            self.look_again_in(LOOK_AFTER_CONFLICT);
        } else if let Err(error) = done {
            tracing::warn!(release = object.name(), error = %chain(&error), "release waits");
            self.look_again_in(RETRY_AFTER);
        }
    }
}

fn world(seen: &Seen) -> World {
    let name =
        |object: &Object| WorkloadRef { namespace: object.namespace().into(), name: object.name().into() };
    let deployments = seen.deployments.iter().map(|object| (name(object), object.value().clone()));
    let lanes = seen.lanes.iter().map(|object| (object.name().to_owned(), object.value().clone()));
    World {
        deployments: deployments.collect(),
        stateful_sets: seen.stateful_sets.iter().map(name).collect(),
        lanes: lanes.collect(),
        ..World::default()
    }
}

async fn turn(
    mut journal: Journal<'_>,
    release: &Release,
    next: Next,
    world: &World,
    round: &mut Round,
) -> Result<(), RunError> {
    let (client, object) = (journal.client, journal.object);
    let is_over = next.status.phase.is_final();
    if object.value()["metadata"]["deletionTimestamp"].is_null() {
        // Before anything is made that has to be taken away in order.
        if !is_over && next.status.phase != Phase::Pending && !finalizers::holds(object, RELEASE_FINALIZER) {
            return finalizers::hold(client, object, RELEASE_FINALIZER).await.map(drop);
        }
    } else if is_over && finalizers::holds(object, RELEASE_FINALIZER) {
        return finalizers::release(client, object, RELEASE_FINALIZER).await.map(drop);
    }
    if next.status.trouble.as_ref().is_some_and(|trouble| trouble.reason == PODS) {
        round.look_again_in(LOOK_AT_PODS_EVERY);
    }
    if let Some(seconds) = next.again_in_s {
        round.look_again_in(Duration::from_secs(seconds.into()));
    }
    let mut status = next.status;
    if !next.actions.is_empty() {
        // Whether what troubled it troubles it still, the actions tell.
        status.trouble.clone_from(&journal.said.trouble);
    }
    if release.status.as_ref() != Some(&status) {
        round.written.push(journal.write(&status).await?);
    }
    for action in &next.actions {
        tracing::info!(release = object.name(), action = words(action), "release");
        match write::act(client, action, world).await {
            Ok(written) => round.written.extend(written),
            Err(error @ ApplyError::Conflict { .. }) => return Err(error.into()),
            Err(error) => {
                let message = chain(&error);
                let refused = Trouble { reason: "Refused".into(), message, needs_help: true };
                if status.trouble.as_ref() != Some(&refused) {
                    status.trouble = Some(refused);
                    round.written.push(journal.write(&status).await?);
                }
                round.look_again_in(RETRY_AFTER);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// An action in the log's words.
fn words(action: &Action) -> String {
    match action {
        Action::Create { deployment } => format!("create {}", deployment["metadata"]["name"]),
        Action::Scale { deployment, replicas } => format!("scale {deployment} to {replicas}"),
        Action::SetImages { deployment, .. } => format!("set images of {deployment}"),
        Action::ApplyLane { lane } => format!("apply lane {}", lane["metadata"]["name"]),
        Action::DeleteLane { lane } => format!("delete lane {lane}"),
        Action::Delete { deployment } => format!("delete {deployment}"),
        Action::CreateJob { job } => format!("create Job {}", job["metadata"]["name"]),
        Action::DeleteJob { job } => format!("delete Job {job}"),
    }
}

/// A release's journal, as it was last read or written: nobody acts by one that somebody else has written
/// meanwhile.
struct Journal<'a> {
    client: &'a Client,
    object: &'a Object,
    events: &'a Events,
    version: Option<String>,
    /// What it says.
    said: Status,
}

impl<'a> Journal<'a> {
    fn of(client: &'a Client, object: &'a Object, events: &'a Events, said: Status) -> Self {
        let version = object.resource_version().map(str::to_owned);
        Self { client, object, events, version, said }
    }

    async fn write(&mut self, status: &Status) -> Result<Written, RunError> {
        let mut body = serde_json::to_value(status).unwrap_or_default();
        body["conditions"] = conditions(self.object, status);
        // What a merge leaves out stays as it was.
        if let Some(fields) = body.as_object_mut() {
            for field in ["heldSince", "pausedSince", "outcome", "analysis", "errand", "trouble"] {
                fields.entry(field).or_insert(Value::Null);
            }
        }
        let written = self.patch(&body).await?;
        self.events.tell(self.object, events::of_release(&self.said, status));
        self.said.clone_from(status);
        Ok(written)
    }

    async fn patch(&mut self, body: &Value) -> Result<Written, RunError> {
        let patch = json!({"metadata": {"resourceVersion": self.version}, "status": body});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let api = api(self.client, self.object);
        let patched = api.patch_status(self.object.name(), &params, &Patch::Merge(&patch)).await;
        let patched = patched.map_err(|error| failed(self.object, error))?;
        self.version = patched.metadata.resource_version;
        Ok(Written::new(self.object.reference().clone(), self.version.clone()))
    }
}

/// Says that a document is no Release.
async fn refuse(mut journal: Journal<'_>, message: &str) -> Result<(), RunError> {
    let object = journal.object;
    let trouble = json!({"reason": "Invalid", "message": message, "needsHelp": true});
    if object.value()["status"]["trouble"] == trouble {
        return Ok(());
    }
    let generation = &object.value()["metadata"]["generation"];
    journal.patch(&json!({"observedGeneration": generation, "trouble": trouble})).await.map(drop)
}

/// What `kubectl wait` understands.
fn conditions(object: &Object, status: &Status) -> Value {
    let trouble = status.trouble.as_ref();
    let ails = trouble.filter(|trouble| trouble.needs_help);
    let phase = serde_json::to_value(status.phase).unwrap_or_default();
    let phase = phase.as_str().unwrap_or_default().to_owned();
    let message = |trouble: Option<&Trouble>| trouble.map_or("", |one| &one.message).to_owned();
    let measured = status.analysis.as_ref().map(|analysis| {
        let reason = serde_json::to_value(analysis.verdict).unwrap_or_default();
        let truth = match analysis.verdict {
            Verdict::Good => "True",
            Verdict::Bad => "False",
            Verdict::TooFew | Verdict::Unknown => "Unknown",
        };
        ("Healthy", truth, reason.as_str().unwrap_or_default().to_owned(), analysis.message.clone())
    });
    let truth = |is_so: bool| if is_so { "True" } else { "False" };
    let all = [
        ("Completed", truth(status.phase.is_through()), phase.clone(), message(trouble)),
        ("Finished", truth(status.phase.is_final()), phase, message(trouble)),
        (
            "Degraded",
            truth(ails.is_some()),
            ails.map_or("None".into(), |one| one.reason.clone()),
            message(ails),
        ),
    ];
    let before = object.value()["status"]["conditions"].as_array();
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |(kind, truth, reason, message): (&str, &str, String, String)| {
        let since = before.into_iter().flatten().find(|old| old["type"] == kind && old["status"] == truth);
        let since = since.map_or_else(|| Value::from(now.clone()), |old| old["lastTransitionTime"].clone());
        json!({
            "type": kind, "status": truth, "reason": reason, "message": message,
            "observedGeneration": status.observed_generation, "lastTransitionTime": since,
        })
    };
    all.into_iter().chain(measured).map(condition).collect()
}
