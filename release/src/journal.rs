//! A release's journal: how far it has come, in its status.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::AnalysisStatus;
use crate::document::WorkloadRef;
use crate::errand::ErrandStatus;

/// Most entries of a history: more than a release with the most steps has, so that only one that goes to and fro
/// for long loses its first ones.
const HISTORY_MAX: usize = 256;

/// How far a release has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The `generation` of the spec that this was said of.
    pub observed_generation: i64,
    /// Where it is.
    pub phase: Phase,
    /// The step that it is at, counted from 0.
    pub step: usize,
    /// Since when every proxy has the step's share, Unix, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<i64>,
    /// Since when it is paused there; such time does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<i64>,
    /// Since when versions from before are kept warm, or were, Unix, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_since: Option<i64>,
    /// How it ends, once that is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The workloads, in the order of the spec.
    pub workloads: Vec<WorkloadStatus>,
    /// What was measured last at its step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisStatus>,
    /// How far it has come with what a step has done elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errand: Option<ErrandStatus>,
    /// The `retries` of the spec that were heeded.
    #[serde(skip_serializing_if = "is_none_yet")]
    pub retried: u32,
    /// How many entries of the history others are told of, forgotten ones among them.
    #[serde(skip_serializing_if = "is_none_yet")]
    pub told: u32,
    /// What it waits for or stumbles over; none while all goes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What happened, the oldest first.
    pub history: Vec<Entry>,
    /// How many entries came before the first that is kept.
    #[serde(skip_serializing_if = "is_none_yet")]
    pub forgotten: u32,
}

/// Where a release is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing is done yet.
    #[default]
    Pending,
    /// The lane and its workloads are made; nobody is in it but by rule.
    Preparing,
    /// A share of users is in the lane.
    Stepping,
    /// The Deployments get the new images, behind the lane.
    Promoting,
    /// The lane goes, then its workloads.
    Ending,
    /// All users have the new versions; those from before get pods once more.
    Warming,
    /// All users have the new versions; those from before are kept ready.
    Warm,
    /// All users are led to the versions from before.
    Returning,
    /// All users have the new versions.
    Completed,
    /// All users have the versions from before.
    Aborted,
    /// The Deployments get the images from before.
    Undoing,
    /// All users have the versions from before again.
    Undone,
}

impl Phase {
    /// Whether nothing more is done by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Aborted | Self::Undone)
    }

    /// Whether all users have the new versions, and stay there unless somebody undoes it.
    #[must_use]
    pub fn is_through(self) -> bool {
        matches!(self, Self::Warming | Self::Warm | Self::Completed)
    }

    /// Whether it is on its way to anywhere, and has its workloads for itself.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        !self.is_final() && !self.is_through()
    }
}

/// How a release ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// With the new versions.
    Completed,
    /// With the old ones.
    Aborted,
    /// With the old ones, after all users had the new ones.
    Undone,
}

/// A workload of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// The Deployment.
    pub deployment: WorkloadRef,
    /// Its images from before, by container.
    pub before: BTreeMap<String, String>,
    /// Pods that the lane is to have.
    #[serde(default)]
    pub replicas: u32,
    /// Those that are available.
    #[serde(default)]
    pub available: u32,
    /// The Deployment's generation for which the new images were asked of it; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<i64>,
    /// The Deployment's generation for which the images from before were asked of it; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_back: Option<i64>,
    /// Whether the Deployment was seen with the new images.
    #[serde(default)]
    pub promoted: bool,
}

/// What a release waits for or stumbles over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Whether somebody has to do something.
    #[serde(default)]
    pub needs_help: bool,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When, Unix, in seconds.
    pub at: i64,
    /// What, in words.
    pub what: String,
}

impl Status {
    pub(crate) fn note(&mut self, at: i64, what: impl Into<String>) {
        self.history.push(Entry { at, what: what.into() });
        let surplus = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..surplus);
        self.forgotten = self.forgotten.saturating_add(u32::try_from(surplus).unwrap_or(u32::MAX));
    }

    /// For how long a step is held by now, without the time that it was paused, in seconds.
    #[must_use]
    pub fn held_for(&self, now: i64) -> Option<i64> {
        Some(self.paused_since.unwrap_or(now).saturating_sub(self.held_since?))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_none_yet(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_is_full_says_how_much_it_has_forgotten() {
        let mut status = Status::default();
        for at in 0..300 {
            status.note(at, "to and fro");
        }
        assert_eq!((status.history.len(), status.forgotten), (256, 44));
        assert_eq!(status.history[0].at, 44);
    }
}
