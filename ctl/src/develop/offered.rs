//! A new Service of the cluster whose only pods are an agent's. It is owned by the agent's Job, so that it goes with
//! that when nobody is left to remove it.

use std::fmt;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::job::{AgentJob, MANAGED_BY, OWNER_ANNOTATION};
use super::launch::Launched;
use crate::cluster::api_failure;
use crate::failure::Failure;
use crate::names::FIELD_MANAGER;

/// What such a Service is for, as its agent's label says: the verb.
pub const PURPOSE: &str = "preview";
/// The label by which it selects its agents: chance decides its value, so that no other pod has it.
pub const LABEL: &str = "canaryctl.io/preview";
/// The label that says what an object of ours is for.
pub(super) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Where the agent's pod listens: whoever is not root may.
pub const POD_PORT: u16 = 15_800;
/// How long a Job whose agent has ended stays, in seconds: the Service finds the next agent in that time.
const KEPT_S: u32 = 15;

/// What is spoken at a Service's port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1, WebSockets too.
    #[default]
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC without TLS.
    Grpc,
    /// Anything else.
    Tcp,
}

impl Protocol {
    /// Whether requests can be told apart, and answered where nobody else does.
    #[must_use]
    pub fn is_http(self) -> bool {
        self != Self::Tcp
    }

    /// The scheme of its URLs.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http | Self::Http2 => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        })
    }
}

/// A Service that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Where.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The value of [`LABEL`] that its agents have.
    pub mark: String,
    /// Whose it is, in words.
    pub owner: String,
}

impl Offered {
    /// The Service, without an owner.
    #[must_use]
    pub fn manifest(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": self.name, "namespace": self.namespace,
                "labels": {
                    MANAGED_BY.0: MANAGED_BY.1, COMPONENT_LABEL: PURPOSE,
                },
                "annotations": {OWNER_ANNOTATION: self.owner},
            },
            "spec": {
                "selector": {LABEL: self.mark},
                "ports": [{
                    "name": self.protocol.to_string(), "port": self.port, "targetPort": POD_PORT, "protocol": "TCP",
                }],
            },
        })
    }

    /// The Service of an agent that runs.
    #[must_use]
    pub fn owned_by(&self, agent: &Launched) -> Value {
        let mut service = self.manifest();
        service["metadata"]["ownerReferences"] = owners(agent);
        service
    }

    /// An agent's Job, made that of the Service's pods.
    #[must_use]
    pub fn dressed(&self, mut job: Value) -> Value {
        job["spec"]["ttlSecondsAfterFinished"] = KEPT_S.into();
        job["spec"]["template"]["metadata"]["labels"][LABEL] = self.mark.as_str().into();
        job
    }

    /// What gives the Service, as it was found, to another agent; nothing where it is somebody else's.
    fn handed_to(&self, agent: &Launched, found: &Service) -> Option<Value> {
        let selector = found.spec.as_ref()?.selector.as_ref()?;
        let is_ours = selector.get(LABEL) == Some(&self.mark);
        is_ours.then(|| {
            // Refused where it was changed meanwhile.
            let version = &found.metadata.resource_version;
            json!({"metadata": {"resourceVersion": version, "ownerReferences": owners(agent)}})
        })
    }
}

fn owners(agent: &Launched) -> Value {
    json!([{"apiVersion": "batch/v1", "kind": "Job", "name": agent.job, "uid": agent.uid}])
}

/// Gives the Service of an agent's session, if it has one, to the session's newest agent. Where there is none any more
/// nothing is made: whoever removed it ends the session.
///
/// # Errors
/// When the API server refuses it.
pub(super) async fn hand_over(client: &Client, agent: &AgentJob, newest: &Launched) -> Result<(), Failure> {
    let Some(offered) = &agent.offered else { return Ok(()) };
    let services: Api<Service> = Api::namespaced(client.clone(), &offered.namespace);
    let tried = format!("give Service {}/{} its new agent", offered.namespace, offered.name);
    let found = services.get_opt(&offered.name).await.map_err(|error| api_failure(&tried, &error))?;
    let Some(patch) = found.and_then(|found| offered.handed_to(newest, &found)) else { return Ok(()) };
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    match services.patch(&offered.name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(api_failure(&tried, &error)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One of alice's.
    pub(in crate::develop) fn offered() -> Offered {
        Offered {
            namespace: "shop".into(),
            name: "coupons".into(),
            port: 80,
            protocol: Protocol::Http,
            mark: "k3v9x2".into(),
            owner: "alice@laptop".into(),
        }
    }

    fn agent() -> Launched {
        Launched { job: "canaryctl-preview-1".into(), uid: "u-1".into(), pod: "canaryctl-preview-1-x".into() }
    }

    #[test]
    fn a_service_selects_its_agents_alone_and_goes_with_their_job() {
        insta::assert_yaml_snapshot!(offered().owned_by(&agent()));
    }

    #[test]
    fn its_port_says_what_is_spoken() {
        for (protocol, name) in [
            (Protocol::Http, "http"),
            (Protocol::Http2, "http2"),
            (Protocol::Grpc, "grpc"),
            (Protocol::Tcp, "tcp"),
        ] {
            let service = Offered { protocol, ..offered() }.manifest();
            assert_eq!(service["spec"]["ports"][0]["name"], name);
        }
    }

    #[test]
    fn a_pod_of_its_agents_has_its_mark() {
        let job = json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
        let job = offered().dressed(job);
        let service = offered().manifest();
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels[LABEL], service["spec"]["selector"][LABEL]);
        assert_eq!(labels["a"], "b");
    }

    #[test]
    fn only_this_service_is_handed_over() {
        let found = |mark: &str| {
            let mut service = offered().manifest();
            service["metadata"]["resourceVersion"] = "7".into();
            service["spec"]["selector"][LABEL] = mark.into();
            serde_json::from_value(service).expect("a Service")
        };
        let patch = offered().handed_to(&agent(), &found("k3v9x2")).expect("a patch");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(offered().handed_to(&agent(), &found("another")), None);
        assert_eq!(offered().handed_to(&agent(), &Service::default()), None);
    }
}
