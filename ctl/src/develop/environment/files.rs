//! The files that a container has from ConfigMaps and, where they are wanted, from Secrets. Pure, as its variables are.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Kind, NO_SECRETS, Objects, field, items, text};

/// What of a volume is no file that somebody wrote.
const OF_A_POD: &str = "only a pod has it";

/// The files of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Their bytes, by the absolute path that they have in the container.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What is not among them, and why.
    pub left_out: Vec<(String, String)>,
}

/// The objects that a container's files come from.
#[must_use]
pub fn needed(pod: &Value, container: &Value, with_secrets: bool) -> BTreeSet<(Kind, String)> {
    let mounts = mounts(pod, container);
    let objects = mounts.flat_map(|(_, volume)| sources(volume)).filter_map(|source| match source {
        Source::Object { kind, name, .. } => Some((kind, name.to_owned())),
        Source::Fields(_) | Source::Other => None,
    });
    objects.filter(|(kind, _)| with_secrets || *kind == Kind::ConfigMap).collect()
}

/// The files of a container of this pod, or of pods of this template.
#[must_use]
pub fn files(pod: &Value, container: &Value, objects: &Objects, with_secrets: bool) -> Files {
    let mut out = Files::default();
    for (mount, volume) in mounts(pod, container) {
        let place = text(&mount["mountPath"]).trim_end_matches('/');
        if !mount["subPathExpr"].is_null() {
            out.left_out.push((place.to_owned(), OF_A_POD.into()));
            continue;
        }
        for source in sources(volume) {
            match read(&source, pod, objects, with_secrets) {
                Ok(found) => out.add(mount, found),
                Err(why) => out.left_out.push((place.to_owned(), why)),
            }
        }
    }
    out
}

impl Files {
    /// Adds those files of a volume that a mount shows, at the paths that they have there.
    fn add(&mut self, mount: &Value, found: Vec<(String, Vec<u8>)>) {
        let place = text(&mount["mountPath"]).trim_end_matches('/');
        let part = text(&mount["subPath"]).trim_matches('/');
        for (path, bytes) in found {
            let rest = match path.strip_prefix(part) {
                _ if part.is_empty() => format!("/{path}"),
                Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.to_owned(),
                _ => continue,
            };
            self.files.insert(format!("{place}{rest}"), bytes);
        }
    }
}

/// What fills a volume, or a part of it.
enum Source<'a> {
    Object {
        kind: Kind,
        name: &'a str,
        items: &'a Value,
    },
    /// Of the pod itself.
    Fields(&'a Value),
    /// No file that somebody wrote.
    Other,
}

/// A container's mounts, each with its volume.
fn mounts<'a>(pod: &'a Value, container: &'a Value) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let volume = |name: &Value| items(&pod["spec"]["volumes"]).find(|volume| volume["name"] == *name);
    items(&container["volumeMounts"]).filter_map(move |mount| Some((mount, volume(&mount["name"])?)))
}

fn sources(volume: &Value) -> Vec<Source<'_>> {
    match volume["projected"]["sources"].as_array() {
        Some(parts) => parts.iter().map(|part| source(part, "name")).collect(),
        None => vec![source(volume, "secretName")],
    }
}

fn source<'a>(of: &'a Value, secret_name: &str) -> Source<'a> {
    let object = |kind, source: &'a Value, name: &str| {
        source.is_object().then(|| Source::Object {
            kind,
            name: text(&source[name]),
            items: &source["items"],
        })
    };
    object(Kind::ConfigMap, &of["configMap"], "name")
        .or_else(|| object(Kind::Secret, &of["secret"], secret_name))
        .or_else(|| {
            of["downwardAPI"]["items"].is_array().then_some(Source::Fields(&of["downwardAPI"]["items"]))
        })
        .unwrap_or(Source::Other)
}

/// The files of a source by their paths in the volume, or why there are none.
fn read(
    source: &Source<'_>,
    pod: &Value,
    objects: &Objects,
    with_secrets: bool,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    match source {
        Source::Object { kind: Kind::Secret, .. } if !with_secrets => Err(NO_SECRETS.into()),
        Source::Object { kind, name, items: wanted } => {
            let object = objects.get(&(*kind, (*name).to_owned()));
            let object = object.ok_or_else(|| format!("there is no {} {name}", kind.name()))?;
            of_object(*kind, name, object, wanted)
        }
        Source::Fields(wanted) => items(wanted)
            .map(|item| {
                let path = text(&item["fieldRef"]["fieldPath"]);
                let value = field(pod, path).ok_or_else(|| format!("only a pod has {path}"))?;
                Ok((text(&item["path"]).to_owned(), value.into_bytes()))
            })
            .collect(),
        Source::Other => Err(OF_A_POD.into()),
    }
}

