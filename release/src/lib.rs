//! One release over several workloads: new images go to *copies* of the Deployments that serve a lane, the lane
//! takes more and more users, and at the end the Deployments themselves get the images and the lane goes.
//!
//! [`next`] says what is to be done now, from what is there: it decides by the Release, its journal (the
//! status) and the objects as they are, so that whoever asks after whatever interruption goes on from there. A
//! transition is journalled before its first action, and every action may be repeated. Pure: no I/O, no clock.

mod action;
mod analysis;
mod document;
mod engine;
mod errand;
mod journal;
mod lane;
mod notices;
mod plan;
mod remaining;
mod workload;

pub use action::Action;
pub use analysis::{
    About, Analysis, AnalysisStatus, Figure, Latency, Measured, OnFailure, OwnQuery, Prometheus, Question,
    Questions, Reading, Side, Source, SuccessRate, Traffic, Verdict, questions,
};
pub use document::{By, Intent, KIND, Metadata, Release, ReleaseSpec, Step, WorkloadRef, WorkloadSpec};
pub use engine::{Next, World, holder, next, stateful_set_refused};
pub use errand::{Call, Called, ErrandOutcome, ErrandStatus, JobSeen, JobSpec, Webhook, call, origin};
pub use journal::{Entry, Outcome, Phase, Status, Trouble, WorkloadStatus};
pub use lane::RELEASE_LABEL;
pub use notices::{Notice, Notices, Notify, notices};
pub use plan::{Planned, PlannedStep, plan};
pub use remaining::{Remaining, remaining};
