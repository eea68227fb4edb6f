//! What a release would still change, were it to go on as its `spec` says now.

use std::fmt;
use std::ops::Range;

use canary_rules::name::LaneName;
use serde::Serialize;
use serde_json::Value;

use crate::document::{By, Intent, Release, WorkloadRef, WorkloadSpec};
use crate::engine::World;
use crate::journal::{Outcome, Phase};
use crate::{lane, workload};

/// One thing that would still change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "what")]
pub enum Remaining {
    /// A container of a Deployment gets another image.
    Image {
        /// Whose.
        deployment: WorkloadRef,
        /// Which.
        container: String,
        /// The image that it has; none without such a container.
        from: Option<String>,
        /// The image that it gets.
        to: String,
    },
    /// A Deployment serves the lane, and goes at the end.
    Copy {
        /// Which.
        deployment: WorkloadRef,
        /// Its pods; none before it is made.
        from: Option<u32>,
        /// The most that it has before it goes.
        to: u32,
    },
    /// The lane takes a share, and goes at the end.
    Lane {
        /// Which.
        lane: LaneName,
        /// Its share, in percent; none before it is made.
        from: Option<f64>,
        /// The largest that it takes before it goes.
        to: f64,
        /// What the shares are of.
        by: By,
    },
}

/// Where a release goes from where it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
    Nowhere,
}

/// What a release would still change.
#[must_use]
pub fn remaining(release: &Release, world: &World) -> Vec<Remaining> {
    let way = way(release);
    let mut all: Vec<Remaining> =
        release.spec.workloads.iter().flat_map(|spec| images(release, spec, way, world)).collect();
    let steps = steps_left(release, way);
    all.extend(release.spec.workloads.iter().filter_map(|spec| copy(release, spec, &steps, world)));
    all.extend(its_lane(release, &steps, world));
    all
}

fn way(release: &Release) -> Way {
    let status = release.status.clone().unwrap_or_default();
    let is_deleted = release.metadata.deletion_timestamp.is_some();
    match (status.phase, release.spec.intent) {
        (Phase::Aborted | Phase::Undone, _) => Way::Nowhere,
        (Phase::Ending, _) if status.outcome != Some(Outcome::Completed) => Way::Back,
        (Phase::Returning | Phase::Undoing, _) => Way::Back,
        (phase, Intent::Undo) if phase.is_through() && !is_deleted => Way::Back,
        (phase, _) if phase.is_through() || phase == Phase::Ending => Way::Nowhere,
        (_, Intent::Forward) if !is_deleted => Way::On,
        _ => Way::Back,
    }
}

fn images(release: &Release, spec: &WorkloadSpec, way: Way, world: &World) -> Vec<Remaining> {
    let mut journals = release.status.iter().flat_map(|status| &status.workloads);
    let journal = journals.find(|journal| journal.deployment == spec.deployment);
    let wanted = match way {
        Way::On => Some(&spec.images),
        // What was never asked for new images has those from before.
        Way::Back => journal.filter(|journal| journal.asked.is_some()).map(|journal| &journal.before),
        Way::Nowhere => None,
    };
    let now = world.deployments.get(&spec.deployment).map(workload::images).unwrap_or_default();
    let changed =
        wanted.into_iter().flatten().filter(|(container, image)| now.get(*container) != Some(*image));
    let image = |(container, image): (&String, &String)| Remaining::Image {
        deployment: spec.deployment.clone(),
        container: container.clone(),
        from: now.get(container).cloned(),
        to: image.clone(),
    };
    changed.map(image).collect()
}

/// The steps that are still to come, the present one first; none where the lane only goes.
fn steps_left(release: &Release, way: Way) -> Range<usize> {
    let status = release.status.clone().unwrap_or_default();
    let is_before_images = matches!(status.phase, Phase::Pending | Phase::Preparing | Phase::Stepping);
    if way != Way::On || !is_before_images {
        return 0..0;
    }
    status.step..release.steps().max(status.step.saturating_add(1))
}

fn copy(release: &Release, spec: &WorkloadSpec, steps: &Range<usize>, world: &World) -> Option<Remaining> {
    let name = release.copy_of(&spec.deployment);
    let own = world.deployments.get(&name).filter(|copy| lane::is_of(copy, release));
    let from = own.map(workload::replicas);
    let stable = world.deployments.get(&spec.deployment).map_or(0, workload::replicas);
    let needed = |number| spec.replicas.unwrap_or_else(|| workload::needed(release.size(number), stable));
    let to = steps.clone().map(needed).chain(from).max()?;
    Some(Remaining::Copy { deployment: name, from, to })
}

fn its_lane(release: &Release, steps: &Range<usize>, world: &World) -> Option<Remaining> {
    let own = world.lanes.get(release.lane().as_str()).filter(|lane| lane::is_of(lane, release));
    let from = own.map(share);
    let to = steps.clone().map(|number| release.share(number)).chain(from).reduce(f64::max)?;
    Some(Remaining::Lane { lane: release.lane().clone(), from, to, by: release.spec.by })
}

/// The share that a lane takes now, in percent.
fn share(lane: &Value) -> f64 {
    let rules = lane["spec"]["rules"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["percent"].as_f64()).fold(0.0, f64::max)
}

impl fmt::Display for Remaining {
    /// A line, e.g. `Deployment shop/cart   app: shop/cart:2.3 → shop/cart:2.4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { deployment, container, from, to } => {
                let from = from.as_deref().unwrap_or("nothing");
                write!(f, "Deployment {deployment}   {container}: {from} → {to}")
            }
            Self::Copy { deployment, from, to } => {
                write!(f, "Deployment {deployment}   ")?;
                match from {
                    None => write!(f, "made, up to {to} pods, then deleted"),
                    Some(from) if from < to => write!(f, "{from} → {to} pods, then deleted"),
                    Some(_) => f.write_str("deleted"),
                }
            }
            Self::Lane { lane, from, to, by } => {
                write!(f, "Lane {lane}   ")?;
                match from {
                    None => write!(f, "made, up to {to} % of {by}, then deleted"),
                    Some(from) if from < to => write!(f, "{from} → {to} % of {by}, then deleted"),
                    Some(_) => f.write_str("deleted"),
                }
            }
        }
    }
}
