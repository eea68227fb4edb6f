//! What is next.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::action::Action;
use crate::analysis::{Checks, Measured};
use crate::document::{By, Intent, Release, Step, WorkloadRef, WorkloadSpec};
use crate::errand::{Called, Errand, JobSeen};
use crate::journal::{Outcome, Phase, Status, Trouble, WorkloadStatus};
use crate::lane::{self, Who};
use crate::workload;

mod analyse;
mod errands;
mod images;
#[cfg(test)]
mod tests;
mod warm;

/// What a release looks at.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Deployments.
    pub deployments: BTreeMap<WorkloadRef, Value>,
    /// StatefulSets: to say why one is in no release.
    pub stateful_sets: BTreeSet<WorkloadRef>,
    /// Lanes by name.
    pub lanes: BTreeMap<String, Value>,
    /// What is wrong with pods of a Deployment, where that is known.
    pub ailing: BTreeMap<WorkloadRef, String>,
    /// What came of asking [`crate::questions`], if that was done since the last turn.
    pub measured: Option<Measured>,
    /// The Job that the journal names, if it was looked for.
    pub job: Option<JobSeen>,
    /// CronJobs that steps name and that were looked for; none where there is none.
    pub cron_jobs: BTreeMap<WorkloadRef, Option<Value>>,
    /// How many entries of the history others are told of, if some were since the last turn.
    pub told: Option<u32>,
    /// What came of [`crate::call`], if that was made since the last turn.
    pub called: Option<Called>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Next {
    /// The journal; it is written before any action, and again once there is more to say.
    pub status: Status,
    /// The writes, in order.
    pub actions: Vec<Action>,
    /// When to ask again at the latest, in seconds, if that is known.
    pub again_in_s: Option<u32>,
}

/// What a release does next at this time (Unix, in seconds). `taken` is what keeps it from its workloads or its
/// lane, as [`holder`] says.
#[must_use]
pub fn next(release: &Release, world: &World, taken: Option<&str>, now: i64) -> Next {
    let status = release.status.clone().unwrap_or_default();
    let mut turn = Turn { release, world, now, next: Next { status, ..Next::default() } };
    turn.next.status.observed_generation = release.metadata.generation.unwrap_or(0);
    turn.next.status.trouble = None;
    turn.next.status.told = world.told.unwrap_or(turn.next.status.told);
    if let Err(stop) = turn.take(taken)
        && let Stop::Waits(trouble) = stop
    {
        turn.next.status.trouble = Some(trouble);
    }
    turn.forsake();
    turn.next
}

/// What keeps a release from its workloads or its lane: another one that has begun with them and has not ended, or,
/// of several that have not begun, the first to come.
#[must_use]
pub fn holder(release: &Release, all: &[Release]) -> Option<String> {
    let age =
        |release: &Release| (release.metadata.creation_timestamp.clone(), release.metadata.name.clone());
    let is_before = |other: &&Release| {
        let phase = other.status.as_ref().map_or(Phase::Pending, |status| status.phase);
        other.metadata.name != release.metadata.name
            && phase.is_under_way()
            && (phase != Phase::Pending || age(other) < age(release))
    };
    all.iter().filter(is_before).find_map(|other| {
        let name = &other.metadata.name;
        if other.lane() == release.lane() {
            return Some(format!("lane {} is that of release {name}", release.lane()));
        }
        let theirs = |workload: &&WorkloadSpec| {
            other.spec.workloads.iter().any(|theirs| theirs.deployment == workload.deployment)
        };
        let shared = release.spec.workloads.iter().find(theirs)?;
        Some(format!("Deployment {} is in release {name}", shared.deployment))
    })
}

/// Why a StatefulSet is in no release.
#[must_use]
pub fn stateful_set_refused(name: &WorkloadRef) -> String {
    format!(
        "{name} is a StatefulSet: a copy of it for the lane would have volumes of its own, and so other data. Release the \
         Deployments in front of it, and give it the new image by its own rolling update, with a partition"
    )
}

/// Why a turn ends.
enum Stop {
    /// There is something to write first.
    Acts,
    /// It waits.
    Waits(Trouble),
}

type Turned = Result<(), Stop>;

struct Turn<'a> {
    release: &'a Release,
    world: &'a World,
    now: i64,
    next: Next,
}

fn waits(reason: &str, message: impl Into<String>) -> Stop {
    Stop::Waits(Trouble { reason: reason.into(), message: message.into(), needs_help: false })
}

