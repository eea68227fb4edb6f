//! Brings an agent into the cluster, and says what it is waiting for.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use super::job::{AgentJob, CONTAINER};
use super::offered;
use crate::arrival::has_proxy;
use crate::cluster::api_failure;
use crate::failure::{Code, Failure};

/// How often a pod that is not ready yet is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Letters of a name that chance decides: 36⁶ names.
const CHANCE: usize = 6;

/// An agent that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launched {
    /// Its Job.
    pub job: String,
    /// The Job's identity.
    pub uid: String,
    /// Its pod.
    pub pod: String,
}

/// What stands between a pod and its being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may pass.
    Waits(String),
    /// It will not.
    Never(String),
}

/// A name that no other agent has.
#[must_use]
pub fn name(agent: &AgentJob) -> String {
    let chance = std::iter::repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase()).take(CHANCE);
    format!("canaryctl-{}-{}", agent.purpose, chance.collect::<String>())
}

/// Makes an agent and waits until it runs, and its sidecar with it. Tells each reason for waiting once. What is not
/// there in time is taken away again.
///
/// # Errors
/// When the API server refuses, or what keeps the agent from running.
pub async fn launch(
    client: &Client,
    agent: &AgentJob,
    name: &str,
    limit: Duration,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<Launched, Failure> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &agent.namespace);
    let manifest: Job = serde_json::from_value(agent.manifest(name))
        .map_err(|error| Failure::new(Code::Failed, format!("the agent's Job is none: {error}")))?;
    let tried = format!("make a Job in {}", agent.namespace);
    let made = jobs.create(&PostParams::default(), &manifest).await;
    let made = made.map_err(|error| api_failure(&tried, &error))?;
    let mut launched =
        Launched { job: name.to_owned(), uid: made.metadata.uid.unwrap_or_default(), pod: String::new() };
    let runs = async {
        offered::hand_over(client, agent, &launched).await?;
        running(client, agent, name, limit, tell).await
    };
    match runs.await {
        Ok(pod) => {
            launched.pod = pod;
            Ok(launched)
        }
        Err(failure) => {
            end(client, &agent.namespace, name).await;
            Err(failure)
        }
    }
}

/// Takes an agent away; one that is gone is.
pub async fn end(client: &Client, namespace: &str, job: &str) {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    match jobs.delete(job, &DeleteParams::background()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => {
            let said = api_failure(&format!("delete Job {namespace}/{job}"), &error);
            anstream::eprintln!("warning: {said}; it ends by itself");
        }
    }
}

async fn running(
    client: &Client,
    agent: &AgentJob,
    job: &str,
    limit: Duration,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<String, Failure> {
    let deadline = Instant::now() + limit;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &agent.namespace);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let mut told = String::new();
    loop {
        let found = pods.list(&of_job).await.map_err(|error| api_failure("list pods", &error))?;
        let why = match found.items.first() {
            Some(pod) if agent.is_meshed && !has_proxy(pod) => return Err(no_sidecar(&agent.namespace)),
            Some(pod) => match trouble(pod) {
                None => return Ok(pod.metadata.name.clone().unwrap_or_default()),
                Some(trouble) => trouble,
            },
            None => Trouble::Waits(no_pod(client, &agent.namespace, job).await),
        };
        let why = match why {
            Trouble::Never(why) => return Err(failure(agent, &why)),
            Trouble::Waits(why) => why,
        };
        if Instant::now() > deadline {
            let late = format!("the agent does not run after {} s: {why}", limit.as_secs());
            return Err(Failure::new(Code::Timeout, late).help("wait longer with --timeout 3m"));
        }
        if why != told {
            tell(&why);
            told = why;
        }
        sleep(LOOK_EVERY).await;
    }
}

fn failure(agent: &AgentJob, why: &str) -> Failure {
    let failure = Failure::new(Code::Failed, format!("the agent cannot run: {why}"));
    failure.help(format!("its image is {}; name another with --image", agent.image))
}

fn no_sidecar(namespace: &str) -> Failure {
    let what = format!(
        "the agent's pod got no sidecar: Istio injects none in {namespace}, so no request of the mesh would come by it"
    );
    Failure::new(Code::Failed, what).help(format!(
        "kubectl label namespace {namespace} istio-injection=enabled, and restart the service's pods; of a service outside \
         the mesh that has pods, exchange takes all requests"
    ))
}

/// Why a Job has no pod: a quota, or an admission that refuses.
async fn no_pod(client: &Client, namespace: &str, job: &str) -> String {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let of_job = ListParams::default().fields(&format!("involvedObject.name={job},reason=FailedCreate"));
    let found = events.list(&of_job).await.ok();
    let said = found.and_then(|found| found.items.into_iter().next_back()).and_then(|event| event.message);
    said.unwrap_or_else(|| "its pod is being made".into())
}

/// What keeps a pod from being used; none: nothing does.
pub(super) fn trouble(pod: &Pod) -> Option<Trouble> {
    let Some(status) = &pod.status else { return Some(Trouble::Waits("its pod is being scheduled".into())) };
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(Trouble::Never("its pod was deleted".into()));
    }
    let conditions = status.conditions.iter().flatten();
    if let Some(unscheduled) =
        conditions.clone().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
    {
        let why = unscheduled.message.as_deref().unwrap_or("no node takes it");
        return Some(Trouble::Waits(format!("no node takes its pod: {why}")));
    }
    let inits = status.init_container_statuses.iter().flatten();
    let all: Vec<&ContainerStatus> = inits.chain(status.container_statuses.iter().flatten()).collect();
    if let Some(trouble) = all.iter().find_map(|container| of_container(container)) {
        return Some(trouble);
    }
    let is_own = |container: &&&ContainerStatus| container.name == CONTAINER;
    let runs =
        |container: &ContainerStatus| container.state.as_ref().is_some_and(|state| state.running.is_some());
    let Some(_) = all.iter().find(is_own).filter(|container| runs(container)) else {
        return Some(Trouble::Waits("its pod is starting".into()));
    };
    // Our own is ready only once its client is there, where it exposes something.
    let starts =
        |container: &&&ContainerStatus| container.name != CONTAINER && runs(container) && !container.ready;
    let other = all.iter().find(starts)?;
    Some(Trouble::Waits(format!("its container {} is starting", other.name)))
}

fn of_container(container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = waiting.message.as_deref().unwrap_or(reason);
        return match reason {
            "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "CrashLoopBackOff" => Some(Trouble::Never(format!("{reason}: {message}"))),
            "ErrImagePull" => Some(Trouble::Waits(format!("its image cannot be pulled: {message}"))),
            _ => None,
        };
    }
    let ended = state.terminated.as_ref()?;
    (container.name == CONTAINER || ended.exit_code != 0).then(|| {
        let why = ended.reason.as_deref().unwrap_or("it ended");
        let message = ended.message.as_deref().map(|text| format!(", {text}")).unwrap_or_default();
        Trouble::Never(format!(
            "container {} has ended with code {} ({why}{message})",
            container.name, ended.exit_code
        ))
    })
}

#[cfg(test)]
mod tests;
