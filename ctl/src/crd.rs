//! The CustomResourceDefinitions of Lanes, Releases and Takeovers, made from the types that documents are read into.

mod release;
mod structural;
mod takeover;
#[cfg(test)]
mod tests;

use canary_rules::lane::{API_VERSION, KIND};
use serde_json::{Value, json};

pub use release::release;
pub use takeover::takeover;

/// Name of the resource in addresses.
const PLURAL: &str = "lanes";
/// Most rules of a Lane in a cluster: the API server wants to know what its checks cost at most.
const RULES_MAX: u32 = 256;
/// Most ways to tell users apart, for the same reason.
const KEYS_MAX: u32 = 16;

/// What the API server is told of Lanes.
///
/// It checks shape and limits, and says so at once. What needs other Lanes to judge (parents, shares, codes),
/// regular expressions, and conditions nested deeper than [`structural::CONDITION_LEVELS`] the controller
/// judges, in the condition `Accepted`.
#[must_use]
pub fn lane() -> Value {
    let condition = |kind: &str, field: &str| format!(".status.conditions[?(@.type==\"{kind}\")].{field}");
    let columns = [
        column("On", "string", &condition("Programmed", "status"), "Whether every proxy has it"),
        column("State", "string", &condition("Programmed", "reason"), "What it waits for, if it does"),
        column("Mode", "string", ".spec.mode", "What happens where it has no member"),
        column("Parent", "string", ".spec.parent", "The lane that it falls back to"),
    ];
    definition(&Definition {
        kind: KIND,
        plural: PLURAL,
        singular: "lane",
        scope: Scope::Cluster,
        columns: &columns,
        schema: &schema(),
    })
}

/// All of them, in the order in which they came to be.
#[must_use]
pub fn all() -> [Value; 3] {
    [lane(), release(), takeover()]
}

/// Whose objects of a kind are.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Cluster,
    Namespaced,
}

/// What a definition is made from.
struct Definition<'a> {
    kind: &'a str,
    plural: &'a str,
    singular: &'a str,
    scope: Scope,
    /// Before its age.
    columns: &'a [Value],
    schema: &'a Value,
}

/// The definition of a kind, with a status.
fn definition(of: &Definition<'_>) -> Value {
    let Definition { kind, plural, singular, scope, columns, schema } = of;
    let (group, version) = API_VERSION.split_once('/').unwrap_or_default();
    let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": format!("{scope:?}"),
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular,
                "categories": ["canaryctl"],
            },
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns.iter().chain([&age]).collect::<Vec<_>>(),
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

fn column(name: &str, kind: &str, path: &str, about: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path, "description": about})
}

/// What a percentage of an object must be like: whole hundredths, as far as floating-point numbers can be.
fn in_hundredths(field: &str, message: &str) -> Value {
    let (has, wanted) = (format!("self.{field} * 100.0"), format!("double(int(self.{field} * 100.0 + 0.5))"));
    json!({
        "rule": format!("!has(self.{field}) || ({has} - {wanted} < 0.000001 && {wanted} - {has} < 0.000001)"),
        "message": message,
    })
}

fn schema() -> Value {
    let document = canary_rules::schema::lane();
    let mut schema = structural::of(&document);
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string"});
    properties["kind"] = json!({"type": "string"});
    // Of metadata only the name may be told more of.
    properties["metadata"] =
        json!({"type": "object", "properties": {"name": properties["metadata"]["properties"]["name"]}});
    properties["status"] = status();
    let spec = &mut properties["spec"]["properties"];
    spec["rules"]["maxItems"] = RULES_MAX.into();
    spec["key"]["maxItems"] = KEYS_MAX.into();
    let rule = &mut spec["rules"]["items"];
    // Said by a check of its own, in words.
    if let Some(rule) = rule.as_object_mut() {
        rule.remove("anyOf");
    }
    rule["x-kubernetes-validations"] = json!([
        {"rule": "has(self.when) || has(self.percent)", "message": "the rule is empty: give `when`, `percent` or both"},
        in_hundredths("percent", "percent goes in steps of 0.01"),
    ]);
    properties["spec"]["x-kubernetes-validations"] =
        json!([in_hundredths("mirror", "mirror goes in steps of 0.01")]);
    schema["required"] = json!(["spec"]);
    schema["x-kubernetes-validations"] = json!([{
        "rule": "!has(self.spec.parent) || self.spec.parent != self.metadata.name",
        "message": "a lane cannot be its own parent",
    }]);
    schema
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "integer", "format": "int64"})
}

fn list(item: &Value) -> Value {
    json!({"type": "array", "items": item})
}

fn object(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn conditions() -> Value {
    let mut conditions = list(&object(&json!({
        "type": text(), "status": text(), "reason": text(), "message": text(),
        "observedGeneration": number(),
        "lastTransitionTime": {"type": "string", "format": "date-time"},
    })));
    conditions["x-kubernetes-list-type"] = "map".into();
    conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
    conditions["items"]["required"] = json!(["type", "status"]);
    conditions
}

/// What the controller says of a Lane.
fn status() -> Value {
    let mut status = object(&json!({
        "observedGeneration": number(),
        "conditions": conditions(),
        "members": list(&object(&json!({"service": text(), "workload": text(), "pods": number()}))),
        "proxies": object(&json!({"total": number(), "reached": number()})),
        "findings": list(&object(&json!({"code": text(), "severity": text(), "message": text()}))),
        "epoch": number(),
        "buckets": text(),
        "inForce": object(&json!({"generation": number(), "spec": text()})),
    }));
    status["description"] = "What the controller last said of it.".into();
    status
}
