//! What a release does to a cluster. Each may be repeated.

use std::collections::BTreeMap;

use canary_rules::name::LaneName;
use serde_json::Value;

use crate::document::WorkloadRef;

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the Deployment that serves the lane.
    Create {
        /// All of it.
        deployment: Value,
    },
    /// Give a Deployment this many pods.
    Scale {
        /// Which.
        deployment: WorkloadRef,
        /// How many.
        replicas: u32,
    },
    /// Give containers of a Deployment other images.
    SetImages {
        /// Which.
        deployment: WorkloadRef,
        /// By container.
        images: BTreeMap<String, String>,
    },
    /// Make the lane so.
    ApplyLane {
        /// All of it but its status.
        lane: Value,
    },
    /// End the lane.
    DeleteLane {
        /// Which.
        lane: LaneName,
    },
    /// Delete a Deployment that served the lane.
    Delete {
        /// Which.
        deployment: WorkloadRef,
    },
    /// Make the Job of a step.
    CreateJob {
        /// All of it.
        job: Value,
    },
    /// End the Job of a step that nobody waits for any more.
    DeleteJob {
        /// Which.
        job: WorkloadRef,
    },
}
