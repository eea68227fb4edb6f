//! A configuration can be anything: the filter takes it or passes everything through, and never traps.

use std::time::Duration;

use canary_e2e::wasm_host::{Plugin, PluginSpec, Proxy};
use serde_json::{Value, json};

use crate::support::{configuration, filter, ordinary, plugin, tag, without_lanes};

const ROLES: [&str; 4] = ["edgeGuard", "edge", "inbound", "outbound"];

/// A proxy that starts with this configuration: Envoy must not be told no, and requests must pass.
#[track_caller]
fn check_passes(proxy: &Proxy, configuration: &[u8]) {
    let plugin = proxy.install(PluginSpec::new(configuration).named("canaryctl"));
    check_serves(proxy, &plugin, configuration);
}

#[track_caller]
fn check_serves(proxy: &Proxy, plugin: &Plugin, configuration: &[u8]) {
    let shown = || String::from_utf8_lossy(configuration).chars().take(200).collect::<String>();
    assert!(plugin.is_configured(), "refused: {}", shown());
    let mut stream = plugin.request(0, ordinary([("cookie", "gray=1")]));
    assert_eq!(stream.local_response(), None, "{}", shown());
    stream.response([(":status", "200")]);
    assert!(proxy.crashes().is_empty(), "{}: {:#?}", shown(), proxy.crashes());
}

