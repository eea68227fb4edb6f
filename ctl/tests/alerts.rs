//! The alerts in `deploy/prometheus` fire when they should, and are about metrics that there are.
//!
//! Needs the folder of `promtool` (`CANARY_PROMETHEUS`); `cargo xtask test` gives it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const RULES: &str = "canaryctl.rules.yaml";
const TESTS: &str = "canaryctl.rules.test.yaml";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus")
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).expect("a file");
    serde_saphyr::from_str(&text).expect("YAML")
}

fn rules() -> Vec<Value> {
    let groups = read(RULES)["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

#[track_caller]
fn promtool(args: &[&str]) {
    let tools = std::env::var_os("CANARY_PROMETHEUS")
        .unwrap_or_else(|| panic!("CANARY_PROMETHEUS is not set: run `cargo xtask test unit`"));
    let ran = Command::new(Path::new(&tools).join("promtool")).args(args).current_dir(folder()).output();
    let ran = ran.expect("promtool runs");
    let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(ran.status.success(), "{said}");
}

#[test]
fn the_rules_are_sound() {
    promtool(&["check", "rules", RULES]);
}

#[test]
fn alerts_fire_when_they_should() {
    promtool(&["test", "rules", TESTS]);
}

#[test]
fn each_alert_is_seen_to_fire_and_to_be_silent() {
    let tests = read(TESTS)["tests"].as_array().expect("tests").clone();
    let cases = tests.iter().flat_map(|test| test["alert_rule_test"].as_array().expect("cases"));
    let (fires, silent): (Vec<&Value>, Vec<&Value>) = cases.partition(|case| case["exp_alerts"].is_array());
    let named = |cases: Vec<&Value>| -> BTreeSet<String> {
        cases.into_iter().map(|case| text(&case["alertname"])).collect()
    };
    let alerts: BTreeSet<String> = rules().iter().map(|rule| text(&rule["alert"])).collect();
    assert_eq!(named(fires), alerts);
    assert_eq!(named(silent), alerts);
}

#[test]
fn alerts_are_about_documented_metrics() {
    let document = include_str!("../../docs/metrics.md");
    let documented: BTreeSet<String> = document
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.starts_with("canaryctl"))
        .map(|name| name.replace('.', "_"))
        .collect();
    for rule in rules() {
        let expression = text(&rule["expr"]);
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<&str> = words.filter(|word| word.starts_with("canaryctl")).collect();
        assert!(!metrics.is_empty(), "{expression}");
        for metric in metrics {
            assert!(documented.contains(metric), "{metric} of {} is not documented", rule["alert"]);
        }
    }
}

#[test]
fn the_documents_say_what_to_do_at_each_alert() {
    let document = include_str!("../../docs/operate.md");
    for rule in rules() {
        let alert = text(&rule["alert"]);
        assert!(document.contains(&format!("`{alert}`")), "docs/operate.md does not name {alert}");
    }
}
