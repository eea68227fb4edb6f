//! What a release is going to do, before it does anything.

use crate::document::{Release, Step, WorkloadRef};
use crate::engine::{World, next};
use crate::journal::Phase;
use crate::workload;

/// What a release is going to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Planned {
    /// Why it cannot begin.
    pub refused: Option<String>,
    /// Its steps; after the last one the Deployments get the images.
    pub steps: Vec<PlannedStep>,
}

/// A step, and the pods that the lane has by then.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// Its share, in percent.
    pub share: f64,
    /// Pods per Deployment that serves the lane.
    pub pods: Vec<(WorkloadRef, u32)>,
}

/// Plans a release that has not begun, for these Deployments and lanes; `taken` as for [`next`].
#[must_use]
pub fn plan(release: &Release, world: &World, taken: Option<&str>) -> Planned {
    let begun = next(release, world, taken, 0).status;
    let refused = begun.trouble.filter(|_| begun.phase == Phase::Pending).map(|trouble| trouble.message);
    let mut most = vec![0; release.spec.workloads.len()];
    let steps = (0..release.steps()).map(|number| {
        let share = release.share(number);
        let pods = release.spec.workloads.iter().zip(&mut most).map(|(spec, most)| {
            let stable = world.deployments.get(&spec.deployment).map_or(0, workload::replicas);
            // What has been there for an earlier step stays.
            *most =
                spec.replicas.unwrap_or_else(|| workload::needed(release.size(number), stable)).max(*most);
            (release.copy_of(&spec.deployment), *most)
        });
        PlannedStep { pods: pods.collect(), step: release.step(number), share }
    });
    Planned { steps: steps.collect(), refused }
}
