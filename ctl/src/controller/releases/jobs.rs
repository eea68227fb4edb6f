//! The Jobs of steps: read one by one, for there are few, and only while a release waits for one.

use canary_release::{JobSeen, Phase, Release, Step, WorkloadRef, World};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;

use super::write::{failed, reference};
use crate::apply::ApplyError;
use crate::failure::chain;
use crate::names::FIELD_MANAGER;

pub(super) fn api(client: &Client, namespace: &str) -> Api<Job> {
    Api::namespaced(client.clone(), namespace)
}

/// Looks for the Job of the journal, and for CronJobs that the release is about to need.
pub(super) async fn look(client: &Client, release: &Release, world: &mut World) {
    let status = release.status.clone().unwrap_or_default();
    let errand = status.errand.filter(|errand| errand.outcome.is_none());
    let is_seen = errand.as_ref().is_some_and(|errand| errand.seen);
    world.job = match errand.and_then(|errand| errand.job) {
        Some(job) => find_job(client, &job).await,
        None => None,
    };
    world.cron_jobs.clear();
    let steps: Vec<Step> = match status.phase {
        Phase::Pending => release.spec.steps.clone(),
        Phase::Stepping if !is_seen => vec![release.step(status.step)],
        _ => Vec::new(),
    };
    for name in steps.into_iter().filter_map(|step| step.job?.cron_job) {
        if let Some(found) = find_cron_job(client, &name).await {
            world.cron_jobs.insert(name, found);
        }
    }
}

/// A Job; nothing where nobody knows.
async fn find_job(client: &Client, name: &WorkloadRef) -> Option<JobSeen> {
    match api(client, &name.namespace).get_opt(&name.name).await {
        Ok(Some(job)) => serde_json::to_value(job).ok().map(JobSeen::There),
        Ok(None) => Some(JobSeen::Absent),
        Err(error) => {
            tracing::warn!(job = %name, error = %chain(&error), "a Job cannot be read");
            None
        }
    }
}

async fn find_cron_job(client: &Client, name: &WorkloadRef) -> Option<Option<Value>> {
    let api: Api<CronJob> = Api::namespaced(client.clone(), &name.namespace);
    match api.get_opt(&name.name).await {
        Ok(found) => found.map(serde_json::to_value).transpose().ok(),
        Err(error) => {
            tracing::warn!(cron_job = %name, error = %chain(&error), "a CronJob cannot be read");
            None
        }
    }
}

pub(super) async fn create(client: &Client, job: &Value) -> Result<(), ApplyError> {
    let text = |field: &str| job["metadata"][field].as_str().unwrap_or_default().to_owned();
    let object = reference("Job", &text("namespace"), &text("name"));
    let failed = |source| failed("create", &object, source);
    let body: Job =
        serde_json::from_value(job.clone()).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match api(client, &object.namespace).create(&params, &body).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
