//! The Deployments' own images: what is asked of them at the end and on the way back, and how it is known that nobody
//! else has set others.

use super::{Stop, Turn, Turned, needs_help};
use crate::action::Action;
use crate::document::WorkloadSpec;
use crate::journal::{Outcome, Phase, WorkloadStatus};
use crate::workload;

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

    /// The Deployments get the images behind the lane.
    pub(super) fn promote(&mut self) -> Turned {
        self.ask()?;
        let mut actions = Vec::new();
        let mut lacks = None;
        for (at, spec) in self.release.spec.workloads.iter().enumerate() {
            let stable = self.stable(spec)?;
            let asked = self.journal(at).and_then(|journal| journal.asked);
            if workload::has(stable, &spec.images) {
                if let Some(journal) = self.next.status.workloads.get_mut(at) {
                    journal.promoted = true;
                }
            } else if asked == Some(workload::generation(stable)) {
                let (deployment, images) = (spec.deployment.clone(), spec.images.clone());
                actions.push(Action::SetImages { deployment, images });
            } else {
                let message = format!("somebody gave Deployment {} other images: abort", spec.deployment);
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
        self.is_as_before()?;
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
        self.is_set_back()?;
        self.next.status.outcome = Some(Outcome::Undone);
        self.goes_to(Phase::Ending, "every Deployment has the images from before")
    }

    /// Deployments that have the images that were asked of them get those from before. Images that somebody else has
    /// set stay.
    pub(super) fn what_to_set_back(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut left = Vec::new();
        for (spec, journal) in self.asked() {
            // One that is gone has nothing to be set back.
            let Some(stable) = self.world.deployments.get(&spec.deployment) else { continue };
            if workload::has(stable, &journal.before) {
                continue;
            }
            match workload::has(stable, &spec.images) {
                true => actions.push(Action::SetImages {
                    deployment: spec.deployment.clone(),
                    images: journal.before.clone(),
                }),
                false => {
                    left.push(format!("{} keeps the images that somebody else gave it", spec.deployment))
                }
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
