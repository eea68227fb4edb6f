//! The pods that have a proxy, as the API server knows them: what no istiod knows of is not there for it.

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::Object;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde_json::Value;

use super::ArrivalError;
use crate::world::{self, REVISION_LABEL};

/// Istio's note on what it has put into a pod.
const STATUS_ANNOTATION: &str = "sidecar.istio.io/status";
const TEMPLATES_ANNOTATION: &str = "inject.istio.io/templates";
/// The container of a proxy.
pub(crate) const PROXY: &str = "istio-proxy";
/// Label of the pods that Istio makes for a Gateway of the Gateway API, which nobody injects anything into.
const MANAGED_LABEL: &str = "gateway.istio.io/managed";
const MANAGED: &str = "istio.io-gateway-controller";
/// An operator's word, with the value `false`, that nobody waits for a pod's proxy.
pub const AWAITED_ANNOTATION: &str = "canaryctl.io/awaited";

/// Names of pods with a proxy, as `pod.namespace`, with the revision of Istio that they belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sidecars(BTreeMap<String, String>);

impl Sidecars {
    /// Those of these pods.
    #[must_use]
    pub fn of(pods: &[Object]) -> Self {
        Self(pods.iter().filter_map(|pod| sidecar(&pod.value()["metadata"])).collect())
    }

    /// Those of the cluster.
    ///
    /// # Errors
    /// When pods cannot be listed.
    pub async fn list(client: &Client) -> Result<Self, ArrivalError> {
        let pods = world::list_named(client, "Pod")
            .await
            .map_err(|source| ArrivalError::Api { tried: "list pods".into(), source: Box::new(source) })?;
        Ok(Self(pods.iter().filter_map(|pod| sidecar(&pod["metadata"])).collect()))
    }

    /// Those that belong to one of these revisions; one that states none does.
    pub(super) fn of_revisions(&self, revisions: &BTreeSet<String>) -> impl Iterator<Item = &str> {
        let asks_them =
            |revision: &String| revision.is_empty() || revisions.contains("") || revisions.contains(revision);
        self.0.iter().filter(move |(_, revision)| asks_them(revision)).map(|(name, _)| name.as_str())
    }

    /// Whether a late proxy is waited for: not one whose pod is gone or ends, nor one that an operator has left out, and one
    /// that no istiod knows only while its pod is ready. Who cannot be asked for is.
    pub(super) async fn counts(&self, client: &Client, proxy: &str, is_known: bool) -> bool {
        let Some((name, namespace)) = proxy.rsplit_once('.') else { return true };
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        match api.get_opt(name).await {
            // A proxy on a machine, or of another cluster, has no pod here; that of a pod that went is soon forgotten.
            Ok(None) => is_known,
            Ok(Some(pod)) => is_awaited(&pod) && !ends(&pod) && (is_known || is_ready(&pod)),
            Err(_) => true,
        }
    }
}

/// A pod's name and revision, if it has a proxy that asks an istiod.
fn sidecar(metadata: &Value) -> Option<(String, String)> {
    let annotation = |name: &str| metadata["annotations"][name].as_str();
    let (namespace, name) = (metadata["namespace"].as_str()?, metadata["name"].as_str()?);
    let name = format!("{name}.{namespace}");
    if !metadata["deletionTimestamp"].is_null() {
        return None;
    }
    if metadata["labels"][MANAGED_LABEL] == MANAGED {
        let revision = annotation(REVISION_LABEL).or(metadata["labels"][REVISION_LABEL].as_str());
        return Some((name, revision.unwrap_or_default().to_owned()));
    }
    if annotation(TEMPLATES_ANNOTATION).is_some_and(|templates| templates.contains("grpc")) {
        return None;
    }
    let status: Value = serde_json::from_str(annotation(STATUS_ANNOTATION)?).ok()?;
    let lists = |kind: &str| status[kind].as_array().is_some_and(|names| names.contains(&PROXY.into()));
    if !(lists("containers") || lists("initContainers")) {
        return None;
    }
    Some((name, status["revision"].as_str().unwrap_or_default().to_owned()))
}

fn is_awaited(pod: &Pod) -> bool {
    let word = pod.metadata.annotations.as_ref().and_then(|all| all.get(AWAITED_ANNOTATION));
    word.is_none_or(|word| word != "false")
}

fn ends(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a pod has a proxy of the mesh in it.
pub(crate) fn has_proxy(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let inits = spec.init_containers.iter().flatten();
        inits.chain(&spec.containers).any(|container| container.name == PROXY)
    })
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A pod's addresses, one of a family at the most.
pub(crate) fn addresses(pod: &Pod) -> Vec<String> {
    let all = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    all.map(|one| one.ip.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(annotations: Value, want: Option<&str>) {
        let pod = json!({"name": "web", "namespace": "shop", "annotations": annotations});
        let found = sidecar(&pod).map(|(name, revision)| format!("{name} {revision}"));
        assert_eq!(found.as_deref(), want);
    }

    #[test]
    fn a_pod_has_a_proxy_where_istio_says_that_it_put_one_in() {
        let status = r#"{"initContainers":["istio-init"],"containers":["istio-proxy"],"revision":"default"}"#;
        let native = r#"{"initContainers":["istio-init","istio-proxy"],"containers":null,"revision":"1-31"}"#;
        check(json!({STATUS_ANNOTATION: status}), Some("web.shop default"));
        check(json!({STATUS_ANNOTATION: native}), Some("web.shop 1-31"));
        check(json!({STATUS_ANNOTATION: r#"{"containers":["other"]}"#}), None);
        check(json!({STATUS_ANNOTATION: status, TEMPLATES_ANNOTATION: "grpc-agent"}), None);
        check(json!({}), None);
    }

    #[test]
    fn a_proxy_is_a_container_of_either_kind() {
        let has = |spec: Value| has_proxy(&serde_json::from_value(json!({"spec": spec})).expect("a pod"));
        let (app, proxy) = (json!({"name": "app"}), json!({"name": "istio-proxy"}));
        assert!(has(json!({"containers": [app, proxy]})));
        assert!(has(json!({"initContainers": [proxy], "containers": [app]})), "a native sidecar");
        assert!(!has(json!({"initContainers": [{"name": "gate"}], "containers": [app]})));
    }

    #[test]
    fn a_gateway_that_istio_made_has_a_proxy_without_injection() {
        let pod = |manager: &str| {
            sidecar(&json!({"name": "edge", "namespace": "shop", "labels": {MANAGED_LABEL: manager},
                "annotations": {REVISION_LABEL: "1-31"}}))
        };
        assert_eq!(pod(MANAGED), Some(("edge.shop".into(), "1-31".into())));
        assert_eq!(pod("istio.io-mesh-controller"), None, "a waypoint carries no filter of ours");
    }

    #[test]
    fn pods_of_another_control_plane_are_its_own_business() {
        let all =
            Sidecars([("a.x", "one"), ("b.x", "two"), ("c.x", "")].map(|(n, r)| (n.into(), r.into())).into());
        let of = |revisions: &[&str]| {
            all.of_revisions(&revisions.iter().map(|r| (*r).to_owned()).collect()).collect::<String>()
        };
        assert_eq!(of(&["one"]), "a.xc.x");
        assert_eq!(of(&[""]), "a.xb.xc.x", "one that does not say who it is");
    }
}
