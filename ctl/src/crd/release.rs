//! The CustomResourceDefinition of Releases.

mod analysis;
mod errand;

use canary_release::KIND;
use serde_json::{Value, json};

use super::{Definition, Scope, column, conditions, definition, list, number, object, text};

/// Name of the resource in addresses.
const PLURAL: &str = "releases";
/// Most workloads of a Release: the API server is asked for a right for each of them.
const WORKLOADS_MAX: u32 = 20;
/// Most steps and rules.
const STEPS_MAX: u32 = 64;
const RULES_MAX: u32 = 64;
/// Most addresses that are told of a release.
const NOTIFIED_MAX: u32 = 8;
/// Most times that a release is told to begin a step anew.
const RETRIES_MAX: u32 = 1_000_000;
/// Longest a step is held, in seconds: a year.
const HOLD_S_MAX: u32 = 366 * 24 * 3600;

/// What the API server is told of Releases. The controller judges what takes a look at the cluster.
#[must_use]
pub fn release() -> Value {
    let columns = [
        column("Phase", "string", ".status.phase", "How far it has come"),
        column("Step", "integer", ".status.step", "The step that it is at, counted from 0"),
        column("Waits", "string", ".status.trouble.message", "What it waits for or stumbles over"),
    ];
    definition(&Definition {
        kind: KIND,
        plural: PLURAL,
        singular: "release",
        scope: Scope::Cluster,
        columns: &columns,
        schema: &schema(),
    })
}

fn schema() -> Value {
    let lane = super::schema();
    let of_lane = &lane["properties"]["spec"]["properties"];
    let mut rules = of_lane["rules"].clone();
    rules["maxItems"] = RULES_MAX.into();
    let name = lane["properties"]["metadata"]["properties"]["name"].clone();
    json!({
        "type": "object",
        "required": ["spec"],
        "x-kubernetes-validations": [{
            "rule": "self.metadata.name != 'baseline' && (!has(self.spec.lane) || self.spec.lane != 'baseline')",
            "message": "baseline is no lane's name",
        }],
        "properties": {
            "apiVersion": text(),
            "kind": text(),
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": spec(&name, &rules, &of_lane["key"]),
            "status": status(),
        },
    })
}