fn needs_help(reason: &str, message: impl Into<String>) -> Stop {
    Stop::Waits(Trouble { reason: reason.into(), message: message.into(), needs_help: true })
}

impl<'a> Turn<'a> {
    fn take(&mut self, taken: Option<&str>) -> Turned {
        let release = self.release;
        let is_deleted = release.metadata.deletion_timestamp.is_some();
        // To undo what is not through is to abort it.
        let aborts = release.spec.intent != Intent::Forward || is_deleted;
        let undoes = release.spec.intent == Intent::Undo && !is_deleted;
        match self.next.status.phase {
            Phase::Pending if aborts => self.goes_to(Phase::Aborted, "aborted before it began"),
            Phase::Preparing | Phase::Stepping | Phase::Promoting if aborts => {
                self.next.status.outcome = Some(Outcome::Aborted);
                self.goes_to(Phase::Ending, "aborts")
            }
            Phase::Pending => match taken {
                Some(message) => Err(needs_help("Taken", message)),
                None => self.begin(),
            },
            Phase::Preparing => self.prepare(),
            Phase::Stepping => self.step(),
            Phase::Promoting => self.promote(),
            Phase::Ending => self.end(),
            Phase::Completed if undoes => match taken {
                Some(message) => Err(needs_help("Taken", message)),
                None => self.goes_to(Phase::Undoing, "undoes"),
            },
            Phase::Warming | Phase::Warm if is_deleted => self.cools("nothing is kept warm any more"),
            Phase::Warming | Phase::Warm if aborts => match taken {
                Some(message) => Err(needs_help("Taken", message)),
                None => self.returns(),
            },
            Phase::Warming => self.warm_up(),
            Phase::Warm => self.keep_warm(),
            Phase::Returning => self.return_all(),
            Phase::Undoing => self.undo(),
            Phase::Completed | Phase::Aborted | Phase::Undone => self.tidies(),
        }
    }

    /// A transition is journalled before anything is done for it.
    fn goes_to(&mut self, phase: Phase, what: &str) -> Turned {
        self.next.status.phase = phase;
        self.leaves_step();
        self.next.status.note(self.now, what);
        Err(Stop::Acts)
    }

    fn acts(&mut self, actions: Vec<Action>) -> Turned {
        if actions.is_empty() {
            return Ok(());
        }
        self.next.actions = actions;
        Err(Stop::Acts)
    }

