//! One Kubernetes object, as JSON, with a name.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{restore, routes};

/// The version of Istio's networking objects that we write.
pub const API_VERSION: &str = "networking.istio.io/v1";
/// The label that says who an object belongs to.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Its value on our objects.
pub const MANAGER: &str = "canaryctl";

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Its kind, e.g. `VirtualService`.
    pub kind: String,
    /// Its namespace; empty for an object of the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    /// Writes `VirtualService shop/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// Why JSON is no object of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an object without {field}: {start}")]
pub struct ObjectError {
    /// The field that it lacks.
    pub field: &'static str,
    /// How it starts.
    pub start: String,
}

/// How much of a faulty object its error shows, in characters.
const ERROR_SHOWS_CHARS: usize = 80;

/// A Kubernetes object, exactly as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    reference: ObjectRef,
    value: Value,
}

impl Object {
    /// An object from its JSON.
    ///
    /// # Errors
    /// When it has no kind or no name.
    pub fn new(value: Value) -> Result<Self, ObjectError> {
        let text = |at: &Value| at.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let lacks =
            |field| ObjectError { field, start: value.to_string().chars().take(ERROR_SHOWS_CHARS).collect() };
        let reference = ObjectRef {
            kind: text(&value["kind"]).ok_or_else(|| lacks("kind"))?,
            namespace: text(&value["metadata"]["namespace"]).unwrap_or_default(),
            name: text(&value["metadata"]["name"]).ok_or_else(|| lacks("metadata.name"))?,
        };
        Ok(Self { reference, value })
    }

    /// Which object it is.
    #[must_use]
    pub fn reference(&self) -> &ObjectRef {
        &self.reference
    }

    /// Its namespace; empty for an object of the whole cluster.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.reference.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// All of it.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// All of it, to keep.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    /// Its `spec`; null if it has none.
    #[must_use]
    pub fn spec(&self) -> &Value {
        &self.value["spec"]
    }

    /// The version that the API server gave it.
    #[must_use]
    pub fn resource_version(&self) -> Option<&str> {
        self.value["metadata"]["resourceVersion"].as_str()
    }

    /// When the API server first saw it; RFC 3339, so that text order is time order.
    #[must_use]
    pub fn created(&self) -> &str {
        self.value["metadata"]["creationTimestamp"].as_str().unwrap_or_default()
    }

    /// Whether we made it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.value["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGER
    }

    /// Whether it is somebody else's and has something of ours in it.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        let routes = self.spec()["http"].as_array();
        let is_ours = |route: &Value| route["name"].as_str().is_some_and(routes::is_ours);
        self.value["metadata"]["annotations"].get(restore::ANNOTATION).is_some()
            || routes.into_iter().flatten().any(is_ours)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_has_a_kind_and_a_name() {
        let object =
            Object::new(json!({"kind": "Gateway", "metadata": {"name": "web", "namespace": "shop"}}));
        assert_eq!(object.expect("an object").reference().to_string(), "Gateway shop/web");
        let error = Object::new(json!({"kind": "Gateway", "metadata": {}})).expect_err("no name");
        assert_eq!(error.to_string(), r#"an object without metadata.name: {"kind":"Gateway","metadata":{}}"#);
        Object::new(json!(null)).expect_err("nothing");
    }

    #[test]
    fn the_label_says_whose_it_is() {
        let of = |labels: Value| {
            let value = json!({"kind": "VirtualService", "metadata": {"name": "web", "labels": labels}});
            Object::new(value).expect("an object").is_ours()
        };
        assert!(of(json!({MANAGED_BY_LABEL: "canaryctl"})));
        assert!(!of(json!({MANAGED_BY_LABEL: "Helm"})));
        assert!(!of(json!(null)));
    }
}
