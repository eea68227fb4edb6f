//! What a step has done elsewhere before it goes on: a Job that runs, or a webhook that is called.

mod call;
mod job;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::analysis::OnFailure;
use crate::document::{Release, Step, WorkloadRef};

pub use call::{Call, Called, call, origin};
pub(crate) use call::{describe, id, is_address};
pub(crate) use job::{JobState, document, is_of, name, state};

/// A Job that a step runs: one that a CronJob describes, or one of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// The CronJob, suspended or not, whose Job is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_job: Option<WorkloadRef>,
    /// The `spec` of a Job, which runs beside the first workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Value>,
    /// What is done when it fails; default: pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// An address that a step asks for leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Its address as the controller reaches it.
    pub url: String,
    /// How long one call may take, in seconds; default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// How often it is called again where it does not answer, or answers that it cannot now; default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// What is done when it refuses; default: pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// How far the errand of a step has come. Every field is written each time: what a merge leaves out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrandStatus {
    /// The step, counted from 0.
    pub step: usize,
    /// The `retries` of the spec that it was begun for.
    pub tries: u32,
    /// The Job; none where a webhook is called.
    #[serde(default)]
    pub job: Option<WorkloadRef>,
    /// Whether the Job was seen.
    #[serde(default)]
    pub seen: bool,
    /// How it ended; none while it is under way.
    #[serde(default)]
    pub outcome: Option<ErrandOutcome>,
    /// Why it failed, in words.
    #[serde(default)]
    pub message: String,
}

/// How an errand ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrandOutcome {
    /// The step may go on.
    Passed,
    /// It may not.
    Failed,
}

/// The Job of a journal as it was found.
#[derive(Debug, Clone, PartialEq)]
pub enum JobSeen {
    /// There is none of its name.
    Absent,
    /// So.
    There(Value),
}

/// What a step has done elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Errand<'a> {
    Job(&'a JobSpec),
    Webhook(&'a Webhook),
}

impl ErrandStatus {
    /// Whether it failed, and so keeps its release from going on.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outcome == Some(ErrandOutcome::Failed)
    }
}

impl<'a> Errand<'a> {
    pub(crate) fn of(step: &'a Step) -> Option<Self> {
        step.job.as_ref().map(Self::Job).or(step.webhook.as_ref().map(Self::Webhook))
    }

    /// Whether a journal speaks of this errand in its present try.
    pub(crate) fn is_told_by(&self, status: &ErrandStatus, release: &Release, step: usize) -> bool {
        let is_job = matches!(self, Self::Job(_));
        status.step == step && status.tries == release.spec.retries && status.job.is_some() == is_job
    }

    /// What makes no sense about the errand of a step, in words.
    pub(crate) fn fault(step: &Step) -> Option<String> {
        match (&step.job, &step.webhook) {
            (Some(_), Some(_)) => Some("a step has a job or a webhook: give each a step of its own".into()),
            (Some(job), None) if job.cron_job.is_some() == job.spec.is_some() => {
                Some("a job has a cronJob or a spec, one of them".into())
            }
            (None, Some(webhook)) if !is_address(&webhook.url) => {
                Some("webhook.url is no address: wanted one such as https://ci.example.com/leave".into())
            }
            _ => None,
        }
    }
}

impl Step {
    /// What it has done elsewhere, in words; nothing where it has nothing done.
    #[must_use]
    pub fn errand(&self) -> Option<String> {
        Errand::of(self).map(|errand| match errand {
            Errand::Job(JobSpec { cron_job: Some(cron_job), .. }) => {
                format!("runs the Job of CronJob {cron_job}")
            }
            Errand::Job(_) => "runs a Job".into(),
            Errand::Webhook(webhook) => format!("calls {}", origin(&webhook.url)),
        })
    }
}
