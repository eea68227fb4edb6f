//! The agent as an object of the cluster. Pure.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use canary_istio::lane::LANE_LABEL;
use canary_tunnel::SecretHash;
use serde_json::{Value, json};

use super::agent::{HEALTH_PORT, TUNNEL_PORT};
use super::offered::Offered;

/// The container that the agent is.
pub const CONTAINER: &str = "agent";
/// Who started it, on which machine.
pub const OWNER_ANNOTATION: &str = "canaryctl.io/owner";
/// The label by which all of ours are found.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "canaryctl");
/// Nobody: the user that it runs as.
const USER: u32 = 65532;
/// How long a Job that has ended may be looked at, in seconds.
const KEPT_S: u32 = 60;
/// How long an agent lives at the most, in seconds, whatever becomes of everybody; whoever is still there gets another.
const LIFE_S_MAX: u32 = 24 * 3600;
/// How long the agent has to end, in seconds: what serves on until nobody sends any more ends one after the other.
const GRACE_S: u32 = 14;

/// What an agent is to be.
#[derive(Debug, Clone)]
pub struct AgentJob {
    /// Where.
    pub namespace: String,
    /// What runs it: canaryctl's image.
    pub image: String,
    /// Whose it is.
    pub secret: SecretHash,
    /// Who that is, in words.
    pub owner: String,
    /// What it is for: `connect`, or another verb.
    pub purpose: &'static str,
    /// The lane whose colour its flows have.
    pub lane: Option<String>,
    /// Ports whose connections come to the client.
    pub expose: Vec<u16>,
    /// How long it stays without a client.
    pub idle: Duration,
    /// Whether it is of no use without a sidecar.
    pub is_meshed: bool,
    /// What more its Job is to be.
    pub dress: Option<Dress>,
    /// The Service whose pod it is, where it has one of its own.
    pub offered: Option<Offered>,
}

/// Makes more of an agent's Job.
#[derive(Clone)]
pub struct Dress(pub Arc<dyn Fn(Value) -> Value + Send + Sync>);

impl fmt::Debug for Dress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dress")
    }
}

impl AgentJob {
    /// The Job, under a name that nothing else has.
    #[must_use]
    pub fn manifest(&self, name: &str) -> Value {
        let mut labels = json!({
            MANAGED_BY.0: MANAGED_BY.1,
            "app.kubernetes.io/name": "canaryctl-agent",
            "app.kubernetes.io/component": self.purpose,
        });
        if let Some(lane) = &self.lane {
            labels[LANE_LABEL] = lane.as_str().into();
        }
        let annotations = json!({
            OWNER_ANNOTATION: self.owner,
            // A connection that is asked for before the sidecar can carry it would be refused.
            "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true",
        });
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": name, "namespace": self.namespace, "labels": labels,
                "annotations": {OWNER_ANNOTATION: self.owner},
            },
            "spec": {
                "activeDeadlineSeconds": LIFE_S_MAX,
                "backoffLimit": 0,
                "ttlSecondsAfterFinished": KEPT_S,
                "template": {
                    "metadata": {"labels": labels, "annotations": annotations},
                    "spec": {
                        "restartPolicy": "Never",
                        "automountServiceAccountToken": false,
                        "enableServiceLinks": false,
                        "terminationGracePeriodSeconds": GRACE_S,
                        "securityContext": {
                            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [self.container()],
                    },
                },
            },
        });
        match &self.dress {
            Some(dress) => dress.0(job),
            None => job,
        }
    }

    fn container(&self) -> Value {
        let mut args = vec![
            "agent".to_owned(),
            format!("--secret-sha256={}", self.secret),
            format!("--idle-timeout={}s", self.idle.as_secs()),
        ];
        args.extend(self.expose.iter().map(|port| format!("--expose={port}")));
        args.push(format!("--tunnel-port={TUNNEL_PORT}"));
        args.push(format!("--health-port={HEALTH_PORT}"));
        let exposed = self.expose.iter().map(|port| json!({"containerPort": port}));
        let ports: Vec<Value> =
            exposed.chain([json!({"name": "health", "containerPort": HEALTH_PORT})]).collect();
        json!({
            "name": CONTAINER,
            "image": self.image,
            "args": args,
            "ports": ports,
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}, "periodSeconds": 1},
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "384Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_may_do_nothing_but_carry_bytes() {
        let job = AgentJob {
            namespace: "shop".into(),
            image: "registry.example/canaryctl:1".into(),
            secret: "ab".repeat(32).parse().expect("a hash"),
            owner: "alice@laptop".into(),
            purpose: "connect",
            lane: Some("gray".into()),
            expose: vec![8080],
            idle: Duration::from_secs(300),
            is_meshed: false,
            dress: None,
            offered: None,
        };
        insta::assert_yaml_snapshot!(job.manifest("canaryctl-connect-1"));
    }
}