    fn stable(&self, spec: &WorkloadSpec) -> Result<&'a Value, Stop> {
        let name = &spec.deployment;
        let missing = || match self.world.stateful_sets.contains(name) {
            true => needs_help("StatefulSet", stateful_set_refused(name)),
            false => needs_help("NotFound", format!("there is no Deployment {name}")),
        };
        self.world.deployments.get(name).ok_or_else(missing)
    }

    fn copy(&self, spec: &WorkloadSpec) -> Option<&'a Value> {
        self.world.deployments.get(&workload::copy_of(&spec.deployment, self.release))
    }

    fn lane(&self) -> Option<&'a Value> {
        self.world.lanes.get(self.release.lane().as_str())
    }

    fn journal(&self, at: usize) -> Option<&WorkloadStatus> {
        self.next.status.workloads.get(at)
    }

    /// Judges the release, and keeps what was before.
    fn begin(&mut self) -> Turned {
        let mut workloads = Vec::new();
        for spec in &self.release.spec.workloads {
            let stable = self.stable(spec)?;
            let images = workload::images(stable);
            if let Some(unknown) = spec.images.keys().find(|container| !images.contains_key(*container)) {
                let known = images.keys().cloned().collect::<Vec<_>>().join(", ");
                let message = format!("{} has no container {unknown}: it has {known}", spec.deployment);
                return Err(needs_help("NoContainer", message));
            }
            if workload::is_replaced_at_once(stable) {
                let message = format!(
                    "{} replaces all its pods at once (strategy Recreate): while it did, its users would find \
                     nobody. Give it the strategy RollingUpdate",
                    spec.deployment
                );
                return Err(needs_help("Recreate", message));
            }
            if workload::has(stable, &spec.images) {
                return Err(needs_help("NoChange", format!("{} has these images already", spec.deployment)));
            }
            self.has_capacity(spec, stable)?;
            let name = workload::copy_of(&spec.deployment, self.release);
            let names = self
                .release
                .spec
                .workloads
                .iter()
                .map(|spec| workload::copy_of(&spec.deployment, self.release));
            if self.copy(spec).is_some() || names.filter(|other| *other == name).count() > 1 {
                return Err(needs_help("NameTaken", format!("there is a Deployment {name} already")));
            }
            let before = images.into_iter().filter(|(container, _)| spec.images.contains_key(container));
            workloads.push(WorkloadStatus {
                deployment: spec.deployment.clone(),
                before: before.collect(),
                replicas: 0,
                available: 0,
                asked: None,
                asked_back: None,
                promoted: false,
            });
        }
        if self.lane().is_some() {
            let message = format!("there is a lane {} already", self.release.lane());
            return Err(needs_help("LaneTaken", message));
        }
        if self.release.spec.rules.iter().any(|rule| !rule["percent"].is_null()) {
            let message = "a rule of a release has a percentage: shares of users are its steps";
            return Err(needs_help("Invalid", message));
        }
        if self.release.spec.by == By::Requests && !self.release.spec.key.is_empty() {
            let message = "a key tells users apart, and shares are of requests: leave out `key`, or `by`";
            return Err(needs_help("Invalid", message));
        }
        for number in 0..self.release.steps() {
            let step = self.release.step(number);
            self.judge_scale(number, &step)?;
            self.judge_errand(number, &step)?;
            Checks::of(self.release, number).map_err(|error| needs_help("Invalid", error))?;
            self.fits(self.who(number))?;
        }
        self.next.status.workloads = workloads;
        self.goes_to(Phase::Preparing, "begins")
    }

    /// How many pods the lane has is said for all steps, or for each.
    fn judge_scale(&self, number: usize, step: &Step) -> Turned {
        let fault = match step.scale {
            Some(scale) if scale > 100 => format!("scale: {scale} is not a percentage"),
            Some(_) => match self.release.spec.workloads.iter().find(|spec| spec.replicas.is_some()) {
                Some(spec) => {
                    format!("it has a scale, and {} has replicas: leave one of them out", spec.deployment)
                }
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        Err(needs_help("Invalid", format!("step {}: {fault}", number.saturating_add(1))))
    }

    /// A share beyond what the lane's pods can serve is refused.
    fn has_capacity(&self, spec: &WorkloadSpec, stable: &Value) -> Turned {
        let largest = (0..self.release.steps()).map(|number| self.release.load(number)).fold(0.0, f64::max);
        self.wanted_pods(spec, workload::replicas(stable), largest).map(drop)
    }

    /// Whom the lane takes in a step.
    fn who(&self, number: usize) -> Who {
        Who::Share { share: self.release.share(number), mirror: self.release.mirror(number) }
    }

    /// A lane that the others have room for.
    fn fits(&self, who: Who) -> Turned {
        let fault = lane::fault(&lane::document(self.release, who), &self.world.lanes);
        let lane = self.release.lane();
        fault.map_or(Ok(()), |fault| Err(needs_help("Lane", format!("lane {lane} cannot be: {fault}"))))
    }

    fn may_go_on(&self) -> Turned {
        match self.release.spec.paused {
            true => Err(waits("Paused", "paused")),
            false => Ok(()),
        }
    }

    /// Copies without pods, and a lane that everybody knows and nobody is in.
    fn prepare(&mut self) -> Turned {
        self.may_go_on()?;
        let mut actions = Vec::new();
        for spec in &self.release.spec.workloads {
            match self.copy(spec) {
                None => actions.push(Action::Create {
                    deployment: workload::copy(self.stable(spec)?, spec, self.release),
                }),
                Some(copy) if !lane::is_of(copy, self.release) => {
                    let name = workload::copy_of(&spec.deployment, self.release);
                    return Err(needs_help("NameTaken", format!("Deployment {name} is somebody else's")));
                }
                Some(_) => {}
            }
        }
        self.acts(actions)?;
        self.lane_with(Who::Nobody, true)?;
        self.next.status.step = 0;
        self.goes_to(Phase::Stepping, "every proxy knows the lane")
    }

    /// The lane for these, and every proxy has it. One that somebody took away comes back by nobody's wish but theirs.
    fn lane_with(&mut self, who: Who, makes_it: bool) -> Turned {
        let wanted = lane::document(self.release, who);
        let name = self.release.lane();
        match self.lane() {
            Some(lane) if !lane::is_of(lane, self.release) => {
                Err(needs_help("LaneTaken", format!("lane {name} is somebody else's")))
            }
            Some(lane) if !lane["metadata"]["deletionTimestamp"].is_null() => {
                Err(needs_help("LaneGone", format!("somebody deleted lane {name}: abort")))
            }
            Some(lane) if lane::says(lane, &wanted) => match lane::refused(lane) {
                Some(why) => Err(needs_help("Lane", format!("lane {name} is refused: {why}"))),
                None => {
                    lane::programmed(lane).map_err(|message| waits("Lane", format!("lane {name}: {message}")))
                }
            },
            None if !makes_it => Err(needs_help("LaneGone", format!("somebody deleted lane {name}: abort"))),
            _ => {
                self.fits(who)?;
                self.acts(vec![Action::ApplyLane { lane: wanted }])
            }
        }
    }

    fn step(&mut self) -> Turned {
        let last = self.release.steps().saturating_sub(1);
        // Steps may have become fewer.
        let number = self.next.status.step.min(last);
        self.next.status.step = number;
        let (step, share) = (self.release.step(number), self.release.share(number));
        if self.next.status.held_since.is_none() {
            self.may_go_on()?;
        }
        if self.is_given_by_others() {
            self.may_go_on()?;
            let why = "promotes: somebody else gave every Deployment the new images";
            return self.goes_to(Phase::Promoting, why);
        }
        let is_there = self
            .is_as_before()
            .and_then(|()| self.has_pods(self.release.size(number)))
            .and_then(|()| self.lane_with(self.who(number), false));
        if let Err(stop) = is_there {
            // Only time in which all was well counts.
            self.next.status.held_since = None;
            self.next.status.paused_since = None;
            return Err(stop);
        }
        if self.next.status.held_since.is_none() {
            self.next.status.held_since = Some(self.now);
            let (at, of) = (number.saturating_add(1), self.release.steps());
            let copies = step.copies().map_or_else(String::new, |copies| format!(", {copies}"));
            let what = format!("step {at} of {of}: {share} % of {}{copies}", self.release.spec.by);
            self.next.status.note(self.now, what);
        }
        self.count_pause();
        self.may_go_on()?;
        let passed = usize::try_from(self.release.spec.passed).unwrap_or(usize::MAX);
        if passed <= number {
            self.is_held(number, &step)?;
        }
        if number >= last || passed >= self.release.steps() {
            return self.goes_to(Phase::Promoting, "promotes");
        }
        self.next.status.step = number.saturating_add(1);
        self.leaves_step();
        Err(Stop::Acts)
    }

    fn leaves_step(&mut self) {
        self.next.status.held_since = None;
        self.next.status.paused_since = None;
    }

    /// A pause makes a step as much longer.
    fn count_pause(&mut self) {
        let status = &mut self.next.status;
        match (self.release.spec.paused, status.paused_since) {
            (true, None) => {
                status.paused_since = Some(self.now);
                status.note(self.now, "is paused");
            }
            (false, Some(since)) => {
                let paused = self.now.saturating_sub(since);
                status.held_since = status.held_since.map(|held| held.saturating_add(paused));
                status.paused_since = None;
                status.note(self.now, "goes on after a pause");
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Until its time is over, what is measured is good, and what it has done elsewhere is done.
    fn is_held(&mut self, number: usize, step: &Step) -> Turned {
        let goes_on = self.analyse(number)?;
        self.run_errand(number, step)?;
        let held = self.next.status.held_for(self.now).unwrap_or(0);
        let hold = step.hold_seconds.or(Errand::of(step).map(|_| 0));
        let left = hold.map(|seconds| i64::from(seconds).saturating_sub(held));
        match left {
            Some(left) if left <= 0 => goes_on,
            Some(left) => {
                self.look_again_in(left);
                Err(waits("Holds", "goes on by itself"))
            }
            None => Err(waits("Promote", "waits to be promoted")),
        }
    }

    fn look_again_in(&mut self, seconds: i64) {
        let seconds = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
        self.next.again_in_s = Some(self.next.again_in_s.map_or(seconds, |sooner| sooner.min(seconds)));
    }

    /// The lane has the pods that this share takes.
    fn has_pods(&mut self, share: f64) -> Turned {
        let mut actions = Vec::new();
        let mut lacks = None;
        for (at, spec) in self.release.spec.workloads.iter().enumerate() {
            let name = workload::copy_of(&spec.deployment, self.release);
            let Some(copy) = self.copy(spec).filter(|copy| lane::is_of(copy, self.release)) else {
                let message =
                    format!("somebody deleted Deployment {name}, or made another of its name: abort");
                return Err(needs_help("CopyGone", message));
            };
            let stable = self.stable(spec)?;
            if self.next.status.phase == Phase::Stepping {
                self.has_capacity(spec, stable)?;
            }
            let wanted = self.wanted_pods(spec, workload::replicas(stable), share)?;
            let wanted = wanted.max(workload::replicas(copy));
            if workload::replicas(copy) < wanted {
                actions.push(Action::Scale { deployment: name.clone(), replicas: wanted });
            }
            let available = workload::available(copy).min(wanted);
            if let Some(journal) = self.next.status.workloads.get_mut(at) {
                (journal.replicas, journal.available) = (wanted, available);
            }
            if available < wanted || !workload::is_rolled_out(copy) {
                lacks = lacks.or_else(|| Some(self.lack(&name, copy, available, wanted)));
            }
        }
        self.acts(actions)?;
        lacks.map_or(Ok(()), Err)
    }

    fn lack(&self, name: &WorkloadRef, deployment: &Value, available: u32, wanted: u32) -> Stop {
        self.ails(
            name,
            deployment,
            format!("{available} of {wanted} pods of Deployment {name} are available"),
        )
    }

    fn rolls(&self, name: &WorkloadRef, deployment: &Value) -> Stop {
        let (updated, wanted) = (workload::updated(deployment), workload::replicas(deployment));
        self.ails(
            name,
            deployment,
            format!("Deployment {name} rolls: {updated} of {wanted} pods are as it says"),
        )
    }

    fn ails(&self, name: &WorkloadRef, deployment: &Value, count: String) -> Stop {
        let said = self.world.ailing.get(name).cloned().or_else(|| workload::failure(deployment));
        match said {
            Some(why) => needs_help("Pods", format!("{count}: {why}")),
            None => waits("Pods", count),
        }
    }

    /// First nobody is led to the lane any more, then its pods go. Who goes back goes back at once.
    fn end(&mut self) -> Turned {
        let aborts = self.next.status.outcome != Some(Outcome::Completed);
        let mut actions = if aborts { self.what_to_set_back() } else { Vec::new() };
        let lane = self.lane().filter(|lane| lane::is_of(lane, self.release));
        if lane.is_some_and(|lane| lane["metadata"]["deletionTimestamp"].is_null()) {
            actions.push(Action::DeleteLane { lane: self.release.lane().clone() });
        }
        self.acts(actions)?;
        if let Some(lane) = lane {
            let message = format!("lane {} goes: {}", self.release.lane(), lane::progress(lane));
            return Err(waits("Lane", message));
        }
        if aborts {
            self.is_set_back()?;
        }
        self.acts(self.copies_to_delete())?;
        match self.next.status.outcome {
            Some(Outcome::Completed) if self.is_to_be_warmed() => {
                self.goes_to(Phase::Warming, "all users have the new versions")
            }
            Some(Outcome::Completed) => self.goes_to(Phase::Completed, "completed"),
            Some(Outcome::Undone) => self.goes_to(Phase::Undone, "undone"),
            Some(Outcome::Aborted) | None => self.goes_to(Phase::Aborted, "aborted"),
        }
    }

    /// What a write that was late to be seen has left behind goes too.
    fn tidies(&mut self) -> Turned {
        match self.lane().filter(|lane| lane::is_of(lane, self.release)) {
            Some(lane) if lane["metadata"]["deletionTimestamp"].is_null() => {
                self.acts(vec![Action::DeleteLane { lane: self.release.lane().clone() }])
            }
            Some(_) => Ok(()),
            None => self.acts(self.copies_to_delete()),
        }
    }

    fn copies_to_delete(&self) -> Vec<Action> {
        let copies = self.release.spec.workloads.iter().filter(|spec| {
            let copy = self.copy(spec).filter(|copy| lane::is_of(copy, self.release));
            copy.is_some_and(|copy| copy["metadata"]["deletionTimestamp"].is_null())
        });
        let delete = |spec: &WorkloadSpec| Action::Delete {
            deployment: workload::copy_of(&spec.deployment, self.release),
        };
        copies.map(delete).collect()
    }
}
