//! The Deployments' own images: what is asked of them at the end and on the way back, and how it is known that nobody
//! else has set others.

use super::{Stop, Turn, Turned, needs_help};
use serde_json::Value;

use crate::action::Action;
use crate::document::WorkloadSpec;
use crate::journal::{Outcome, Phase, WorkloadStatus};
use crate::workload;

/// Whether nobody has written a Deployment's images since they were asked of this generation of it: our own write
/// counts one more, and so does somebody's who scales it. With the images that it had then it is still to be written.
fn is_still_to_be_written(asked: i64, stable: &Value) -> bool {
    (0..=1).contains(&workload::generation(stable).saturating_sub(asked))
}

impl<'a> Turn<'a> {
    /// Nobody else has given the Deployments other images.
    pub(super) fn is_as_before(&self) -> Turned {
        for (at, spec) in self.release.spec.workloads.iter().enumerate() {
            let stable = self.stable(spec)?;
            if self.journal(at).is_some_and(|journal| !workload::has(stable, &journal.before)) {
                let message = format!(
                    "somebody changed the images of Deployment {}: abort, or set them back",
                    spec.deployment
                );
                return Err(needs_help("StableChanged", message));
            }
        }
        Ok(())
    }

    /// Whether somebody else has given every Deployment the new images, as a tool does that applies a repository.
    pub(super) fn is_given_by_others(&self) -> bool {
        let specs = self.release.spec.workloads.iter();
        let has = |spec: &WorkloadSpec| {
            self.world
                .deployments
                .get(&spec.deployment)
                .is_some_and(|found| workload::has(found, &spec.images))
        };
        specs.filter(|spec| !has(spec)).count() == 0
    }

    /// The Deployments get the images behind the lane.
    pub(super) fn promote(&mut self) -> Turned {
        self.ask()?;
        let mut actions = Vec::new();
        let mut lacks = None;
        for (at, spec) in self.release.spec.workloads.iter().enumerate() {
            let stable = self.stable(spec)?;
            let journal = self.journal(at).filter(|journal| workload::has(stable, &journal.before));
            let is_to_be_written = journal
                .and_then(|journal| journal.asked)
                .is_some_and(|asked| is_still_to_be_written(asked, stable));
            if workload::has(stable, &spec.images) {
                if let Some(journal) = self.next.status.workloads.get_mut(at) {
                    journal.promoted = true;
                }
            } else if is_to_be_written {
                let (deployment, images) = (spec.deployment.clone(), spec.images.clone());
                actions.push(Action::SetImages { deployment, images });
            } else {
                let message = format!(
                    "somebody gave Deployment {} other images than were asked of it: give it the new ones, or abort",
                    spec.deployment
                );
                return Err(needs_help("StableChanged", message));
            }
            if !workload::is_rolled_out(stable) {
                lacks = lacks.or_else(|| Some(self.rolls(&spec.deployment, stable)));
            }
        }
        self.acts(actions)?;
        if let Some(lacks) = lacks {
            return Err(lacks);
        }
        self.next.status.outcome = Some(Outcome::Completed);
        self.goes_to(Phase::Ending, "every Deployment has the new images")
    }

    /// Journals what is about to be asked of whom: by that it is known later whose the images are.
    fn ask(&mut self) -> Turned {
        if self.next.status.workloads.iter().all(|journal| journal.asked.is_some()) {
            return Ok(());
        }
        self.may_go_on()?;
        if !self.is_given_by_others() {
            self.is_as_before()?;
        }
        for (at, spec) in self.release.spec.workloads.iter().enumerate() {
            let generation = workload::generation(self.stable(spec)?);
            if let Some(journal) = self.next.status.workloads.get_mut(at) {
                journal.asked = Some(generation);
            }
        }
        Err(Stop::Acts)
    }

    pub(super) fn undo(&mut self) -> Turned {
        let actions = self.what_to_set_back();
        self.acts(actions)?;
        self.has_old_images()?;
        self.is_set_back()?;
        self.next.status.outcome = Some(Outcome::Undone);
        self.goes_to(Phase::Ending, "every Deployment has the images from before")
    }

    /// Who takes a release through back has everybody's users to lead: nobody is told that they are back who is not.
    fn waits_for_old_images(&self) -> bool {
        self.next.status.phase == Phase::Undoing && self.release.metadata.deletion_timestamp.is_none()
    }

    fn has_old_images(&self) -> Turned {
        let has_new = |(spec, journal): &(&WorkloadSpec, &WorkloadStatus)| {
            let stable = self.world.deployments.get(&spec.deployment);
            stable.is_some_and(|stable| {
                workload::has(stable, &spec.images) && !workload::has(stable, &journal.before)
            })
        };
        let insisted = self.asked().find(has_new).filter(|_| self.waits_for_old_images());
        let message = |(spec, _): (&WorkloadSpec, _)| {
            format!(
                "somebody gave Deployment {} the new images again: set those from before where it is applied from, \
                 or delete the release, which leaves it as it is",
                spec.deployment
            )
        };
        insisted.map_or(Ok(()), |insisted| Err(needs_help("StableChanged", message(insisted))))
    }

    /// Deployments that have the images that were asked of them get those from before, once. Images that somebody else
    /// sets stay, be they the new ones again: a tool that applies a repository would set them for ever.
    pub(super) fn what_to_set_back(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut left = Vec::new();
        let waits = self.waits_for_old_images();
        for (spec, journal) in self.release.spec.workloads.iter().zip(&mut self.next.status.workloads) {
            // One that is gone has nothing to be set back.
            let stable = self.world.deployments.get(&spec.deployment);
            let Some(stable) = stable.filter(|stable| !workload::has(stable, &journal.before)) else {
                continue;
            };
            if journal.asked.is_none() {
                continue;
            }
            if !workload::has(stable, &spec.images) {
                left.push(format!("{} keeps the images that somebody else gave it", spec.deployment));
                continue;
            }
            let asked = *journal.asked_back.get_or_insert(workload::generation(stable));
            if is_still_to_be_written(asked, stable) {
                let (deployment, images) = (spec.deployment.clone(), journal.before.clone());
                actions.push(Action::SetImages { deployment, images });
            } else if !waits {
                left.push(format!(
                    "{} keeps the new images: somebody else gave it them again",
                    spec.deployment
                ));
            }
        }
        for what in left {
            if !self.next.status.history.iter().any(|entry| entry.what == what) {
                self.next.status.note(self.now, what);
            }
        }
        actions
    }

    /// Every Deployment that was asked for other images has rolled.
    pub(super) fn is_set_back(&self) -> Turned {
        let rolls = self.asked().find_map(|(spec, journal)| {
            let stable = self.world.deployments.get(&spec.deployment)?;
            let rolls = workload::has(stable, &journal.before) && !workload::is_rolled_out(stable);
            rolls.then(|| self.rolls(&spec.deployment, stable))
        });
        rolls.map_or(Ok(()), Err)
    }

    fn asked(&self) -> impl Iterator<Item = (&'a WorkloadSpec, &WorkloadStatus)> {
        let journals = &self.next.status.workloads;
        self.release.spec.workloads.iter().zip(journals).filter(|(_, journal)| journal.asked.is_some())
    }
}
