//! Objects of ours, whole: what they are called, whose they are, what they say.

use std::collections::BTreeMap;

use canary_rules::hop::BASELINE;
use canary_rules::name::{HeaderName, LaneName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::failover::lane_key;
use crate::observed::{API_VERSION, MANAGED_BY_LABEL, MANAGER};
use crate::plan::{Destination, HostPlan, HttpRoute, REFUSAL_HEADER};
use crate::routes;
use crate::service::Host;

/// What the names of our objects start with.
const NAME_PREFIX: &str = "canaryctl-";
/// The route to who has all requests.
pub(crate) const EXCHANGE_ROUTE: &str = "exchange";
/// The route that copies what no lane claims.
pub(crate) const MIRROR_ROUTE: &str = "mirror";
/// Value of a lane's label on objects that serve it.
const SERVED: &str = "served";

/// The Lane object that an object of ours is there for, as Kubernetes wants to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The UID of the Lane.
    pub uid: String,
}

/// Owners by lane; a lane that is not here is named by label only.
pub type Owners = BTreeMap<LaneName, Owner>;

/// What our objects for a host are called.
#[must_use]
pub fn name(host: &Host) -> String {
    format!("{NAME_PREFIX}{}", host.name())
}

/// The service that objects of ours of this name are for, if it is a name of theirs.
#[must_use]
pub fn service_of(name: &str, namespace: &str) -> Option<Host> {
    Host::new(name.strip_prefix(NAME_PREFIX)?, namespace).ok()
}

/// What an object of ours is, without its `spec`: its labels say for which lanes it is there.
pub(crate) fn object(kind: &str, host: &HostPlan, owners: &Owners, spec: Value) -> Value {
    let lanes: Vec<&LaneName> = host.http.iter().filter_map(|route| route.tag.as_ref()).collect();
    let mut labels = Map::from_iter([(MANAGED_BY_LABEL.to_owned(), MANAGER.into())]);
    labels.extend(lanes.iter().map(|lane| (lane_key(lane.as_str()), SERVED.into())));
    let mut metadata =
        json!({"name": name(&host.host), "namespace": host.host.namespace(), "labels": labels});
    let references: Vec<Value> = lanes.iter().filter_map(|lane| reference(lane, owners)).collect();
    if !references.is_empty() {
        metadata["ownerReferences"] = references.into();
    }
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
}

fn reference(lane: &LaneName, owners: &Owners) -> Option<Value> {
    let owner = owners.get(lane)?;
    Some(json!({
        "apiVersion": canary_rules::lane::API_VERSION,
        "kind": canary_rules::lane::KIND,
        "name": lane.as_str(),
        "uid": owner.uid,
    }))
}

/// The `spec` of a VirtualService for a host that has none, for these namespaces or, if none is said, for all.
pub(crate) fn virtual_service(host: &HostPlan, tag_header: &HeaderName, export_to: &[&str]) -> Value {
    let mut http: Vec<Value> = host.http.iter().map(|route| http_route(host, route, tag_header)).collect();
    if let Some(to) = host.exchanged_to() {
        let to_baseline = http.pop().unwrap_or_default();
        let headers = Map::from_iter([(tag_header.as_str().to_owned(), json!({"exact": BASELINE}))]);
        let mut asked_for = to_baseline.clone();
        asked_for["name"] = "baseline".into();
        asked_for["match"] = json!([{"headers": headers}]);
        let name = EXCHANGE_ROUTE.into();
        let mut exchanged = http_route(host, &HttpRoute { name, tag: None, to: to.clone() }, tag_header);
        add_mirrors(host, &mut exchanged);
        // Nothing gets past it; without it what is left is as it was.
        http.extend([asked_for, exchanged, to_baseline]);
    } else if !host.mirrors.is_empty() {
        let to_baseline = http.pop().unwrap_or_default();
        let untagged = Map::from_iter([(tag_header.as_str().to_owned(), json!({}))]);
        let mut mirrored = to_baseline.clone();
        mirrored["name"] = MIRROR_ROUTE.into();
        mirrored["match"] = json!([{"withoutHeaders": untagged}]);
        add_mirrors(host, &mut mirrored);
        http.extend([mirrored, to_baseline]);
    }
    let mut spec = json!({"hosts": [host.host.fqdn()], "http": http});
    if !export_to.is_empty() {
        spec["exportTo"] = json!(export_to);
    }
    spec
}

fn add_mirrors(host: &HostPlan, route: &mut Value) {
    if !host.mirrors.is_empty() {
        let destination = json!({"host": host.host.fqdn()});
        let entry = |mirror| routes::mirror::entry(&destination, mirror, 1.0);
        route["mirrors"] = host.mirrors.iter().map(entry).collect();
    }
}

fn http_route(host: &HostPlan, route: &HttpRoute, tag_header: &HeaderName) -> Value {
    let mut out = Map::from_iter([("name".to_owned(), route.name.as_str().into())]);
    if let Some(tag) = &route.tag {
        let headers = Map::from_iter([(tag_header.as_str().to_owned(), json!({"exact": tag.as_str()}))]);
        out.insert("match".into(), json!([{"headers": headers}]));
    }
    match &route.to {
        Destination::Baseline => {
            out.insert("route".into(), json!([{"destination": {"host": host.host.fqdn()}}]));
        }
        Destination::Subset(name) => {
            let destination = json!({"host": host.host.fqdn(), "subset": name.as_str()});
            out.insert("route".into(), json!([{"destination": destination}]));
        }
        Destination::Refuse { status, reason } => {
            out.insert("directResponse".into(), json!({"status": status.get()}));
            out.insert("headers".into(), json!({"response": {"set": {REFUSAL_HEADER: reason}}}));
        }
    }
    Value::Object(out)
}
