//! The environment that a workload's container is given: variables of its manifest, of ConfigMaps and, where they are
//! wanted, of Secrets. Pure; what it needs of the cluster is told first and given then.

mod expand;
pub mod files;
mod print;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub use files::Files;
pub use print::Format;

/// Where a variable's value comes from, beside the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl Kind {
    /// The object's kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// What a process has of the machine that it runs on.
const OF_A_MACHINE: [&str; 4] = ["HOME", "LD_LIBRARY_PATH", "PATH", "TMPDIR"];

/// ConfigMaps and Secrets by their names; what there is none of is not in it.
pub type Objects = BTreeMap<(Kind, String), Value>;

/// What a container is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Names and values, in order; a later one of a name replaces an earlier.
    variables: Vec<(String, String)>,
    /// What is not in it, and why.
    pub left_out: Vec<(String, String)>,
}

impl Environment {
    /// Its variables.
    #[must_use]
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Its variables but for those that say where this machine has its programs and files.
    pub fn for_this_machine(&self) -> impl Iterator<Item = (String, String)> {
        self.variables.iter().filter(|(name, _)| !OF_A_MACHINE.contains(&name.as_str())).cloned()
    }

    fn set(&mut self, name: &str, value: String) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn leave_out(&mut self, name: &str, why: impl Into<String>) {
        self.left_out.push((name.to_owned(), why.into()));
    }
}

/// A pod's container by its name, or the first.
#[must_use]
pub fn container<'a>(pod: &'a Value, name: Option<&str>) -> Option<&'a Value> {
    let containers = pod["spec"]["containers"].as_array()?;
    match name {
        Some(name) => containers.iter().find(|container| container["name"] == name),
        None => containers.first(),
    }
}

/// The objects that a container's variables come from.
#[must_use]
pub fn needed(container: &Value, with_secrets: bool) -> BTreeSet<(Kind, String)> {
    let whole = items(&container["envFrom"]).filter_map(|source| whole(source));
    let keys = items(&container["env"]).filter_map(|variable| key(&variable["valueFrom"]));
    let all = whole.chain(keys);
    all.filter(|(kind, _)| with_secrets || *kind == Kind::ConfigMap)
        .map(|(kind, source)| (kind, text(&source["name"]).to_owned()))
        .collect()
}

/// The environment of a container of this pod, or of pods of this template.
#[must_use]
pub fn environment(pod: &Value, container: &Value, objects: &Objects, with_secrets: bool) -> Environment {
    let mut environment = Environment::default();
    for source in items(&container["envFrom"]) {
        let Some((kind, from)) = whole(source) else { continue };
        let called = format!("{} {}", kind.name(), text(&from["name"]));
        if kind == Kind::Secret && !with_secrets {
            environment.leave_out(&called, NO_SECRETS);
            continue;
        }
        let Some(object) = objects.get(&(kind, text(&from["name"]).to_owned())) else {
            environment.leave_out(&called, "there is none");
            continue;
        };
        let prefix = text(&source["prefix"]);
        for key in object["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
            match data(kind, object, key) {
                Some(value) => environment.set(&format!("{prefix}{key}"), value),
                None => environment.leave_out(&format!("{prefix}{key}"), "its value is no text"),
            }
        }
    }
    for variable in items(&container["env"]) {
        let name = text(&variable["name"]);
        let from = &variable["valueFrom"];
        let value = if from.is_null() {
            let expanded = expand::expand(text(&variable["value"]), |name| environment.get(name));
            Ok(expanded)
        } else {
            value_from(pod, from, objects, with_secrets)
        };
        match value {
            Ok(value) => environment.set(name, value),
            Err(why) => environment.leave_out(name, why),
        }
    }
    environment
}

const NO_SECRETS: &str = "--with-secrets includes it";

/// A variable's value from elsewhere, or why there is none.
fn value_from(pod: &Value, from: &Value, objects: &Objects, with_secrets: bool) -> Result<String, String> {
    if let Some((kind, source)) = key(from) {
        let (name, key) = (text(&source["name"]), text(&source["key"]));
        if kind == Kind::Secret && !with_secrets {
            return Err(NO_SECRETS.into());
        }
        let object = objects.get(&(kind, name.to_owned()));
        let object = object.ok_or_else(|| format!("there is no {} {name}", kind.name()))?;
        return data(kind, object, key).ok_or_else(|| format!("{} {name} has no {key} as text", kind.name()));
    }
    let path = text(&from["fieldRef"]["fieldPath"]);
    field(pod, path).ok_or_else(|| match path {
        "" => "it is about the container's resources".to_owned(),
        path => format!("only a pod has {path}"),
    })
}

/// A field as the downward API names it.
fn field(pod: &Value, path: &str) -> Option<String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = map.strip_prefix("metadata.")?;
        return pod["metadata"][map][key].as_str().map(str::to_owned);
    }
    let known = ["metadata.", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.podIP"];
    if !known.iter().any(|known| path.starts_with(known)) {
        return None;
    }
    pod.pointer(&format!("/{}", path.replace('.', "/")))?.as_str().map(str::to_owned)
}

/// The object that all variables of a source come from.
fn whole(source: &Value) -> Option<(Kind, &Value)> {
    of_kind(source, ["configMapRef", "secretRef"])
}

/// The object of which a variable is one key.
fn key(from: &Value) -> Option<(Kind, &Value)> {
    of_kind(from, ["configMapKeyRef", "secretKeyRef"])
}

fn of_kind<'a>(value: &'a Value, [map, secret]: [&str; 2]) -> Option<(Kind, &'a Value)> {
    let found =
        |kind: Kind, name: &str| value.get(name).filter(|found| found.is_object()).map(|found| (kind, found));
    found(Kind::ConfigMap, map).or_else(|| found(Kind::Secret, secret))
}

fn data(kind: Kind, object: &Value, key: &str) -> Option<String> {
    let value = object["data"][key].as_str()?;
    match kind {
        Kind::ConfigMap => Some(value.to_owned()),
        Kind::Secret => String::from_utf8(STANDARD.decode(value).ok()?).ok(),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
