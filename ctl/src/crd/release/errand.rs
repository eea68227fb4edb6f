//! The part of a Release that says what its steps have done elsewhere.

use serde_json::{Value, json};

use super::super::{number, object, text};

/// Longest time that one call may take, in seconds, and most times that it is made again.
const TIMEOUT_S_MAX: u32 = 300;
const RETRIES_MAX: u32 = 10;

/// A Job.
pub(super) fn job() -> Value {
    json!({
        "type": "object",
        "description": "A Job that has to succeed before the release goes on.",
        "x-kubernetes-validations": [
            {"rule": "has(self.cronJob) != has(self.spec)", "message": "a job has a cronJob or a spec, one of them"},
        ],
        "properties": {
            "cronJob": {
                "type": "string", "pattern": "^[a-z0-9-]+/[a-z0-9.-]+$", "maxLength": 317,
                "description": "A CronJob, as namespace/name, whose Job is run; it may be suspended.",
            },
            "spec": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "description": "The spec of a Job, as in batch/v1; it runs beside the first of the workloads.",
            },
            "onFailure": on_failure(),
        },
    })
}

/// A webhook.
pub(super) fn webhook() -> Value {
    let whole = |about: &str, least: u32, most: u32| json!({"type": "integer", "format": "int64", "minimum": least, "maximum": most, "description": about});
    json!({
        "type": "object",
        "required": ["url"],
        "description": "An address that has to answer 2xx before the release goes on.",
        "properties": {
            "url": url(),
            "timeoutSeconds": whole("How long one call may take, in seconds; default 10.", 1, TIMEOUT_S_MAX),
            "retries": whole(
                "How often it is called again where it does not answer, or answers 408, 429 or 5xx; default 3.",
                0, RETRIES_MAX
            ),
            "onFailure": on_failure(),
        },
    })
}

/// An address that is posted to.
pub(super) fn url() -> Value {
    json!({
        "type": "string", "maxLength": 1024, "pattern": "^https?://[^/\\s]+",
        "description": "Its address as the controller reaches it.",
    })
}

fn on_failure() -> Value {
    json!({
        "type": "string", "enum": ["pause", "abort"],
        "description": "What is done when it fails: the release stays where it is (default), or everybody is taken back.",
    })
}

/// How far the last of them has come.
pub(super) fn status() -> Value {
    object(&json!({
        "step": number(), "tries": number(), "job": text(), "seen": {"type": "boolean"}, "outcome": text(),
        "message": text(),
    }))
}
