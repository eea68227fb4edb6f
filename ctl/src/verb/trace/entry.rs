//! Where a request enters the mesh.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::arrival::is_ready;
use crate::cluster::{Cluster, api_failure};
use crate::edges_now::{self, EdgeNow};
use crate::failure::{Code, Failure};

/// The word for any pod of an edge's gateway.
const GATEWAY: &str = "gateway";

/// A connection of whatever kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where it enters.
pub(super) enum Entry {
    /// Where the URL leads.
    At(SocketAddr),
    /// At a port of a gateway's pod, by the API server.
    Pod { api: Box<Api<Pod>>, name: String, port: u16 },
}

impl Entry {
    /// A port of a gateway's pod: of any edge's, or of the one that is named.
    ///
    /// # Errors
    /// When there is none, or it is no gateway's.
    pub(super) async fn through(cluster: &Cluster, through: &str, port: u16) -> Result<Self, Failure> {
        let edges = edges_now::some(&cluster.client).await?;
        let pod = match through {
            GATEWAY => any_pod(&cluster.client, &edges).await?,
            name => named_pod(cluster, &edges, name).await?,
        };
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let port = port_behind(&cluster.client, &namespace, &pod, port).await?;
        let api = Box::new(Api::namespaced(cluster.client.clone(), &namespace));
        Ok(Self::Pod { api, name: pod.metadata.name.unwrap_or_default(), port })
    }

    /// Connects.
    ///
    /// # Errors
    /// Why nobody takes the connection.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new(Code::Failed, format!("cannot connect to {self}: {why}"))
        };
        match self {
            Self::At(address) => {
                Ok(Box::new(TcpStream::connect(address).await.map_err(|error| failed(&error))?))
            }
            Self::Pod { api, name, port } => {
                let forwarder = api.portforward(name, &[*port]).await;
                let mut forwarder =
                    forwarder.map_err(|error| api_failure(&format!("forward a port of {name}"), &error))?;
                let stream =
                    forwarder.take_stream(*port).ok_or_else(|| failed(&"its port is not forwarded"))?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(address) => write!(f, "{address}"),
            Self::Pod { name, port, .. } => write!(f, "port {port} of {name}"),
        }
    }
}

async fn any_pod(client: &Client, edges: &[EdgeNow]) -> Result<Pod, Failure> {
    for edge in edges {
        let labels: Vec<String> = edge.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let api: Api<Pod> = Api::namespaced(client.clone(), &edge.namespace);
        let found = api.list(&ListParams::default().labels(&labels.join(","))).await;
        let found = found.map_err(|error| api_failure("list the gateway's pods", &error))?;
        if let Some(pod) = found.items.into_iter().find(is_ready) {
            return Ok(pod);
        }
    }
    let names: Vec<&str> = edges.iter().map(|edge| edge.plugin.as_str()).collect();
    Err(Failure::new(Code::Failed, format!("no pod is ready that one of {} is for", names.join(", ")))
        .help("canaryctl check"))
}

async fn named_pod(cluster: &Cluster, edges: &[EdgeNow], name: &str) -> Result<Pod, Failure> {
    let namespace = &cluster.namespace;
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(|error| api_failure(&format!("read pod {name}"), &error))?;
    let Some(pod) = found else {
        let message = format!("there is no pod {name} in namespace {namespace}");
        return Err(Failure::new(Code::Failed, message)
            .help("--through gateway takes any pod of an edge; -n names another namespace"));
    };
    let labels: &BTreeMap<String, String> =
        pod.metadata.labels.as_ref().unwrap_or(const { &BTreeMap::new() });
    match edges.iter().any(|edge| edge.has(namespace, labels)) {
        true => Ok(pod),
        // A forwarded port ends inside the pod: it is the application that takes the connection there.
        false => Err(Failure::new(
            Code::Usage,
            format!("pod {namespace}/{name} is no edge's: a port forwarded there goes past its proxy, and nobody would tell of the request"),
        )
        .help("--through gateway")),
    }
}

/// The pod's port behind a port of its Service; the same where no Service says.
async fn port_behind(client: &Client, namespace: &str, pod: &Pod, port: u16) -> Result<u16, Failure> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = api.list(&ListParams::default()).await;
    let found = found.map_err(|error| api_failure(&format!("list Services in {namespace}"), &error))?;
    Ok(found.items.iter().find_map(|service| target(service, pod, port)).unwrap_or(port))
}

fn target(service: &Service, pod: &Pod, port: u16) -> Option<u16> {
    let (spec, labels) = (service.spec.as_ref()?, pod.metadata.labels.as_ref()?);
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    selector.iter().all(|(key, value)| labels.get(key) == Some(value)).then_some(())?;
    let found = spec.ports.as_ref()?.iter().find(|found| found.port == i32::from(port))?;
    match &found.target_port {
        None => Some(port),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => {
            let containers = &pod.spec.as_ref()?.containers;
            let mut ports = containers.iter().flat_map(|one| one.ports.iter().flatten());
            let named = ports.find(|port| port.name.as_ref() == Some(name))?;
            u16::try_from(named.container_port).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(selector: Value, target_port: Value, want: Option<u16>) {
        let pod = json!({
            "metadata": {"labels": {"istio": "ingressgateway"}},
            "spec": {"containers": [{"name": "istio-proxy", "ports": [{"name": "web", "containerPort": 8081}]}]},
        });
        let service = json!({"metadata": {}, "spec": {
            "selector": selector, "ports": [{"port": 443, "targetPort": 8443}, {"port": 80, "targetPort": target_port}],
        }});
        let service = serde_json::from_value(service).expect("a Service");
        assert_eq!(target(&service, &serde_json::from_value(pod).expect("a pod"), 80), want);
    }

    #[test]
    fn a_port_is_that_of_the_pod_that_the_service_names() {
        let gateway = || json!({"istio": "ingressgateway"});
        check(gateway(), json!(8080), Some(8080));
        check(gateway(), json!("web"), Some(8081));
        check(gateway(), json!("other"), None);
        check(gateway(), Value::Null, Some(80));
        check(json!({"istio": "egress"}), json!(8080), None);
        check(json!({}), json!(8080), None);
    }
}
