//! The way to an agent: a port that the API server forwards, to an agent that is made anew when it is gone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use canary_tunnel::{Connect, ConnectError};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::time::timeout;

use super::agent::TUNNEL_PORT;
use super::forwarded::{Forwarded, forward};
use super::job::AgentJob;
use super::launch::{self, Launched, Trouble};
use crate::cluster::api_failure;
use crate::failure::Failure;

/// How long the API server may take to forward a port, and to answer before that.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(15);

/// What is told while a way is found.
pub(super) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Which agent there is, for whoever takes it away.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<Option<Launched>>>);

impl Running {
    pub(super) fn get(&self) -> Option<Launched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, launched: Option<Launched>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = launched;
    }
}

/// Makes transports to one session's agent.
pub(super) struct Way {
    pub(super) client: Client,
    pub(super) agent: AgentJob,
    pub(super) launch_within: Duration,
    pub(super) running: Running,
    pub(super) tell: Tell,
}

impl Connect for Way {
    type Transport = Forwarded;

    async fn connect(&mut self) -> Result<Forwarded, ConnectError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.agent.namespace);
        let pod = self.pod(&pods).await?;
        let forwarded = forward(&self.client, &self.agent.namespace, &pod, TUNNEL_PORT);
        let forwarded = timeout(FORWARD_TIMEOUT, forwarded).await;
        let forwarded = forwarded.map_err(|_| ConnectError::again("the API server does not answer"))?;
        forwarded.map_err(|error| again(&api_failure(&format!("forward a port of {pod}"), &error)))
    }
}

impl Way {
    /// The agent's pod; a new one where it is gone.
    async fn pod(&self, pods: &Api<Pod>) -> Result<String, ConnectError> {
        let before = self.running.get();
        if let Some(launched) = &before {
            let found = timeout(FORWARD_TIMEOUT, pods.get_opt(&launched.pod)).await;
            let found = found.map_err(|_| ConnectError::again("the API server does not answer"))?;
            let found = found.map_err(|error| again(&api_failure("read the agent's pod", &error)))?;
            let why = match found.as_ref().map(launch::trouble) {
                None => "its pod is gone".to_owned(),
                Some(Some(Trouble::Never(why))) => why,
                Some(_) => return Ok(launched.pod.clone()),
            };
            (self.tell)(&format!("the agent has ended ({why}); making a new one"));
        }
        let mut tell = |why: &str| (self.tell)(why);
        let name = launch::name(&self.agent);
        let launched = launch::launch(&self.client, &self.agent, &name, self.launch_within, &mut tell).await;
        let launched = launched.map_err(|failure| again(&failure))?;
        if let Some(before) = before {
            // Only now: what it owned has gone over to the new one.
            launch::end(&self.client, &self.agent.namespace, &before.job).await;
        }
        (self.tell)(&format!("a new agent runs: {}", launched.pod));
        self.running.set(Some(launched.clone()));
        Ok(launched.pod)
    }
}

fn again(failure: &Failure) -> ConnectError {
    ConnectError::again(failure.to_string())
}