#[test]
fn garbage_passes_everything_through() {
    let proxy = Proxy::load(filter(), 1);
    let deep = "[".repeat(100_000);
    let nested = format!("{}1{}", r#"{"not":"#.repeat(100_000), "}".repeat(100_000));
    let garbage: [&[u8]; 14] = [
        b"",
        b" ",
        b"null",
        b"0",
        b"\"\"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"{\"version\":1}",
        b"{\"version\":-1,\"role\":\"edge\"}",
        b"{\"version\":1e999,\"role\":\"edge\"}",
        b"{\"version\":1,\"role\":\"mayor\"}",
        deep.as_bytes(),
        nested.as_bytes(),
    ];
    // One that stays: Envoy ticks no plugin that is gone, and counts show on tick.
    let _good = plugin(&proxy, &configuration("edge"));
    garbage.into_iter().for_each(|garbage| check_passes(&proxy, garbage));
    proxy.advance(Duration::from_secs(1));
    assert_eq!(proxy.metric("canaryctl.config.rejected"), Some(2 * 14), "on the main thread and the worker");
}

#[test]
fn every_truncation_passes() {
    for role in ROLES {
        let proxy = Proxy::load(filter(), 1);
        let whole = configuration(role).to_string();
        (0..whole.len()).step_by(3).for_each(|length| check_passes(&proxy, &whole.as_bytes()[..length]));
    }
}

#[test]
fn every_byte_changed_passes() {
    for role in ROLES {
        let proxy = Proxy::load(filter(), 1);
        let whole = configuration(role).to_string().into_bytes();
        for place in (0..whole.len()).step_by(2) {
            let mut changed = whole.clone();
            changed[place] = changed[place].wrapping_add(1 + (place % 7) as u8);
            check_passes(&proxy, &changed);
        }
    }
}

/// Changes one value of a good configuration into each of many odd ones.
#[test]
fn every_value_replaced_passes() {
    let odd =
        [json!(null), json!(-1), json!(1e300), json!(u64::MAX), json!("\u{0}\u{fffd}"), json!([]), json!({})];
    let proxy = Proxy::load(filter(), 1);
    for path in paths(&configuration("edge")) {
        for odd in &odd {
            let mut changed = configuration("edge");
            if let Some(place) = changed.pointer_mut(&path) {
                *place = odd.clone();
            }
            check_passes(&proxy, changed.to_string().as_bytes());
        }
    }
}

/// JSON pointers to every value within.
fn paths(value: &Value) -> Vec<String> {
    let within = |key: String, value: &Value| {
        let below = paths(value).into_iter().map(move |path| format!("/{key}{path}"));
        below.collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match value {
        Value::Object(fields) => {
            all.extend(fields.iter().flat_map(|(key, value)| within(key.clone(), value)))
        }
        Value::Array(items) => {
            all.extend(items.iter().enumerate().flat_map(|(index, value)| within(index.to_string(), value)));
        }
        _ => {}
    }
    all
}

#[test]
fn oversized_ones_pass() {
    let proxy = Proxy::load(filter(), 1);
    let lane = |index: usize| json!({"name": format!("lane-{index}")});
    let rule = |test: Value| json!({"when": {"test": test}});
    let regex = |pattern: &str| rule(json!({"of": "path", "op": "regex", "values": [pattern]}));
    let with_lanes = |lanes: Vec<Value>| {
        let mut whole = configuration("edge");
        whole["lanes"] = Value::Array(lanes);
        whole
    };
    let with_rules = |rules: Vec<Value>| with_lanes(vec![json!({"name": "gray", "rules": rules})]);
    let oversized = [
        with_lanes((0..5_000).map(lane).collect()),
        with_lanes(vec![lane(1), lane(1)]),
        with_rules(vec![regex("(a{1000}){1000}")]),
        with_rules(vec![regex(&"(".repeat(10_000))]),
        with_rules(vec![regex(&"a|".repeat(50_000))]),
        with_rules(vec![rule(json!({"of": "header", "name": "x".repeat(100_000), "op": "exists"}))]),
        with_rules((0..5_000).map(|index| regex(&format!("/{index}.*"))).collect()),
    ];
    for oversized in oversized {
        check_passes(&proxy, oversized.to_string().as_bytes());
    }
}

#[test]
fn a_bad_change_leaves_the_last_good_configuration_at_work() {
    let proxy = Proxy::load(filter(), 1);
    let edge = plugin(&proxy, &configuration("edge"));
    assert!(edge.update(b"{ not json"), "Envoy is never told no");
    let stream = edge.request(0, ordinary([("cookie", "gray=1")]));
    assert_eq!(tag(&stream).as_deref(), Some("gray"));
    proxy.advance(Duration::from_secs(1));
    assert_eq!(proxy.metric("canaryctl.config.rejected"), Some(2));
}

#[test]
fn lanes_come_and_go_without_a_stream_noticing() {
    let proxy = Proxy::load(filter(), 1);
    let outbound = plugin(&proxy, &without_lanes("outbound"));
    let inbound = plugin(&proxy, &configuration("inbound"));
    let _flow = inbound.request(
        0,
        ordinary([
            ("x-canary-lane", "gray"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ]),
    );
    let of_app = || ordinary([("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]);
    assert_eq!(tag(&outbound.request(0, of_app())), None);
    assert!(outbound.update(configuration("outbound").to_string().as_bytes()));
    assert_eq!(tag(&outbound.request(0, of_app())).as_deref(), Some("gray"));
    assert!(outbound.update(without_lanes("outbound").to_string().as_bytes()));
    assert_eq!(tag(&outbound.request(0, of_app())), None);
    proxy.assert_sound();
}

#[test]
fn a_configuration_of_a_newer_writer_is_refused_whole_and_unknown_fields_are_not() {
    let proxy = Proxy::load(filter(), 1);
    let mut newer = configuration("edge");
    newer["version"] = json!(2);
    let mut longer = configuration("edge");
    longer["fieldOfTomorrow"] = json!({"a": [1]});
    let lane_of = |configuration: &Value, name: &str| {
        let spec = PluginSpec::new(configuration.to_string().as_bytes()).named(name);
        tag(&proxy.install(spec).request(0, ordinary([("cookie", "gray=1")])))
    };
    assert_eq!(lane_of(&newer, "newer"), None);
    assert_eq!(lane_of(&longer, "longer").as_deref(), Some("gray"));
}
