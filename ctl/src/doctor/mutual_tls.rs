//! Which mode of mutual TLS holds for a workload's pods. Pure.

use canary_istio::{Labels, Object};
use serde::Serialize;
use serde_json::Value;

/// The API of the objects that say.
pub(super) const API_VERSION: &str = "security.istio.io/v1";
/// Their kind.
pub(super) const KIND: &str = "PeerAuthentication";

/// A mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing else is taken.
    Strict,
    /// Plain text is taken, too: as Istio has it where nothing is said.
    Permissive,
    /// Nothing but plain text.
    Disable,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Permissive => {
                "permissive: callers without a proxy are served, and their tags are not believed"
            }
            Self::Disable => "disabled",
        })
    }
}

/// The mode for pods with these labels; a port's own mode is not looked at. The narrowest object that says one holds, the
/// oldest of several.
///
/// Source: `PeerAuthentication` in Istio's documentation of its API, and `initPeerAuthn` in pilot/pkg/model.
pub(super) fn mode(objects: &[Object], root: &str, namespace: &str, labels: &Labels) -> Mode {
    let selector =
        |object: &Object| object.spec()["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    let selects = |object: &Object| {
        selector(object).iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
    };
    let rank = |object: &Object| match (object.namespace(), selector(object).is_empty()) {
        (in_namespace, false) if in_namespace == namespace && selects(object) => Some(2),
        (in_namespace, true) if in_namespace == namespace => Some(1),
        (in_namespace, true) if in_namespace == root => Some(0),
        _ => None,
    };
    let said = |object: &Object| match object.spec()["mtls"]["mode"].as_str() {
        Some("STRICT") => Some(Mode::Strict),
        Some("PERMISSIVE") => Some(Mode::Permissive),
        Some("DISABLE") => Some(Mode::Disable),
        _ => None,
    };
    let ranked = objects.iter().filter_map(|object| Some((rank(object)?, object, said(object)?)));
    let narrowest = ranked.min_by_key(|(rank, object, _)| (std::cmp::Reverse(*rank), object.created()));
    narrowest.map_or(Mode::Permissive, |(.., mode)| mode)
}

/// The objects in a list as the API server gives them.
pub(super) fn read(listed: impl IntoIterator<Item = Value>) -> Vec<Object> {
    let object = |mut value: Value| {
        value["kind"] = KIND.into();
        Object::new(value).ok()
    };
    listed.into_iter().filter_map(object).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(namespace: &str, selector: Value, mode: Value, created: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": "p", "creationTimestamp": created},
            "spec": {"selector": {"matchLabels": selector}, "mtls": {"mode": mode}}})
    }

    #[track_caller]
    fn check(objects: &[Value], want: Mode) {
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        assert_eq!(mode(&read(objects.iter().cloned()), "istio-system", "shop", &labels), want);
    }

    #[test]
    fn the_narrowest_object_that_says_a_mode_holds() {
        let (strict, disable) = (json!("STRICT"), json!("DISABLE"));
        let mesh = object("istio-system", json!({}), strict.clone(), "1");
        let namespace = object("shop", json!({}), disable.clone(), "2");
        let pods = object("shop", json!({"app": "web"}), json!("PERMISSIVE"), "3");
        check(&[], Mode::Permissive);
        check(std::slice::from_ref(&mesh), Mode::Strict);
        check(&[mesh.clone(), namespace.clone()], Mode::Disable);
        check(&[mesh.clone(), namespace.clone(), pods], Mode::Permissive);
        check(&[mesh.clone(), object("shop", json!({"app": "cart"}), disable.clone(), "1")], Mode::Strict);
        check(&[mesh.clone(), object("other", json!({}), disable, "1")], Mode::Strict);
        check(&[mesh.clone(), object("shop", json!({}), json!("UNSET"), "1")], Mode::Strict);
        check(&[namespace, object("shop", json!({}), strict, "1")], Mode::Strict);
    }
}