fn spec(name: &Value, rules: &Value, key: &Value) -> Value {
    let about = |mut schema: Value, description: &str| {
        schema["description"] = description.into();
        schema
    };
    let deployment = json!({"type": "string", "pattern": "^[a-z0-9-]+/[a-z0-9.-]+$", "maxLength": 317});
    let images = json!({
        "type": "object", "minProperties": 1, "maxProperties": 32,
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 1024},
    });
    let workload = json!({
        "type": "object",
        "required": ["deployment", "images"],
        "properties": {
            "deployment": about(deployment, "The Deployment, as namespace/name."),
            "images": about(images, "New images by container."),
            "replicas": {
                "type": "integer", "format": "int64", "minimum": 1, "maximum": 10000,
                "description": "How many pods the lane has; default: as many of the Deployment's as the share is of all users.",
            },
        },
    });
    let share = json!({"type": "number", "format": "double", "minimum": 0, "maximum": 100});
    let step = json!({
        "type": "object",
        "x-kubernetes-validations": [
            super::in_hundredths("share", "shares go in steps of 0.01"),
            super::in_hundredths("mirror", "mirror goes in steps of 0.01"),
            {
                "rule": "has(self.share) || has(self.mirror) || has(self.scale) || has(self.job) || has(self.webhook)",
                "message": "a step has a share, a mirror, a scale, a job or a webhook",
            },
            {
                "rule": "!has(self.job) || !has(self.webhook)",
                "message": "a step has a job or a webhook: give each a step of its own",
            },
        ],
        "properties": {
            "mirror": about(share.clone(), "Of how many of the requests that no lane claims the new versions get a copy, in percent, in steps of 0.01; default: of none."),
            "scale": {
                "type": "integer", "format": "int32", "minimum": 0, "maximum": 100,
                "description": "How many pods the lane has at the least, in percent of each Deployment's; default: as many as its requests take.",
            },
            "share": about(share, "Share in percent, in steps of 0.01; default: as in the step before."),
            "holdSeconds": {
                "type": "integer", "format": "int64", "minimum": 0, "maximum": HOLD_S_MAX,
                "description": "How long it is held, in seconds; default: until it is promoted, or, with a job or a webhook, until that is through.",
            },
            "analysis": analysis::spec("What is measured while it is held; what it leaves open is as the release says."),
            "job": errand::job(),
            "webhook": errand::webhook(),
        },
    });
    json!({
        "type": "object",
        "required": ["workloads"],
        "properties": {
            "lane": about(name.clone(), "The lane that carries it; default: called as the Release."),
            "workloads": {
                "type": "array", "minItems": 1, "maxItems": WORKLOADS_MAX, "items": workload,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["deployment"],
                "description": "The workloads that get new images, all of them together.",
            },
            "rules": about(rules.clone(), "Who gets the new versions whatever the share."),
            "key": about(key.clone(), "How shares tell users apart, as in a Lane."),
            "by": {
                "type": "string", "enum": ["users", "requests"],
                "description": "What shares are of: users, each of whom stays on their side of it (default), or requests, whoever sends them.",
            },
            "steps": {
                "type": "array", "maxItems": STEPS_MAX, "items": step,
                "description": "The shares, and what is to be through before it goes on, one after the other.",
            },
            "analysis": analysis::spec("What is measured while a step is held, and what is made of it."),
            "notify": {
                "type": "array", "maxItems": NOTIFIED_MAX,
                "items": {"type": "object", "required": ["url"], "properties": {"url": errand::url()}},
                "description": "Who is told of what happens to it, by a POST of JSON for each entry of its history.",
            },
            "keepWarmSeconds": {
                "type": "integer", "format": "int64", "minimum": 0, "maximum": HOLD_S_MAX,
                "description": "For how long after everybody has the new versions those from before are kept ready, in seconds; default: not at all.",
            },
            "paused": {"type": "boolean", "description": "Whether it stays where it is."},
            "passed": {
                "type": "integer", "format": "int64", "minimum": 0, "maximum": STEPS_MAX,
                "description": "How many steps need not be held any longer: what promote counts up.",
            },
            "retries": {
                "type": "integer", "format": "int64", "minimum": 0, "maximum": RETRIES_MAX,
                "description": "How often it was told to begin a step anew that had stopped it: what retry counts up.",
            },
            "intent": {
                "type": "string", "enum": ["forward", "abort", "undo"],
                "description": "Where it goes: to everybody, back from wherever it is, or, once through, back to the images from before.",
            },
        },
        "x-kubernetes-validations": [
            {
                "rule": "!has(self.by) || self.by != 'requests' || !has(self.key) || size(self.key) == 0",
                "message": "a key tells users apart, and shares are of requests: leave out key, or by",
            },
            {
                "rule": "self.workloads == oldSelf.workloads",
                "message": "the workloads of a release do not change: abort it and start another",
            },
            {
                "rule": "has(self.lane) == has(oldSelf.lane) && (!has(self.lane) || self.lane == oldSelf.lane)",
                "message": "the lane of a release does not change",
            },
        ],
    })
}

/// What the controller says of a Release.
fn status() -> Value {
    let images = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let truth = || json!({"type": "boolean"});
    let workload = object(&json!({
        "deployment": text(), "before": images, "replicas": number(), "available": number(),
        "asked": number(), "askedBack": number(), "promoted": truth(),
    }));
    let mut status = object(&json!({
        "observedGeneration": number(),
        "conditions": conditions(),
        "phase": text(),
        "step": number(),
        "heldSince": number(),
        "pausedSince": number(),
        "analysis": analysis::status(),
        "errand": errand::status(),
        "retried": number(),
        "told": number(),
        "warmSince": number(),
        "outcome": text(),
        "workloads": list(&workload),
        "trouble": object(&json!({"reason": text(), "message": text(), "needsHelp": truth()})),
        "history": list(&object(&json!({"at": number(), "what": text()}))),
        "forgotten": number(),
    }));
    status["description"] = "What the controller last said of it.".into();
    status
}
