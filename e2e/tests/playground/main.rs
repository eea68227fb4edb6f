//! The built playground, in Node, says what `canaryctl explain -o json` says: on generated lanes and requests.
//!
//! `CANARY_PLAYGROUND` names the playground's folder, `CANARY_CTL` the binary, `CANARY_NODE` the Node.

mod generate;

use std::io::Write as _;
use std::process::{Command, Stdio};

use canary_rules::document::{self, Source};
use canary_rules::inquiry::{self, Report, Request};
use serde_json::{Value, json};

use generate::Case;

/// How many cases are decided in both.
const CASES: usize = 1_500;
/// How many of them the binary itself explains: each is a process.
const BY_THE_BINARY: usize = 25;
/// The second at which all requests come.
const NOW_UNIX_S: u64 = 1_800_000_000;
/// The same, as the binary takes it.
const NOW: &str = "2027-01-15T08:00:00Z";

fn needed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test node`"))
}

impl Case {
    /// As the script takes it.
    fn question(&self, config: &str) -> Value {
        json!({
            "config": config, "method": self.method, "url": self.url, "headers": self.headers, "client": self.client,
            "now": NOW_UNIX_S,
        })
    }
}

/// What the native code says, and the configuration that it was asked with.
fn natively(case: &Case) -> (String, Value) {
    let source = Source { name: "lanes.yaml".into(), text: case.documents.clone() };
    let documents =
        document::read(&[source]).unwrap_or_else(|faults| panic!("{faults:?}\n{}", case.documents));
    let config = inquiry::config(&documents, 0).expect("a configuration");
    let text = config.to_json();
    let headers = case.headers.iter().map(String::as_str);
    let request = Request::new(case.method, &case.url, headers).expect("a request");
    let edge = inquiry::edge(config).expect("an edge");
    let explanation = inquiry::ask(&edge, &request, case.client, NOW_UNIX_S);
    (text, serde_json::to_value(Report::new(&explanation)).expect("JSON"))
}

/// What the playground says to these.
fn in_node(cases: &[Value]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/playground/decide.mjs");
    let mut node = Command::new(needed("CANARY_NODE"))
        .args([script, &needed("CANARY_PLAYGROUND")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut stdin = node.stdin.take().expect("piped");
    let input = Value::from(cases).to_string();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = node.wait_with_output().expect("it ends");
    assert!(output.status.success(), "node ended with {}", output.status);
    writing.join().expect("it wrote").expect("all of it");
    serde_json::from_slice(&output.stdout).expect("answers")
}

#[test]
fn the_playground_decides_and_explains_as_the_native_rules_do() {
    let cases: Vec<Case> = generate::cases(CASES);
    let (asked, wanted): (Vec<Value>, Vec<Value>) = cases
        .iter()
        .map(|case| {
            let (config, report) = natively(case);
            (case.question(&config), report)
        })
        .unzip();
    let answers = in_node(&asked);
    assert_eq!(answers.len(), CASES);
    for ((case, wanted), answer) in cases.iter().zip(&wanted).zip(&answers) {
        // As text: the order of headers is part of what is said.
        assert_eq!(answer["report"].to_string(), wanted.to_string(), "{case:?}");
    }
    let in_lanes = wanted.iter().filter(|report| !report["lane"].is_null()).count();
    let by_share = wanted.iter().filter(|report| report["reason"].to_string().contains("from")).count();
    assert!((CASES / 5..CASES * 4 / 5).contains(&in_lanes), "the cases are lopsided: {in_lanes} in lanes");
    assert!(by_share > CASES / 50, "hardly any percentage decides: {by_share}");
}

#[test]
fn the_binary_prints_what_the_playground_says() {
    for case in generate::cases(BY_THE_BINARY) {
        let mut command = Command::new(needed("CANARY_CTL"));
        command.args([
            "explain",
            "-f",
            "-",
            "-o",
            "json",
            "--at",
            NOW,
            "-X",
            case.method,
            "--url",
            &case.url,
        ]);
        command.args(case.headers.iter().flat_map(|header| ["-H", header]));
        command.args(case.client.iter().flat_map(|client| ["--client", client]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("canaryctl runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(case.documents.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let (config, _) = natively(&case);
        let told = in_node(&[case.question(&config)]);
        assert_eq!(told[0]["report"], printed, "{case:?}");
    }
}
