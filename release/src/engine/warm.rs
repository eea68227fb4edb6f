//! The versions from before, kept ready for a while after everybody has the new ones: in copies that serve the lane, with
//! nobody in it. To undo then is to put everybody in the lane, which takes no pod to start.

use super::{Stop, Turn, Turned, needs_help, waits};
use crate::action::Action;
use crate::document::WorkloadSpec;
use crate::journal::{Outcome, Phase};
use crate::lane::{self, Who};
use crate::workload;

/// Everybody.
const ALL: Who = Who::Share { share: 100.0, mirror: 0.0 };

impl Turn<'_> {
    /// After all of the lane is gone: whether something is to be kept warm that was not yet.
    pub(super) fn is_to_be_warmed(&self) -> bool {
        let keeps = self.release.spec.keep_warm_seconds.is_some_and(|seconds| seconds > 0);
        let status = &self.next.status;
        let completes = status.outcome == Some(Outcome::Completed) && status.warm_since.is_none();
        keeps && completes && self.release.metadata.deletion_timestamp.is_none()
    }

    /// Copies with the images from before, and a lane that everybody knows and nobody is in.
    pub(super) fn warm_up(&mut self) -> Turned {
        self.next.status.warm_since.get_or_insert(self.now);
        self.is_worth_warmth()?;
        self.is_in_time()?;
        let mut actions = Vec::new();
        for (at, spec) in self.release.spec.workloads.iter().enumerate() {
            if self.copy(spec).is_none() {
                let before = self.journal(at).map(|journal| journal.before.clone()).unwrap_or_default();
                let warm = WorkloadSpec { images: before, ..spec.clone() };
                let deployment = workload::copy(self.stable(spec)?, &warm, self.release);
                actions.push(Action::Create { deployment });
            }
        }
        self.acts(actions)?;
        self.lane_with(Who::Nobody, true)?;
        self.has_pods(100.0)?;
        self.goes_to(Phase::Warm, "the versions from before are kept warm")
    }

    pub(super) fn keep_warm(&mut self) -> Turned {
        self.is_worth_warmth()?;
        self.is_in_time()?;
        self.lane_with(Who::Nobody, false)?;
        self.has_pods(100.0)?;
        Err(waits("Warm", "all users have the new versions; those from before are kept warm"))
    }

    /// Ends the matter when its time is over, whether the copies ever got ready or not.
    fn is_in_time(&mut self) -> Turned {
        let since = self.next.status.warm_since.unwrap_or(self.now);
        let keep = self.release.spec.keep_warm_seconds.unwrap_or(0);
        let left = since.saturating_add(keep.into()).saturating_sub(self.now);
        if left <= 0 {
            return self.cools("nothing is kept warm any more");
        }
        self.look_again_in(left);
        Ok(())
    }

    /// Whatever keeps copies from being made, or makes them useless, ends the matter: the release itself is through.
    fn is_worth_warmth(&mut self) -> Turned {
        let is_other = |found: &&serde_json::Value| !lane::is_of(found, self.release);
        let lane = self.lane();
        let is_lane_lost = match self.next.status.phase {
            Phase::Warm => lane.is_none_or(|lane| !lane["metadata"]["deletionTimestamp"].is_null()),
            _ => false,
        };
        let specs = || self.release.spec.workloads.iter();
        let changed = specs().find(|spec| {
            let stable = self.world.deployments.get(&spec.deployment);
            stable.is_none_or(|stable| !workload::has(stable, &spec.images))
        });
        let why = if let Some(spec) = changed {
            format!("nothing is kept warm any more: somebody changed Deployment {}", spec.deployment)
        } else if is_lane_lost || lane.filter(is_other).is_some() {
            format!("nothing is kept warm: lane {} is somebody else's, or gone", self.release.lane())
        } else if let Some(spec) = specs().find(|spec| self.copy(spec).filter(is_other).is_some()) {
            let name = workload::copy_of(&spec.deployment, self.release);
            format!("nothing is kept warm: Deployment {name} is somebody else's")
        } else {
            return Ok(());
        };
        self.cools(&why)
    }

    /// The lane goes, then the copies.
    pub(super) fn cools(&mut self, why: &str) -> Turned {
        self.next.status.outcome = Some(Outcome::Completed);
        self.goes_to(Phase::Ending, why)
    }

    /// Back, by way of what is warm if all of it is.
    pub(super) fn returns(&mut self) -> Turned {
        let is_warm = |spec: &WorkloadSpec| {
            let (Some(stable), Some(copy)) = (self.world.deployments.get(&spec.deployment), self.copy(spec))
            else {
                return false;
            };
            lane::is_of(copy, self.release)
                && workload::is_rolled_out(copy)
                && workload::available(copy) >= workload::replicas(stable)
        };
        let all_warm = self.release.spec.workloads.iter().all(is_warm);
        match self.next.status.phase {
            Phase::Warm if all_warm && self.fits(ALL).is_ok() => {
                self.goes_to(Phase::Returning, "undoes, at once")
            }
            _ => self.goes_to(Phase::Undoing, "undoes"),
        }
    }

    /// Everybody is put in the lane. Where that cannot be, the Deployments alone go back.
    pub(super) fn return_all(&mut self) -> Turned {
        match self.lane_with(ALL, false) {
            Ok(()) => self.goes_to(Phase::Undoing, "all users have the versions from before"),
            Err(Stop::Waits(trouble)) if trouble.needs_help => {
                self.goes_to(Phase::Undoing, &format!("undoes without the lane: {}", trouble.message))
            }
            Err(stop) => Err(stop),
        }
    }

    /// How many pods the copy of a Deployment of so many is to have for a share.
    ///
    /// # Errors
    /// When people gave it fewer than that takes.
    pub(super) fn wanted_pods(&self, spec: &WorkloadSpec, stable: u32, share: f64) -> Result<u32, Stop> {
        // What is to take over from the Deployment is as large.
        if matches!(self.next.status.phase, Phase::Warming | Phase::Warm) {
            return Ok(stable);
        }
        let needed = workload::needed(share, stable);
        match spec.replicas {
            Some(replicas) if replicas < needed => {
                let copies = self.release.spec.steps.iter().any(|step| step.mirror.is_some());
                let of = if copies {
                    "requests, copies with them,".into()
                } else {
                    self.release.spec.by.to_string()
                };
                let message = format!(
                    "{share} % of the {of} of {} take {needed} pods, and the lane gets {replicas}",
                    spec.deployment
                );
                Err(needs_help("Capacity", message))
            }
            Some(replicas) => Ok(replicas),
            None => Ok(needed),
        }
    }
}
