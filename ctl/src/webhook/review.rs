//! What the API server asks, and what it is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// A question.
#[derive(Debug, Deserialize)]
pub(super) struct Review {
    pub(super) request: Request,
}

/// A write that is about to be made.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) uid: String,
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) namespace: String,
    pub(super) operation: Operation,
    #[serde(default)]
    pub(super) user_info: User,
    #[serde(default)]
    pub(super) object: Value,
    #[serde(default)]
    pub(super) old_object: Value,
    #[serde(default)]
    pub(super) options: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    pub(super) kind: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct User {
    #[serde(default)]
    pub(super) username: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Operation {
    #[serde(rename = "CREATE")]
    Create,
    #[serde(rename = "UPDATE")]
    Update,
    #[serde(other)]
    Other,
}

/// The answer: allowed, with these operations of a JSON patch.
pub(super) fn allowed(uid: &str, patch: &[Value]) -> Value {
    let mut response = json!({"uid": uid, "allowed": true});
    if !patch.is_empty() {
        response["patchType"] = "JSONPatch".into();
        response["patch"] = STANDARD.encode(json!(patch).to_string()).into();
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}
