//! What an object gets: pure, over the write and the world as it is known.

use std::collections::BTreeMap;

use canary_istio::failover::{self, LABELLED_ANNOTATION};
use canary_istio::lane::TAKEOVER_LABEL;
use canary_istio::observed::ObjectError;
use canary_istio::standing::Before;
use canary_istio::{CompileError, Object, Standing};
use serde_json::Value;

use super::known::{Known, programmed};
use super::review::{Operation, Request};
use crate::names::{CONTROLLER, FIELD_MANAGER};
use crate::readiness;

/// Where Kubernetes' own parts live.
pub(crate) const KUBE_SYSTEM: &str = "kube-system";

/// Why nothing can be said of an object.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It is no object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The lanes are not as the controller accepted them.
    #[error(transparent)]
    Lanes(#[from] CompileError),
}

/// The object as it should be written; none where it may stay as it is. `lanes` are the Lanes as they are now.
pub(super) fn edit(
    request: &Request,
    known: &Known,
    lanes: &[Object],
    now_unix_s: i64,
) -> Result<Option<Value>, EditError> {
    let goes = !request.object["metadata"]["deletionTimestamp"].is_null();
    if request.operation == Operation::Other || goes || is_ours(request, known) || is_spared(request, known) {
        return Ok(None);
    }
    match request.kind.kind.as_str() {
        "VirtualService" => service(request, &known.standing, lanes, now_unix_s),
        "DestinationRule" => Ok(known.standing.destination_rule(&Object::new(request.object.clone())?)?),
        "Pod" if request.operation == Operation::Create => Ok(pod(request, &known.standing)?),
        _ => Ok(None),
    }
}

/// Who we are to the API server.
pub(crate) fn account(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{CONTROLLER}")
}

/// Whether it is the controller that writes, or `canaryctl` in someone's hands.
fn is_ours(request: &Request, known: &Known) -> bool {
    request.options["fieldManager"] == FIELD_MANAGER
        || request.user_info.username == account(&known.own_namespace)
}

fn is_spared(request: &Request, known: &Known) -> bool {
    [KUBE_SYSTEM, &known.own_namespace, &known.root_namespace].contains(&request.namespace.as_str())
}

fn service(
    request: &Request,
    standing: &Standing,
    lanes: &[Object],
    now_unix_s: i64,
) -> Result<Option<Value>, EditError> {
    let new = Object::new(request.object.clone())?;
    if request.operation == Operation::Update {
        let old = Object::new(request.old_object.clone())?;
        return Ok(standing.virtual_service(&new, Before::Stored(&old)));
    }
    let programmed = programmed(lanes, now_unix_s);
    Ok(standing.virtual_service(&new, Before::Nothing(&programmed)))
}

/// A lane's pod with the labels that the lane's rules read, listed as ours, and held back until it is ranked behind
/// the baseline everywhere.
fn pod(request: &Request, standing: &Standing) -> Result<Option<Value>, CompileError> {
    let own = request.object["metadata"]["labels"].as_object().into_iter().flatten();
    let own = own.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    let mut missing: BTreeMap<String, String> = standing.pod_labels(&request.namespace, &own)?;
    missing.retain(|key, value| own.get(key) != Some(value));
    if !request.object["metadata"].is_object() {
        return Ok(None);
    }
    let mut edited = request.object.clone();
    if !missing.is_empty() {
        label(&mut edited, missing);
    }
    // An agent hands on by itself what is not its laptop's.
    if standing.is_for_a_lane(&request.namespace, &own) && !own.contains_key(TAKEOVER_LABEL) {
        readiness::hold(&mut edited);
    }
    Ok((edited != request.object).then_some(edited))
}

fn label(pod: &mut Value, missing: BTreeMap<String, String>) {
    let mut listed: Vec<&str> = failover::labelled(pod).collect();
    listed.extend(missing.keys().map(String::as_str));
    listed.sort_unstable();
    listed.dedup();
    let listed = Value::from(listed.join(","));
    let labels = missing.into_iter().map(|(key, value)| (key, value.into()));
    extend(&mut pod["metadata"]["labels"], labels);
    extend(&mut pod["metadata"]["annotations"], [(LABELLED_ANNOTATION.to_owned(), listed)]);
}

fn extend(map: &mut Value, entries: impl IntoIterator<Item = (String, Value)>) {
    if !map.is_object() {
        *map = Value::Object(serde_json::Map::new());
    }
    if let Some(map) = map.as_object_mut() {
        map.extend(entries);
    }
}
