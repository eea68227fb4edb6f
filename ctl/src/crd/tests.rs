use std::path::Path;

use super::*;

/// Compares a definition with its file in the repository, for people who apply manifests themselves.
#[track_caller]
fn check_published(name: &str, installed: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds").join(name);
    if std::env::var_os("CANARY_UPDATE").is_some() {
        std::fs::write(&file, serde_saphyr::to_string(installed).expect("YAML")).expect("written");
    }
    let there: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(&file).expect("a file")).expect("YAML");
    assert_eq!(there, *installed, "{name} is old: cargo xtask generate");
}

#[test]
fn the_published_definitions_are_those_that_are_installed() {
    check_published("canaryctl.io_lanes.yaml", &lane());
    check_published("canaryctl.io_releases.yaml", &release());
    check_published("canaryctl.io_takeovers.yaml", &takeover());
}

/// The API server drops what a definition does not know.
#[test]
fn a_release_has_every_field_of_its_type_and_no_other() {
    let analysis = json!({
        "prometheus": {"url": "http://p:9090"}, "metrics": "envoy", "successRate": {"maxDrop": 0.5, "min": 99.0},
        "latency": {"quantile": 0.99, "maxRise": 20.0, "maxMs": 500.0},
        "promql": [{"name": "queue", "query": "sum(x)", "min": 1.0, "max": 2.0}], "minSamples": 50, "windowSeconds": 60,
        "intervalSeconds": 10, "passes": 2, "failures": 3, "onFailure": "abort", "dryRun": true,
    });
    let traffic = json!({"requests": 10.0, "failures": 1.0, "latencyMs": 4.5});
    let workload = |name: &str| json!({"deployment": name, "images": {"app": "a:2"}, "replicas": 2});
    let document = json!({
        "apiVersion": API_VERSION, "kind": canary_release::KIND, "metadata": {"name": "r"},
        "spec": {
            "lane": "gray", "workloads": [workload("shop/cart")], "rules": [{"when": {"cookie": {"name": "a", "exact": "1"}}}],
            "key": [{"header": "x-user"}], "by": "requests", "steps": [
                {"share": 1.0, "holdSeconds": 60, "analysis": analysis},
                {"job": {"cronJob": "shop/smoke", "spec": {"backoffLimit": 0}, "onFailure": "abort"}},
                {"webhook": {"url": "http://ci", "timeoutSeconds": 5, "retries": 1, "onFailure": "abort"}},
            ],
            "analysis": analysis, "notify": [{"url": "http://chat"}], "keepWarmSeconds": 600, "paused": true, "passed": 1, "retries": 1, "intent": "abort",
        },
        "status": {
            "observedGeneration": 1, "phase": "Stepping", "step": 1, "heldSince": 7, "pausedSince": 8, "warmSince": 9, "outcome": "Aborted",
            "workloads": [{
                "deployment": "shop/cart", "before": {"app": "a:1"}, "replicas": 1, "available": 1, "asked": 3, "askedBack": 5,
                "promoted": true,
            }],
            "analysis": {
                "step": 1, "at": 9, "verdict": "Good", "message": "fine", "passes": 1, "failures": 0, "failed": false,
                "quantile": 0.95, "workloads": [{"deployment": "shop/cart", "lane": traffic, "base": traffic, "verdict": "Good"}],
                "figures": [{"name": "queue", "value": 1.5}],
            },
            "errand": {"step": 1, "tries": 1, "job": "shop/r-1", "seen": true, "outcome": "Failed", "message": "why"},
            "retried": 1,
            "told": 2,
            "trouble": {"reason": "Pods", "message": "none", "needsHelp": true},
            "history": [{"at": 7, "what": "begins"}],
            "forgotten": 3,
        },
    });
    let release: canary_release::Release = serde_json::from_value(document.clone()).expect("a release");
    assert_eq!(serde_json::to_value(&release).expect("JSON"), document, "every field is given");
    let definition = release::release();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let known = |part: &str| {
        let known = schema[part]["properties"].as_object().expect("fields");
        known
            .keys()
            .filter(|field| *field != "conditions")
            .cloned()
            .collect::<std::collections::BTreeSet<_>>()
    };
    let given = |part: &str| document[part].as_object().expect("fields").keys().cloned().collect();
    assert_eq!(known("spec"), given("spec"));
    assert_eq!(known("status"), given("status"));
    check_fields(&schema["spec"], &document["spec"], "spec");
    check_fields(&schema["status"], &document["status"], "status");
}

/// Every field that is given is in the schema, at every depth.
#[track_caller]
fn check_fields(schema: &Value, given: &Value, at: &str) {
    // What a Lane has too is tested there.
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    if at == "spec.rules" || at == "spec.key" || schema["additionalProperties"].is_object() || is_open {
        return;
    }
    for (name, value) in given.as_object().into_iter().flatten() {
        let known = &schema["properties"][name];
        assert!(known.is_object(), "{at}.{name}");
        check_fields(known, value, &format!("{at}.{name}"));
    }
    for value in given.as_array().into_iter().flatten() {
        check_fields(&schema["items"], value, at);
    }
}

