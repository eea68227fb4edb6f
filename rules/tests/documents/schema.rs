//! The published JSON Schema: current, and of one mind with the reader.

use std::path::Path;

use boon::{Compiler, Schemas};
use canary_rules::document::{Source, read};
use canary_rules::schema;
use serde_json::json;

#[test]
fn the_published_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join("lane.schema.json");
    let current = schema::lane();
    if std::env::var_os("CANARY_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, format!("{current:#}\n")).expect("written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    // As values: in which order keys are written depends on how serde_json was built.
    let published: serde_json::Value = serde_json::from_str(&published).unwrap_or_default();
    assert!(published == current, "{} is old: cargo xtask generate", path.display());
}

/// Whether the reader takes a spec, given as JSON.
fn is_read(spec: &serde_json::Value) -> bool {
    let text = document(spec).to_string();
    read(&[Source { name: "lane.json".into(), text }]).is_ok()
}

fn document(spec: &serde_json::Value) -> serde_json::Value {
    json!({
        "apiVersion": "canaryctl.io/v1alpha1",
        "kind": "Lane",
        "metadata": { "name": "gray" },
        "spec": spec,
    })
}

/// Whether the schema takes a spec.
fn is_valid(spec: &serde_json::Value) -> bool {
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    compiler.add_resource("lane.json", schema::lane()).expect("a schema");
    let compiled = compiler.compile("lane.json", &mut schemas).expect("a schema that compiles");
    schemas.validate(&document(spec), compiled).is_ok()
}

#[track_caller]
fn check(spec: serde_json::Value, read: bool, valid: bool) {
    assert_eq!(is_read(&spec), read, "the reader: {spec}");
    assert_eq!(is_valid(&spec), valid, "the schema: {spec}");
}

#[test]
fn what_is_read_is_valid() {
    for spec in [
        json!({}),
        json!({ "rules": [] }),
        json!({ "priority": -1, "mode": "strict", "layer": "checkout", "expires": "2026-12-31T18:00:00Z" }),
        json!({ "cookie": { "maxAgeSeconds": 60, "attributes": { "sameSite": null, "domain": "shop.test" } } }),
        json!({ "cookie": { "attributes": { "sameSite": "Strict" } } }),
        json!({ "members": { "shop/stock": { "version": "v2" } } }),
        json!({ "key": [{ "header": "x" }, { "cookie": "y" }, { "claim": { "name": "sub", "from": { "cookie": "t" } } }] }),
        json!({ "rules": [{ "percent": 0.07 }, { "percent": 100, "sticky": false, "name": "all" }] }),
        json!({ "rules": [{ "when": { "not": { "any": [{ "all": [{ "method": { "exact": "GET" } }] }] } } }] }),
        json!({ "rules": [{ "when": {
            "cookie": { "name": "a", "exact": "" },
            "header": { "name": "b", "range": { "min": 1 } },
            "query": { "name": "c", "exists": false },
            "path": { "glob": "/**", "ignoreCase": true },
            "host": { "in": ["shop.test"] },
            "client": { "cidr": ["10.0.0.0/8"] },
            "claim": { "name": "sub", "regex": "a|b" },
        } }] }),
    ] {
        check(spec, true, true);
    }
}

#[test]
fn what_the_schema_refuses_is_not_read() {
    let rule = |rule: serde_json::Value| json!({ "rules": [rule] });
    let when = |when: serde_json::Value| json!({ "rules": [{ "when": when }] });
    let header = |test: serde_json::Value| json!({ "rules": [{ "when": { "header": test } }] });
    for spec in [
        json!({ "priorty": 1 }),
        json!({ "priority": 1.5 }),
        json!({ "mode": "Strict" }),
        json!({ "parent": "Blue" }),
        json!({ "layer": "" }),
        json!({ "layer": "l".repeat(64) }),
        json!({ "cookie": { "maxAgeSeconds": 0 } }),
        json!({ "cookie": { "maxAgeSeconds": 34_560_001 } }),
        json!({ "cookie": { "attributes": { "sameSite": "lax" } } }),
        json!({ "key": [{}] }),
        json!({ "key": [{ "header": "x", "cookie": "y" }] }),
        json!({ "members": { "stock": { "version": 2 } } }),
        rule(json!({})),
        rule(json!({ "name": "nothing" })),
        rule(json!({ "percent": 101 })),
        rule(json!({ "percent": -1 })),
        rule(json!({ "percent": "5" })),
        when(json!({})),
        when(json!({ "any": [] })),
        when(json!({ "all": [] })),
        when(json!({ "client": {} })),
        when(json!({ "client": { "cidr": [] } })),
        when(json!({ "method": { "exact": "GET", "in": ["GET"] } })),
        when(json!({ "path": { "prefix": "" } })),
        header(json!({ "name": "x" })),
        header(json!({ "exact": "a" })),
        header(json!({ "name": "", "exact": "a" })),
        header(json!({ "name": "x", "exact": 1 })),
        header(json!({ "name": "x", "exact": "a", "prefix": "b" })),
        header(json!({ "name": "x", "in": [] })),
        header(json!({ "name": "x", "regex": "a".repeat(513) })),
        header(json!({ "name": "x", "range": {} })),
        header(json!({ "name": "x", "ignoreCase": true })),
    ] {
        check(spec, false, false);
    }
}

/// Every field of every definition tells an editor what it is.
#[test]
fn every_field_is_described() {
    fn look(place: &str, schema: &serde_json::Value) {
        if let Some(fields) = schema.get("properties").and_then(serde_json::Value::as_object) {
            for (name, field) in fields {
                let is_tag = schema.get("additionalProperties") == Some(&json!(false)) && fields.len() == 1;
                let text = field.get("description").or(schema.get("description").filter(|_| is_tag));
                assert!(text.is_some_and(|text| !text.to_string().contains("\\n")), "{place}.{name}");
            }
        }
        let inner = schema
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, inner)| inner.is_object() || inner.is_array());
        inner.for_each(|(name, inner)| look(&format!("{place}/{name}"), inner));
        schema.as_array().into_iter().flatten().for_each(|inner| look(place, inner));
    }
    look("", &schema::lane());
}
