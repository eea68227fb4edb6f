//! Which mode of mutual TLS holds for a workload's pods. Pure.

use std::collections::BTreeMap;

use canary_istio::{Labels, Object};
use serde::Serialize;
use serde_json::{Map, Value};

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

/// The mode for pods with these labels. The narrowest object that says one holds, the
/// oldest of several.
///
/// Source: `PeerAuthentication` in Istio's documentation of its API, and `initPeerAuthn` in pilot/pkg/model.
pub(super) fn mode(objects: &[Object], root: &str, namespace: &str, labels: &Labels) -> Mode {
    let rank = |object: &Object| match (object.namespace(), selector(object).is_empty()) {
        (in_namespace, false) if in_namespace == namespace && selects(object, labels) => Some(2),
        (in_namespace, true) if in_namespace == namespace => Some(1),
        (in_namespace, true) if in_namespace == root => Some(0),
        _ => None,
    };
    let ranked =
        objects.iter().filter_map(|object| Some((rank(object)?, object, said(&object.spec()["mtls"])?)));
    let narrowest = ranked.min_by_key(|(rank, object, _)| (std::cmp::Reverse(*rank), object.created()));
    narrowest.map_or(Mode::Permissive, |(.., mode)| mode)
}

/// Ports of pods with these labels that have another mode than the pods: as the oldest object says that selects them.
///
/// Source: `portLevelMtls` of `PeerAuthentication` in Istio's documentation of its API.
pub(super) fn by_port(
    objects: &[Object],
    namespace: &str,
    labels: &Labels,
    of_pods: Mode,
) -> BTreeMap<u16, Mode> {
    let own = objects.iter().filter(|object| {
        object.namespace() == namespace && !selector(object).is_empty() && selects(object, labels)
    });
    let ports =
        own.min_by_key(|object| object.created()).and_then(|one| one.spec()["portLevelMtls"].as_object());
    let port = |(port, mode): (&String, &Value)| Some((port.parse().ok()?, said(mode)?));
    ports.into_iter().flatten().filter_map(port).filter(|(_, mode)| *mode != of_pods).collect()
}

fn selector(object: &Object) -> Map<String, Value> {
    object.spec()["selector"]["matchLabels"].as_object().cloned().unwrap_or_default()
}

fn selects(object: &Object, labels: &Labels) -> bool {
    selector(object).iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
}

/// The mode that this names; none where it leaves it to others.
fn said(mutual_tls: &Value) -> Option<Mode> {
    match mutual_tls["mode"].as_str()? {
        "STRICT" => Some(Mode::Strict),
        "PERMISSIVE" => Some(Mode::Permissive),
        "DISABLE" => Some(Mode::Disable),
        _ => None,
    }
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

    #[test]
    fn a_port_has_the_mode_that_the_oldest_object_of_its_pods_says() {
        let with_ports = |selector: Value, ports: Value, created: &str| {
            let mut object = object("shop", selector, json!("STRICT"), created);
            object["spec"]["portLevelMtls"] = ports;
            object
        };
        let ports = json!({"9090": {"mode": "DISABLE"}, "80": {"mode": "STRICT"}, "81": {"mode": "UNSET"}});
        let objects = [
            with_ports(json!({"app": "web"}), json!({"8080": {"mode": "PERMISSIVE"}}), "2"),
            with_ports(json!({"app": "web"}), ports.clone(), "1"),
            with_ports(json!({"app": "cart"}), json!({"1": {"mode": "DISABLE"}}), "0"),
            with_ports(json!({}), json!({"2": {"mode": "DISABLE"}}), "0"),
        ];
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        let by_port = by_port(&read(objects), "shop", &labels, Mode::Strict);
        assert_eq!(by_port, [(9090, Mode::Disable)].into());
    }
}
