//! Which gateways are edges: those that were named, or those that look like ingress gateways.

use std::collections::BTreeSet;

use canary_istio::plugins::EdgeGateway;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

/// Label of Istio's own gateways and of most others.
const GATEWAY_LABEL: &str = "istio";
/// Its value on Istio's ingress gateway.
const INGRESS: &str = "ingressgateway";
/// Label of the pods of a Gateway of the Gateway API.
const GATEWAY_API_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// An edge as typed: `NAMESPACE/LABEL=VALUE`, or `NAMESPACE/NAME` for a Gateway of the Gateway API.
///
/// # Errors
/// What was wanted instead.
pub fn parse_edge(text: &str) -> Result<EdgeGateway, String> {
    let wanted = || {
        format!(
            "`{text}` is no gateway: wanted NAMESPACE/LABEL=VALUE, e.g. istio-system/istio=ingressgateway, or \
             NAMESPACE/NAME of a Gateway of the Gateway API"
        )
    };
    let (namespace, rest) = text.split_once('/').ok_or_else(wanted)?;
    let (label, value) = rest.rsplit_once('=').unwrap_or((GATEWAY_API_LABEL, rest));
    if namespace.is_empty() || label.is_empty() || value.is_empty() {
        return Err(wanted());
    }
    Ok(EdgeGateway { namespace: namespace.into(), labels: [(label.into(), value.into())].into() })
}

/// The ingress gateways of a cluster: Istio's, and those of the Gateway API.
///
/// # Errors
/// When pods cannot be listed.
pub async fn find_edges(client: &Client) -> Result<Vec<EdgeGateway>, kube::Error> {
    let pods: Api<Pod> = Api::all(client.clone());
    let mut edges = BTreeSet::new();
    let istio = format!("{GATEWAY_LABEL}={INGRESS}");
    for (selector, label) in [(istio.as_str(), GATEWAY_LABEL), (GATEWAY_API_LABEL, GATEWAY_API_LABEL)] {
        let found = pods.list_metadata(&ListParams::default().labels(selector)).await?;
        for pod in found.items {
            let labels = pod.metadata.labels.unwrap_or_default();
            // A waypoint is a Gateway of the Gateway API too, but nobody's way in.
            let is_waypoint = labels.contains_key("gateway.istio.io/managed")
                && labels.get("gateway.istio.io/managed").is_some_and(|kind| kind.contains("mesh"));
            if let (Some(namespace), Some(value)) = (pod.metadata.namespace, labels.get(label))
                && !is_waypoint
            {
                edges.insert(EdgeGateway { namespace, labels: [(label.into(), value.clone())].into() });
            }
        }
    }
    Ok(edges.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(&str, &str, &str)>) {
        let got = parse_edge(text).ok();
        let want = want.map(|(namespace, label, value)| EdgeGateway {
            namespace: namespace.into(),
            labels: [(label.to_owned(), value.to_owned())].into(),
        });
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn an_edge_is_named_by_a_label_or_by_its_gateway() {
        check("istio-system/istio=ingressgateway", Some(("istio-system", "istio", "ingressgateway")));
        check("web/public", Some(("web", GATEWAY_API_LABEL, "public")));
        check("web/a.example/x=y", Some(("web", "a.example/x", "y")));
        for text in ["", "web", "/public", "web/", "web/=x", "web/x="] {
            check(text, None);
        }
    }
}