#[test]
fn a_takeover_has_every_field_of_its_type_and_no_other() {
    let document = json!({
        "service": "cart", "ports": [80], "connections": [9], "mode": "mesh", "by": "selector", "lane": "dev-alice", "percent": 12.5,
        "rules": [{"when": {"cookie": {"name": "a", "exact": "1"}}}], "owner": {"user": "alice", "machine": "m"},
    });
    let read: crate::takeover::TakeoverSpec = serde_json::from_value(document.clone()).expect("a spec");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), document, "every field is given");
    let definition = takeover();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let fields = |value: &Value| {
        value.as_object().expect("fields").keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(fields(&schema["properties"]), fields(&document));
    assert_eq!(fields(&schema["properties"]["owner"]["properties"]), fields(&document["owner"]));
}

#[test]
fn nothing_in_it_is_forbidden_in_structural_schemas() {
    fn walk(value: &Value, at: &str) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            let is_name = at.ends_with("properties");
            assert!(
                is_name || !["$ref", "$defs", "const", "default", "title"].contains(&key.as_str()),
                "{at}.{key}"
            );
            assert!(is_name || key != "additionalProperties" || inner.is_object(), "{at}.{key}");
            walk(inner, &format!("{at}.{key}"));
        }
        for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
            walk(inner, &format!("{at}[{index}]"));
        }
    }
    walk(&schema(), "");
}

#[test]
fn it_is_small_enough_for_kubectl_apply() {
    let bytes = serde_json::to_vec(&lane()).expect("JSON").len();
    // What kubectl notes in an annotation may have 256 KiB.
    assert!(bytes < 200_000, "{bytes} bytes");
}

/// What one check may be estimated to cost, and all of a definition together: `StaticEstimatedCostLimit` and
/// `StaticEstimatedCRDCostLimit` in k8s.io/apiextensions-apiserver (Kubernetes 1.34).
const CHECK_COST_MAX: u64 = 10_000_000;
const CHECKS_COST_MAX: u64 = 100_000_000;

/// Visits the checks, each with how often it runs at most.
fn checks(schema: &Value, times: u64, visit: &mut impl FnMut(&str, u64)) {
    for check in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        visit(check["rule"].as_str().expect("a rule"), times);
    }
    for property in schema["properties"].as_object().into_iter().flatten().map(|(_, property)| property) {
        checks(property, times, visit);
    }
    if schema["items"].is_object() {
        let most = schema["maxItems"].as_u64().unwrap_or(u64::from(u32::MAX));
        checks(&schema["items"], times.saturating_mul(most), visit);
    }
}

#[test]
fn the_api_server_can_afford_the_checks() {
    let (mut worst, mut all) = (0, 0_u64);
    checks(&schema(), 1, &mut |rule, times| {
        // A step of an expression takes more than two characters to write, and costs one. No check of ours walks
        // a list; strings have a longest length.
        let steps = rule.len() as u64 / 2;
        worst = worst.max(steps.saturating_mul(times));
        all = all.saturating_add(steps.saturating_mul(times));
    });
    assert!(worst < CHECK_COST_MAX / 2 && all < CHECKS_COST_MAX / 2, "{worst} at most, {all} together");
}

#[track_caller]
fn check_words(pointer: &str, rule: &str, message: &str) {
    let schema = schema();
    let node = schema.pointer(&format!("/properties/spec/properties{pointer}")).expect("a node");
    let check = &node["x-kubernetes-validations"][0];
    assert_eq!((check["rule"].as_str(), check["message"].as_str()), (Some(rule), Some(message)), "{pointer}");
    assert!(node["oneOf"].is_null(), "{pointer}");
}

#[test]
fn what_excludes_each_other_is_said_in_words() {
    let when = "/rules/items/properties/when/properties";
    let methods =
        ("(has(self.exact) ? 1 : 0) + (has(self.__in__) ? 1 : 0) == 1", "give exactly one of exact, in");
    check_words(&format!("{when}/method"), methods.0, methods.1);
    check_words(&format!("{when}/all/items/properties/method"), methods.0, methods.1);
    let three = "(has(self.header) ? 1 : 0) + (has(self.cookie) ? 1 : 0) + (has(self.claim) ? 1 : 0) == 1";
    check_words("/key/items", three, "give exactly one of header, cookie, claim");
    let deep = format!("/properties/spec/properties{when}/all/items/properties/any/items/properties/method");
    assert!(schema().pointer(&deep).expect("a node")["oneOf"].is_array(), "too many to be checked in words");
}
