//! `canaryctl demo` on real Envoys: what README shows is what happens.
//!
//! Needs an Envoy (`CANARY_ENVOY`) and the built filter (`CANARY_FILTER`); `cargo xtask test` gives both.

use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn demo(args: &[&str]) -> Output {
    let needed = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test unit`"))
    };
    let (envoy, filter) = (needed("CANARY_ENVOY"), needed("CANARY_FILTER"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
    command.args(["demo", "--envoy", &envoy, "--filter", &filter, "--users", "200", "--requests", "400"]);
    command.args(args).output().expect("canaryctl runs")
}

#[track_caller]
fn succeeded(output: &Output) -> &str {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    std::str::from_utf8(&output.stdout).expect("text")
}

/// Per hop: instance, tag, and where the proxy before it found the tag.
fn hops(flow: &Value) -> Vec<(&str, Option<&str>, &str)> {
    let hops = flow["hops"].as_array().expect("a list");
    hops.iter()
        .map(|hop| {
            (
                hop["instance"].as_str().expect("text"),
                hop["tag"].as_str(),
                hop["origin"].as_str().expect("text"),
            )
        })
        .collect()
}

#[test]
fn a_gray_flow_stays_gray_where_every_application_drops_the_header() {
    let output = demo(&["--port", "0", "-o", "json"]);
    let report: Value = serde_json::from_str(succeeded(&output)).expect("JSON");
    let gray = &report["flows"][1];
    assert_eq!(gray["lane"], "gray");
    let tag = Some("gray");
    let wanted = [
        ("web-v2", tag, "gateway"),
        ("cart-v1", tag, "baggage"),
        ("stock-v2", tag, "traceparent"),
        ("price-v2", tag, "x-request-id"),
    ];
    assert_eq!(hops(gray), wanted);
    let forged = &report["flows"][3];
    assert_eq!((&forged["lane"], &forged["forged"]), (&Value::Null, &json!(true)));
    let mixed = &report["mixed"];
    assert_eq!((&mixed["wrong"], &mixed["lost"], &mixed["failed"]), (&json!(0), &json!(0), &json!(0)));
}

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("README.md");
    let shown = readme
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a block of output");
    let output = demo(&["--port", "0"]);
    let printed = succeeded(&output);
    let printed: Vec<String> = printed.lines().map(lasting).collect();
    let shown: Vec<String> = shown.lines().map(lasting).collect();
    let flows = |lines: &[String]| {
        let start = lines.iter().position(|line| line.starts_with("lanes")).expect("the lanes");
        lines.iter().skip(start).filter(|line| !line.starts_with('#')).cloned().collect::<Vec<_>>()
    };
    let (printed, shown) = (flows(&printed), flows(&shown));
    for (printed, shown) in printed.iter().zip(&shown) {
        assert_eq!(printed, shown, "README.md shows something else than the demo prints");
    }
}

/// A line without what differs from run to run: the lines that count and time are cut to a mark.
fn lasting(line: &str) -> String {
    let counts = ["users, twice", "none, mixed"].iter().any(|mark| line.contains(mark));
    if counts { "#".into() } else { line.trim_end().into() }
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = demo(&["--port", &port]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&port) && stderr.contains("--port 0"), "{stderr}");
}

#[test]
fn lanes_of_ones_own_are_shown_by_the_same_demo() {
    let output = demo(&[
        "--port",
        "0",
        "-o",
        "json",
        "--lanes",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/lanes.yaml"),
    ]);
    let report: Value = serde_json::from_str(succeeded(&output)).expect("JSON");
    assert_eq!(report["lanes"][0]["name"], "gray");
    assert_eq!(report["flows"][1]["lane"], "gray");
}
