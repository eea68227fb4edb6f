//! `canaryctl trace` on the demo's mesh of real Envoys: what the documents show is what it prints.
//!
//! Needs an Envoy (`CANARY_ENVOY`) and the built filter (`CANARY_FILTER`); `cargo xtask test` gives both.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A demo that stays, ended with the test.
struct Demo {
    process: Child,
    url: String,
}

impl Demo {
    fn start() -> Self {
        let needed = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test unit`"))
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
        command.args(["demo", "--keep", "--port", "0", "--users", "50", "--requests", "50"]);
        command.args(["--envoy", &needed("CANARY_ENVOY"), "--filter", &needed("CANARY_FILTER")]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("canaryctl runs");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let why = lines.map(|line| line.expect("text")).find(|line| line.starts_with("Why:"));
        let why = why.expect("a demo that stays says how to trace");
        let url = why.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
        Self { process, url: url.replace("/cart", "").replace("127.0.0.1", "localhost") }
    }

    fn trace(&self, path: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
        command.arg("trace").arg(format!("{}{path}", self.url)).args(args).output().expect("canaryctl runs")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // As by Ctrl-C, so that it removes what it has written.
        let id = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without what differs from run to run: ports, times, and the room that these take.
fn lasting(text: &str) -> Vec<String> {
    let word = |word: &str| match word.parse::<f64>() {
        Ok(_) => "#".to_owned(),
        Err(_) if word.starts_with("http://") => word.split('/').skip(3).collect::<Vec<_>>().join("/"),
        Err(_) => word.to_owned(),
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.trim().lines().map(line).collect()
}

#[test]
fn traces_of_the_demo_are_as_documented() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/trace.md"));
    let document = document.expect("docs/trace.md");
    let blocks = document.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks: Vec<&str> = blocks.filter(|block| block.starts_with("$ canaryctl trace ")).collect();
    let demo = Demo::start();
    let cases = [("/cart", 0), ("/cart?forward=nothing", 3)];
    assert_eq!(blocks.len(), cases.len());
    for (block, (path, code)) in blocks.into_iter().zip(cases) {
        let (command, shown) = block.split_once('\n').expect("a command and its output");
        assert!(command.contains(path) && command.contains("--cookie gray=1"), "{command}");
        let output = demo.trace(path, &["--cookie", "gray=1"]);
        assert_eq!(lasting(&text(&output.stdout)), lasting(shown), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(code));
    }

    // A user whom no percentage covers: a new one is drawn into the lane now and then.
    let output = demo.trace("/cart", &["--cookie", "canary-uid=outsider0", "-o", "json"]);
    let traced: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&traced["lane"], &traced["status"]), (&Value::Null, &200.into()));
    assert_eq!(traced["hops"][0]["calls"][0]["name"], "web-v1");
    assert_eq!(traced["culprits"], Value::Array(Vec::new()));
}

#[test]
fn where_no_mesh_is_the_next_command_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
    command.env("KUBECONFIG", "/nowhere").args(["trace", "http://127.0.0.1:1/"]);
    let output = command.output().expect("canaryctl runs");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("127.0.0.1:1") && stderr.contains("canaryctl demo --keep"), "{stderr}");
}
