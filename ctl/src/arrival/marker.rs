//! The marker: a subset of a DestinationRule of ours, for a Service of ours behind which nobody is.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use canary_istio::{Host, ObjectRef, marker_name, own, with_marker};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::ArrivalError;
use crate::names::{FIELD_MANAGER, NAMESPACE};
use crate::world;

/// The Service's and the DestinationRule's name.
const NAME: &str = "canaryctl-marker";
/// The Service's port.
const PORT: u16 = 80;
/// How often a write is tried that others get ahead of.
const TRIES_MAX: usize = 8;
const ISTIO_API: &str = "networking.istio.io/v1";

fn host() -> String {
    format!("{NAME}.{NAMESPACE}.svc.cluster.local")
}

/// The Service and the DestinationRule, as an installation makes them.
#[must_use]
pub fn objects(labels: &Value) -> Vec<Value> {
    let metadata = json!({"name": NAME, "namespace": NAMESPACE, "labels": labels});
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": PORT}]},
        }),
        json!({
            "apiVersion": ISTIO_API, "kind": "DestinationRule", "metadata": metadata,
            "spec": {"host": host()},
        }),
    ]
}

/// A marker that is written, and where.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    /// Its subset.
    pub(super) subset: String,
    /// The services whose rules of ours have it, fully qualified.
    pub(super) services: BTreeSet<String>,
    /// Our own Service, fully qualified.
    pub(super) own: String,
    /// Namespaces that have a rule of their own for it, such as one for `*.local`, and so do not see ours.
    pub(super) blind: BTreeSet<String>,
}

/// Writes a new marker: for our own Service, and for these, as far as rules of ours are there. Others, who prove
/// something at the same time, keep theirs.
pub(super) async fn write(
    client: &Client,
    root_namespace: &str,
    services: &BTreeSet<Host>,
) -> Result<Marked, ArrivalError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Only that it differs matters; milliseconds do not come twice in the time of a proof.
    let epoch = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let mut marked = BTreeSet::new();
    for service in services {
        if write_into(client, service.namespace(), &own::name(service), epoch).await? {
            marked.insert(service.fqdn());
        }
    }
    if !write_into(client, NAMESPACE, NAME, epoch).await? {
        let (namespace, name) = (NAMESPACE.into(), NAME.into());
        let rule = ObjectRef { kind: "DestinationRule".into(), namespace, name };
        return Err(ArrivalError::NoMarker { rule });
    }
    let blind = blind(client, root_namespace).await?;
    Ok(Marked { subset: marker_name(epoch), services: marked, own: host(), blind })
}

/// Writes the marker into a rule of ours; false where there is none.
async fn write_into(client: &Client, namespace: &str, name: &str, epoch: u64) -> Result<bool, ArrivalError> {
    let failed = |source| failed(namespace, name, source);
    let api = rules(client, namespace);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    let mut tries = 1;
    loop {
        let Some(found) = api.get_opt(name).await.map_err(failed)? else { return Ok(false) };
        let found = serde_json::to_value(&found).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let marked = serde_json::from_value(with_marker(&found, epoch));
        let marked: DynamicObject = marked.map_err(|error| failed(kube::Error::SerdeError(error)))?;
        match api.replace(name, &params, &marked).await {
            Ok(_) => return Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(false),
            // Whatever it says by now, a proxy that shows the marker has it.
            Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES_MAX => tries += 1,
            Err(source) => return Err(failed(source)),
        }
    }
}

/// Namespaces whose clients look no further than their own rules for our Service.
async fn blind(client: &Client, root_namespace: &str) -> Result<BTreeSet<String>, ArrivalError> {
    let api: Api<DynamicObject> =
        Api::all_with(client.clone(), &world::resource(ISTIO_API, "DestinationRule"));
    let all = api.list(&ListParams::default()).await.map_err(|source| ArrivalError::Api {
        tried: "list DestinationRules".into(),
        source: Box::new(source),
    })?;
    let hides = |rule: &DynamicObject| rule.data["spec"]["host"].as_str().is_some_and(hides);
    let elsewhere = all.items.into_iter().filter(hides).filter_map(|rule| rule.metadata.namespace);
    // Rules of the root namespace hold for everybody else, and for its own proxies only if they are private.
    Ok(elsewhere.filter(|namespace| namespace != NAMESPACE && namespace != root_namespace).collect())
}

/// Whether a rule for this host is one for our Service.
fn hides(rule: &str) -> bool {
    let own = host();
    rule == own || rule.strip_prefix('*').is_some_and(|end| own.ends_with(end))
}

fn rules(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &world::resource(ISTIO_API, "DestinationRule"))
}

fn failed(namespace: &str, name: &str, source: kube::Error) -> ArrivalError {
    ArrivalError::Api {
        tried: format!("write the marker into DestinationRule {namespace}/{name}"),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_everything_hides_ours() {
        for rule in
            ["*", "*.local", "*.svc.cluster.local", "canaryctl-marker.canaryctl-system.svc.cluster.local"]
        {
            assert!(hides(rule), "{rule}");
        }
        for rule in ["web", "*.shop.svc.cluster.local", "canaryctl-marker", "api.example"] {
            assert!(!hides(rule), "{rule}");
        }
    }
}
