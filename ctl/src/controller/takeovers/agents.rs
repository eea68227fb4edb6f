//! The agents of Takeovers, as their pods are. Pods come to plans by their metadata only, so these are read anew.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerPort, Pod};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::arrival::{addresses, is_ready};
use crate::takeover::{LABEL, selected};

/// What there is of a Takeover's agent; what serves more counts as more.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agent {
    /// No pod that lives.
    #[default]
    Gone,
    /// A pod that does not run, and may never.
    Starting,
    /// A pod that runs.
    Running(RunningPod),
}

/// An agent's pod that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunningPod {
    /// Whether its client is there.
    pub(super) is_ready: bool,
    pub(super) namespace: String,
    /// What it is. Its ports are those of the service that its own are called after; none where routes lead to it.
    pub(super) pod: selected::Pod,
}

/// Agents by the namespace and name of their Takeover.
#[derive(Debug, Clone, Default)]
pub(super) struct Agents(BTreeMap<(String, String), Agent>);

impl Agents {
    /// Those of the cluster.
    ///
    /// # Errors
    /// When pods cannot be listed.
    pub(super) async fn list(client: &Client) -> Result<Self, kube::Error> {
        let pods: Api<Pod> = Api::all(client.clone());
        let found = pods.list(&ListParams::default().labels(LABEL)).await?;
        Ok(Self::of(&found.items))
    }

    fn of(pods: &[Pod]) -> Self {
        let mut agents = Self::default();
        for pod in pods {
            let Some(takeover) = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL)) else {
                continue;
            };
            let place = (pod.metadata.namespace.clone().unwrap_or_default(), takeover.clone());
            let agent = agents.0.entry(place).or_default();
            *agent = read(pod).max(std::mem::take(agent));
        }
        agents
    }

    /// Whether one of them is a pod with this UID.
    pub(super) fn has(&self, uid: &str) -> bool {
        self.0.values().any(|agent| matches!(agent, Agent::Running(agent) if agent.pod.uid == uid))
    }

    pub(super) fn of_takeover(&self, namespace: &str, name: &str) -> Agent {
        self.0.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }
}

fn read(pod: &Pod) -> Agent {
    let status = pod.status.as_ref();
    match status.and_then(|status| status.phase.as_deref()) {
        _ if pod.metadata.deletion_timestamp.is_some() => Agent::Gone,
        Some("Running") => Agent::Running(RunningPod {
            is_ready: is_ready(pod),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            pod: selected::Pod {
                name: pod.metadata.name.clone().unwrap_or_default(),
                uid: pod.metadata.uid.clone().unwrap_or_default(),
                addresses: addresses(pod),
                ports: ports(pod),
            },
        }),
        Some("Succeeded" | "Failed") => Agent::Gone,
        _ => Agent::Starting,
    }
}

fn ports(pod: &Pod) -> BTreeMap<u16, u16> {
    let spec = pod.spec.as_ref();
    let inits = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    let all = inits.chain(spec.into_iter().flat_map(|spec| &spec.containers));
    let ports = all.flat_map(|container| container.ports.iter().flatten());
    let served = |port: &ContainerPort| {
        Some((selected::served(port.name.as_deref()?)?, u16::try_from(port.container_port).ok()?))
    };
    ports.filter_map(served).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(phases: &[&str], want: &Agent) {
        let pod = |phase: &&str| {
            let pod = json!({
                "metadata": {"name": "a", "namespace": "shop", "labels": {LABEL: "cart-dev-alice"}},
                "spec": {
                    "initContainers": [{"name": "gate", "ports": [{"name": "port-80", "containerPort": 15800}]}],
                    "containers": [{"name": "agent", "ports": [{"name": "health", "containerPort": 17071}]}],
                },
                "status": {"phase": phase, "podIPs": [{"ip": "10.0.0.7"}]},
            });
            serde_json::from_value(pod).expect("a pod")
        };
        let agents = Agents::of(&phases.iter().map(pod).collect::<Vec<Pod>>());
        assert_eq!(agents.of_takeover("shop", "cart-dev-alice"), *want, "{phases:?}");
        assert_eq!(agents.of_takeover("shop", "cart-dev-bob"), Agent::Gone);
    }

    #[test]
    fn an_agent_is_there_once_its_pod_runs() {
        check(&[], &Agent::Gone);
        check(&["Failed"], &Agent::Gone);
        check(&["Succeeded"], &Agent::Gone);
        check(&["Pending"], &Agent::Starting);
        check(&["Failed", "Pending"], &Agent::Starting);
        let running = RunningPod {
            namespace: "shop".into(),
            pod: selected::Pod {
                name: "a".into(),
                addresses: vec!["10.0.0.7".into()],
                ports: BTreeMap::from([(80, 15_800)]),
                ..selected::Pod::default()
            },
            ..RunningPod::default()
        };
        check(&["Running", "Failed", "Pending"], &Agent::Running(running));
    }
}
