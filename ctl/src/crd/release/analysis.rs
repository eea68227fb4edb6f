//! The part of a Release that says what is measured.

use serde_json::{Value, json};

use super::super::{list, number, object, text};

/// Longest query, in bytes.
const QUERY_MAX: u32 = 4096;
/// Most queries of one's own.
const QUERIES_MAX: u32 = 16;
/// Most times in a row.
const TIMES_MAX: u32 = 100;
/// Shortest and longest time between measurements, in seconds.
const INTERVAL_S_MIN: u32 = 5;
const INTERVAL_S_MAX: u32 = 3600;
/// Longest time looked back, in seconds: a day.
const WINDOW_S_MAX: u32 = 24 * 3600;

/// What people write.
pub(super) fn spec(description: &str) -> Value {
    let real = |about: &str, most: f64| json!({"type": "number", "format": "double", "minimum": 0, "maximum": most, "description": about});
    let any = |about: &str| json!({"type": "number", "format": "double", "description": about});
    let whole = |about: &str, least: u32, most: u32| json!({"type": "integer", "format": "int64", "minimum": least, "maximum": most, "description": about});
    let url = json!({
        "type": "string", "maxLength": 1024, "pattern": "^https?://[^/\\s]+",
        "description": "Its address as the controller reaches it.",
    });
    let query = json!({
        "type": "object",
        "required": ["name", "query"],
        "x-kubernetes-validations": [
            {"rule": "has(self.min) || has(self.max)", "message": "a query has a bound: give min, max or both"},
        ],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 63, "description": "What it is called."},
            "query": {
                "type": "string", "minLength": 1, "maxLength": QUERY_MAX,
                "description": "PromQL that gives one number; $lane and $window stand for the lane and the time looked at.",
            },
            "min": any("The least that is good."),
            "max": any("The most that is good."),
        },
    });
    let success_rate = json!({
        "type": "object",
        "description": "Bounds of the lane's failures.",
        "x-kubernetes-validations": [
            {"rule": "has(self.maxDrop) || has(self.min)", "message": "successRate has a bound: give maxDrop, min or both"},
        ],
        "properties": {
            "maxDrop": real("How many percent of requests more than the baseline's may fail, in percentage points.", 100.0),
            "min": real("How many percent of requests have to succeed, whatever the baseline's.", 100.0),
        },
    });
    let latency = json!({
        "type": "object",
        "description": "Bounds of the lane's latency.",
        "x-kubernetes-validations": [
            {"rule": "has(self.maxRise) || has(self.maxMs)", "message": "latency has a bound: give maxRise, maxMs or both"},
        ],
        "properties": {
            "quantile": real("The quantile that is looked at; default 0.95.", 1.0),
            "maxRise": real("How much slower than the baseline it may be, in percent.", 1e6),
            "maxMs": real("How slow it may be, in milliseconds.", 1e9),
        },
    });
    json!({
        "type": "object",
        "description": description,
        "properties": {
            "prometheus": {
                "type": "object", "required": ["url"], "properties": {"url": url},
                "description": "Who is asked.",
            },
            "metrics": {
                "type": "string", "enum": ["istio", "envoy"],
                "description": "Whose metrics: Istio's standard ones (default), or Envoy's own per cluster.",
            },
            "successRate": success_rate,
            "latency": latency,
            "promql": {
                "type": "array", "maxItems": QUERIES_MAX, "items": query, "description": "Queries of one's own.",
            },
            "minSamples": whole("The fewest requests that say anything; default 100.", 0, 1_000_000_000),
            "windowSeconds": whole("How long back is looked, in seconds; default 300.", INTERVAL_S_MIN, WINDOW_S_MAX),
            "intervalSeconds": whole("How often it is measured, in seconds; default 30.", INTERVAL_S_MIN, INTERVAL_S_MAX),
            "passes": whole("How many times in a row it has to be good before a step goes on by itself; default 1.", 1, TIMES_MAX),
            "failures": whole("How many times in a row it has to be bad before something is done; default 1.", 1, TIMES_MAX),
            "onFailure": {
                "type": "string", "enum": ["pause", "abort"], "description": "What is done then; default pause.",
            },
            "dryRun": {"type": "boolean", "description": "Whether it is only told of."},
        },
    })
}

/// What was measured last.
pub(super) fn status() -> Value {
    let real = || json!({"type": "number", "format": "double"});
    let traffic = || object(&json!({"requests": real(), "failures": real(), "latencyMs": real()}));
    object(&json!({
        "step": number(), "at": number(), "verdict": text(), "message": text(), "passes": number(),
        "failures": number(), "failed": {"type": "boolean"}, "quantile": real(),
        "workloads": list(&object(&json!({"deployment": text(), "lane": traffic(), "base": traffic(), "verdict": text()}))),
        "figures": list(&object(&json!({"name": text(), "value": real()}))),
    }))
}
