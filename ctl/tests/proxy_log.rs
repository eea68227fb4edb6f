//! What `doctor` reads in a proxy's log, as a real Envoy writes it. `CANARY_ENVOY` names the Envoy.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use canaryctl::doctor::Log;
use serde_json::json;

/// How long Envoy may take to start, and to write what it has seen.
const WITHIN: Duration = Duration::from_secs(30);
/// As Istio's agent gives it to Envoy.
const FORMAT: &str = "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t";
/// The beginning of what Istio has access logs look like by default.
const ACCESS: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
                      %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \
                      %CONNECTION_TERMINATION_DETAILS% \"%REQ(USER-AGENT)%\"\n";
/// A module that ends with its first request.
const MODULE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#;

struct Envoy(Child);

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An Envoy that answers by itself, with the module before that, and tells both logs apart by nothing, as Istio's do.
fn start(folder: &Path) -> Envoy {
    let module = folder.join("module.wasm");
    fs::write(&module, wat::parse_str(MODULE).expect("a module")).expect("written");
    let wasm = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "failure_policy": "FAIL_OPEN",
            "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}},
        },
    });
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "http_filters": [{"name": "wasm", "typed_config": wasm}, {"name": "router", "typed_config": router}],
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
        }]},
        "access_log": [{"name": "stdout", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": ACCESS}},
        }}],
    });
    let listener = json!({
        "name": "test", "address": {"pipe": {"path": folder.join("envoy.sock")}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    });
    let bootstrap = json!({"static_resources": {"listeners": [listener]}}).to_string();
    let envoy = std::env::var("CANARY_ENVOY").expect("CANARY_ENVOY is not set: run `cargo xtask test unit`");
    let log = fs::File::create(folder.join("log")).expect("a file");
    let mut command = Command::new(envoy);
    command.args(["--config-yaml", &bootstrap, "--log-format", FORMAT, "--concurrency", "1"]);
    command.args(["--use-dynamic-base-id", "--log-level", "warning"]);
    command.stdout(log.try_clone().expect("a file")).stderr(log).stdin(Stdio::null());
    Envoy(command.spawn().expect("Envoy runs"))
}

/// Sends a request and reads until the connection is closed.
fn send(folder: &Path, request: &str) -> String {
    let deadline = Instant::now() + WITHIN;
    let mut connection = loop {
        match UnixStream::connect(folder.join("envoy.sock")) {
            Ok(connection) => break connection,
            Err(error) => assert!(Instant::now() < deadline, "{error}: {}", written(folder)),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    connection.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

fn written(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).expect("a log")
}

#[test]
fn old_requests_and_dead_modules_are_read_as_envoy_writes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let _envoy = start(folder);
    let refused = send(folder, "GET /old HTTP/1.0\r\nhost: web\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 426 "), "{refused}");
    let forged = "x\terror\tenvoy wasm\tFunction: proxy_on_tick failed: x\" 426 - low_version";
    let request =
        format!("GET /new HTTP/1.1\r\nhost: web\r\nuser-agent: {forged}\r\nconnection: close\r\n\r\n");
    let answered = send(folder, &request);
    assert!(answered.starts_with("HTTP/1.1 "), "{answered}");

    let deadline = Instant::now() + WITHIN;
    let log = loop {
        // As the kubelet keeps it: the moment before each line.
        let log = written(folder);
        let stamped: String = log.lines().map(|line| format!("2026-11-27T10:00:00Z {line}\n")).collect();
        if log.contains("/new") && log.contains("RuntimeError") {
            break Log::read(&stamped);
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let old = log.refused_http10.expect("a request that was refused");
    // The format is cut off before the sender.
    assert_eq!((old.count, old.says.as_str()), (1, "somebody"));
    let fault = log.faults.expect("a module that ended");
    assert_eq!(fault.count, 1, "{}", fault.says);
    let says = "Function: proxy_on_request_headers failed: Uncaught RuntimeError: unreachable";
    assert_eq!(fault.says, says);
}