/// All keys of an object as files, or those that are wanted, under the paths that they are to have.
fn of_object(
    kind: Kind,
    name: &str,
    object: &Value,
    wanted: &Value,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let keys = ["data", "binaryData"].into_iter().flat_map(|part| object[part].as_object()).flatten();
    let all = keys.map(|(key, _)| (key.as_str(), key.as_str()));
    let some = items(wanted).map(|item| (text(&item["key"]), text(&item["path"])));
    let pairs: Vec<(&str, &str)> = if wanted.is_array() { some.collect() } else { all.collect() };
    let file = |(key, path): (&str, &str)| {
        let bytes = bytes(kind, object, key);
        Ok((path.to_owned(), bytes.ok_or_else(|| format!("{} {name} has no {key}", kind.name()))?))
    };
    pairs.into_iter().map(file).collect()
}

fn bytes(kind: Kind, object: &Value, key: &str) -> Option<Vec<u8>> {
    let plain = object["data"][key].as_str();
    match (kind, plain) {
        (Kind::ConfigMap, Some(text)) => Some(text.as_bytes().to_vec()),
        (Kind::ConfigMap, None) => STANDARD.decode(object["binaryData"][key].as_str()?).ok(),
        (Kind::Secret, _) => STANDARD.decode(plain?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {"labels": {"app": "cart"}, "namespace": "shop"},
            "spec": {
                "containers": [{"name": "cart", "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/cart/"},
                    {"name": "looks", "mountPath": "/etc/looks.css", "subPath": "css/main.css"},
                    {"name": "all", "mountPath": "/run/all"},
                    {"name": "cache", "mountPath": "/var/cache"},
                    {"name": "each", "mountPath": "/each", "subPathExpr": "$(POD)"},
                    {"name": "gone", "mountPath": "/gone"},
                ]}],
                "volumes": [
                    {"name": "config", "configMap": {"name": "cart"}},
                    {"name": "looks", "configMap": {"name": "looks", "items": [
                        {"key": "main", "path": "css/main.css"}, {"key": "main", "path": "css/main.css.map"},
                    ]}},
                    {"name": "all", "projected": {"sources": [
                        {"secret": {"name": "database"}},
                        {"downwardAPI": {"items": [{"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}}]}},
                        {"serviceAccountToken": {"path": "token"}},
                    ]}},
                    {"name": "cache", "emptyDir": {}},
                    {"name": "each", "configMap": {"name": "cart"}},
                    {"name": "gone", "secret": {"secretName": "nowhere"}},
                ],
            },
        })
    }

    fn objects() -> Objects {
        [
            (
                (Kind::ConfigMap, "cart"),
                json!({"data": {"a.toml": "x = 1\n"}, "binaryData": {"logo": "/wD+"}}),
            ),
            ((Kind::ConfigMap, "looks"), json!({"data": {"main": "b{}"}})),
            ((Kind::Secret, "database"), json!({"data": {"password": "czNjcjN0"}})),
        ]
        .map(|((kind, name), value)| ((kind, name.to_owned()), value))
        .into()
    }

    fn of(with_secrets: bool) -> Files {
        let pod = pod();
        files(&pod, &pod["spec"]["containers"][0], &objects(), with_secrets)
    }

    #[test]
    fn a_container_has_them_where_it_mounts_them() {
        let of = of(true);
        let found: Vec<(&str, &[u8])> =
            of.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        let want: [(&str, &[u8]); 5] = [
            ("/etc/cart/a.toml", b"x = 1\n"),
            ("/etc/cart/logo", &[0xff, 0, 0xfe]),
            ("/etc/looks.css", b"b{}"),
            ("/run/all/app", b"cart"),
            ("/run/all/password", b"s3cr3t"),
        ];
        assert_eq!(found, want);
        let left_out: Vec<_> = of.left_out.iter().map(|(path, why)| (path.as_str(), why.as_str())).collect();
        let want = [
            ("/run/all", OF_A_POD),
            ("/var/cache", OF_A_POD),
            ("/each", OF_A_POD),
            ("/gone", "there is no Secret nowhere"),
        ];
        assert_eq!(left_out, want);
    }

    #[test]
    fn secrets_are_neither_read_nor_given_without_being_wanted() {
        let pod = pod();
        let cart = &pod["spec"]["containers"][0];
        assert!(needed(&pod, cart, false).iter().all(|(kind, _)| *kind == Kind::ConfigMap));
        let secret = |name: &str| (Kind::Secret, name.to_owned());
        assert!(
            [secret("database"), secret("nowhere")].iter().all(|one| needed(&pod, cart, true).contains(one))
        );
        let of = of(false);
        assert!(!of.files.contains_key("/run/all/password"), "{:?}", of.files.keys());
        assert_eq!(of.left_out.iter().filter(|(_, why)| why == NO_SECRETS).count(), 2);
    }
}
