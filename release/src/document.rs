//! The Release document: what people write, `canaryctl.io/v1alpha1`.

use std::collections::BTreeMap;
use std::fmt;

use canary_rules::name::LaneName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::analysis::Analysis;
use crate::errand::{JobSpec, Webhook};
use crate::journal::Status;
use crate::notices::Notify;

/// The `kind` of Release documents.
pub const KIND: &str = "Release";

/// A Release document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Release {
    /// Always `canaryctl.io/v1alpha1`.
    pub api_version: String,
    /// Always `Release`.
    pub kind: String,
    /// Its name and what Kubernetes keeps of it.
    pub metadata: Metadata,
    /// What is released, and how.
    pub spec: ReleaseSpec,
    /// Its journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// What is read of a Release's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name; also that of its lane, unless it names one.
    pub name: LaneName,
    /// What tells it from others of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its version, for writes that are to meet it as it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Counts changes of `spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// When somebody deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
}

/// What is released, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseSpec {
    /// The lane that carries it; default: called as the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneName>,
    /// The workloads that get new images, all of them together.
    pub workloads: Vec<WorkloadSpec>,
    /// Who gets the new versions whatever the share: rules of a Lane, without a percentage. What makes no sense is
    /// found with the lane, so that a Release with a fault can still be aborted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Value>,
    /// How shares tell users apart, as in a Lane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<Value>,
    /// What shares are of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub by: By,
    /// The shares, one after the other; none: those of the rules alone, until it is promoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What is measured while a step is held, and what is made of it; default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Who is told of what happens to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
    /// For how long after everybody has the new versions those from before are kept ready, in seconds, so that
    /// everybody can go back at once; default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_warm_seconds: Option<u32>,
    /// Whether it stays where it is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub paused: bool,
    /// How many steps need not be held any longer: what `promote` counts up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub passed: u32,
    /// How often it was told to begin a step anew that had stopped it: what `retry` counts up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub intent: Intent,
}

/// What shares are of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// Of users: each stays on their side of it.
    #[default]
    Users,
    /// Of requests, whoever sends them: each goes its way through one version of every service.
    Requests,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Users => "users",
            Self::Requests => "requests",
        })
    }
}

/// Where a release goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Intent {
    /// To everybody.
    #[default]
    Forward,
    /// Back to what was before, from wherever it is.
    Abort,
    /// Once through: back to the images from before; sooner the same as to abort.
    Undo,
}

/// A Deployment that gets new images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSpec {
    /// The Deployment.
    pub deployment: WorkloadRef,
    /// New images by container.
    pub images: BTreeMap<String, String>,
    /// How many pods the lane has; default: as many of the Deployment's as the share is of all users, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
}

/// A Deployment, as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkloadRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl TryFrom<String> for WorkloadRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err(format!("`{text}` is no name as `namespace/name`")),
        }
    }
}

impl From<WorkloadRef> for String {
    fn from(workload: WorkloadRef) -> Self {
        workload.to_string()
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A share, for how long, and what is to be done or asked before it goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// In percent, in steps of 0.01; default: as in the step before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Of how many of the requests that no lane claims the new versions get a copy while it is held, in percent, in
    /// steps of 0.01; nobody sees what they answer. Default: of none, whatever the step before says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<f64>,
    /// How many pods the lane has at the least, in percent of each Deployment's; default: as many as its requests take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// How long it is held, in seconds; default: until it is promoted, or where it has something done, until that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
    /// What is measured while it is held; what it leaves open is as the release says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// A Job that has to succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSpec>,
    /// An address that has to give leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

impl Step {
    /// Its copies, in words; nothing where it has none.
    #[must_use]
    pub fn copies(&self) -> Option<String> {
        let mirror = self.mirror.filter(|mirror| *mirror > 0.0)?;
        Some(format!("copies of {mirror} % of the other requests"))
    }
}

impl Release {
    /// The lane that carries it.
    #[must_use]
    pub fn lane(&self) -> &LaneName {
        self.spec.lane.as_ref().unwrap_or(&self.metadata.name)
    }

    /// The Deployment that serves the lane for one of its Deployments.
    #[must_use]
    pub fn copy_of(&self, workload: &WorkloadRef) -> WorkloadRef {
        crate::workload::copy_of(workload, self)
    }

    /// The step of this number, counted from 0; behind the last it is the last. Without any there is one, for those
    /// of the rules.
    #[must_use]
    pub fn step(&self, number: usize) -> Step {
        let steps = &self.spec.steps;
        steps.get(number).or(steps.last()).cloned().unwrap_or_default()
    }

    /// The share of the step of this number, in percent: its own, or else that of the last step before it that has one.
    #[must_use]
    pub fn share(&self, number: usize) -> f64 {
        let until = self.spec.steps.iter().take(number.saturating_add(1));
        until.rev().find_map(|step| step.share).unwrap_or_default()
    }

    /// The copies of the step of this number, in percent of the requests that no lane claims.
    #[must_use]
    pub fn mirror(&self, number: usize) -> f64 {
        self.step(number).mirror.unwrap_or_default()
    }

    /// How much reaches the new versions in the step of this number, copies with it, in percent.
    #[must_use]
    pub fn load(&self, number: usize) -> f64 {
        let share = self.share(number);
        share + (100.0 - share) * self.mirror(number) / 100.0
    }

    /// How large the lane is in the step of this number, in percent of the Deployments.
    #[must_use]
    pub fn size(&self, number: usize) -> f64 {
        self.load(number).max(self.step(number).scale.map_or(0.0, f64::from))
    }

    /// How many steps there are.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.spec.steps.len().max(1)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
