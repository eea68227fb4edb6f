//! What scripts rely on: exit codes, and what goes to which stream.

use std::process::{Command, Output};

fn canaryctl(args: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
    command.current_dir(root).args(args).env_remove("CANARY_ENVOY").env("PATH", "/nonexistent");
    command.output().expect("canaryctl runs")
}

#[track_caller]
fn check_failure(args: &[&str], code: i32, wanted: &[&str]) {
    let output = canaryctl(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(
        output.stdout.is_empty(),
        "standard output is for results: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    for text in wanted {
        assert!(stderr.contains(text), "`{text}` is not in:\n{stderr}");
    }
}

fn explain(args: &[&str]) -> serde_json::Value {
    let mut all = vec!["explain", "-f", "docs/examples/lanes.yaml", "-o", "json", "--url"];
    all.extend(args);
    let output = canaryctl(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_missing_file_is_named() {
    check_failure(&["rules", "check", "-f", "nowhere.yaml"], 1, &["cannot read nowhere.yaml", "help:"]);
}

#[test]
fn faulty_documents_have_an_exit_code_of_their_own() {
    check_failure(&["rules", "check", "-f", "docs/examples/broken.yaml"], 3, &["did you mean `prefix`?"]);
}

#[test]
fn a_wrong_verb_is_wrong_usage() {
    check_failure(&["explian"], 2, &["similar subcommand exists: 'explain'"]);
}

#[test]
fn a_header_without_colon_is_wrong_usage() {
    let args = ["explain", "-f", "docs/examples/lanes.yaml", "--url", "http://a.test/", "-H", "cookie"];
    check_failure(&args, 2, &["there is no `:`", "-H 'cookie: gray=1'"]);
}

#[test]
fn a_url_without_host_is_wrong_usage() {
    check_failure(
        &["explain", "-f", "docs/examples/lanes.yaml", "--url", "/cart"],
        2,
        &["no scheme or no host"],
    );
}

#[test]
fn a_demo_without_envoy_says_how_to_get_one() {
    check_failure(&["demo"], 1, &["help:"]);
    check_failure(&["demo", "--envoy", "/nonexistent/envoy"], 1, &["help:"]);
}

#[test]
fn a_demo_with_faulty_lanes_starts_nothing() {
    check_failure(&["demo", "--lanes", "docs/examples/broken.yaml"], 3, &["broken.yaml:9:16"]);
}

#[test]
fn explain_names_lane_rule_and_changes() {
    let report = explain(&["http://shop.test/cart?x=1", "-H", "cookie: gray=1"]);
    assert_eq!(report["lane"], "gray");
    assert_eq!(report["rule"]["number"], 1);
    assert_eq!(report["set_headers"]["x-canary-lane"], "gray");
    assert_eq!(report["set_headers"]["baggage"], "canary-lane=gray");
    assert!(report["set_cookies"][0].as_str().is_some_and(|cookie| cookie.starts_with("canary-lane=gray~")));
}

#[test]
fn explain_of_a_forged_tag_removes_it() {
    let report = explain(&["http://shop.test/", "-H", "x-canary-lane: gray", "-H", "x-user-id: nobody"]);
    assert_eq!(report["lane"], serde_json::Value::Null);
    assert_eq!(report["rule"], serde_json::Value::Null);
    assert_eq!(report["remove_headers"], serde_json::json!(["x-canary-lane"]));
}

#[test]
fn explain_gives_the_same_answer_to_the_same_request() {
    assert_eq!(
        explain(&["http://shop.test/", "--at", "2026-01-01T00:00:00Z"]),
        explain(&["http://shop.test/", "--at", "2026-01-01T00:00:00Z"])
    );
}

#[test]
fn standard_input_and_several_files_work_together() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
    command.current_dir(root).args(["rules", "check", "-f", "-", "-f", "docs/examples/lanes.yaml"]);
    let other = "apiVersion: canaryctl.io/v1alpha1\nkind: Lane\nmetadata: {name: other}\nspec: {rules: [{percent: 1}], layer: other}\n";
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), other.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("ends");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("3 lanes, 5 rules: other, gray, dev-alice"));
}

#[test]
fn users_are_named_one_by_one_and_in_a_list() {
    let list = "docs/examples/testers.txt";
    let args = ["enable", "--user-id", "carol", "--user-list", list, "--dry-run", "-o", "json"];
    let output = canaryctl(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lane: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let when = serde_json::json!({"header": {"name": "x-user-id", "in": ["carol", "alice", "bob"]}});
    assert_eq!(lane["spec"]["rules"], serde_json::json!([{"name": "users", "when": when}]));
}

#[test]
fn faults_of_a_list_of_users_have_their_place() {
    let list = "docs/examples/broken-testers.txt";
    check_failure(
        &["enable", "--user-list", list, "--user-key", "cookie:u"],
        3,
        &["broken-testers.txt:2: `bob"],
    );
    check_failure(&["enable", "--user-list", "nowhere.txt"], 1, &["cannot read nowhere.txt", "help:"]);
    check_failure(&["enable", "--user-id", "a", "--user-key", "sub"], 2, &["wanted header:NAME"]);
    check_failure(&["enable", "--user-key", "claim:sub"], 2, &["but no user", "--user-list"]);
    check_failure(
        &["enable", "--user-id", "a", "-f", "docs/examples/lanes.yaml"],
        2,
        &["cannot be used with"],
    );
}

/// Filters by digest, as `filter push` prints them.
fn filters() -> [String; 4] {
    let url = |build: &str| format!("oci://registry.example/{build}@sha256:{}", "ab".repeat(32));
    ["--filter".into(), url("filter"), "--sidecar-filter".into(), url("sidecar")]
}

#[test]
fn an_installation_is_written_as_manifests_without_asking_a_cluster() {
    let filters = filters();
    let mut args = vec!["install", "--print", "manifests", "--image", "registry.example/canaryctl:1"];
    args.extend(filters.iter().map(String::as_str));
    let output = canaryctl(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    for wanted in
        ["kind: WasmPlugin", "image: registry.example/canaryctl:1", "oci://registry.example/filter@sha256:ab"]
    {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    assert!(!text.contains("kind: Secret") && !text.contains("name: canaryctl-filter\n"), "{text}");
}

#[test]
fn a_chart_has_the_flags_as_its_values() {
    let directory = tempfile::tempdir().expect("a directory");
    let filters = filters();
    let path = directory.path().to_str().expect("text");
    let mut args = vec!["install", "--print", "helm", "-o", path, "--gateway", "edge/app=gw"];
    args.extend(["--namespaces", "shop,pay", "--filter-pull-secret", "pull"]);
    args.extend(filters.iter().map(String::as_str));
    let output = canaryctl(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("helm upgrade --install canaryctl"));
    let values = std::fs::read_to_string(directory.path().join("values.yaml")).expect("values");
    for wanted in [
        "image: \"\"",
        "namespaces: [\"shop\",\"pay\"]",
        "- {\"namespace\":\"edge\",\"labels\":{\"app\":\"gw\"}}",
        "url: \"oci://registry.example/sidecar@sha256:ab",
        "pullSecret: \"pull\"",
    ] {
        assert!(values.contains(wanted), "{wanted} is not in:\n{values}");
    }
}

#[test]
fn keys_are_printed_apart_and_never_twice_the_same() {
    let keys = || String::from_utf8(canaryctl(&["install", "--print", "keys"]).stdout).expect("text");
    assert!(keys().contains("kind: Secret"));
    assert_ne!(keys(), keys());
}

#[test]
fn what_cannot_be_written_says_what_to_add() {
    check_failure(&["install", "--print", "manifests"], 2, &["no image", "canaryctl image push"]);
    check_failure(&["install", "--print", "helm"], 2, &["several files", "-o DIR"]);
    check_failure(&["install", "-o", "x"], 2, &["--print"]);
}

#[test]
fn a_verb_shows_the_flags_of_a_cluster_if_it_asks_one() {
    for (verb, asks) in [
        ("status", true),
        ("lanes describe", true),
        ("version", true),
        ("filter push", false),
        ("image save", false),
        ("explain", true),
        ("rules check", false),
    ] {
        let args: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let help = String::from_utf8(canaryctl(&args).stdout).expect("text");
        assert_eq!(help.contains("--kubeconfig"), asks, "{verb}");
    }
}

#[test]
fn every_verb_has_a_manual_page_and_help_has_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = canaryctl(&["man", "-o", directory.path().to_str().expect("text")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pages: Vec<String> = std::fs::read_dir(&directory)
        .expect("a directory")
        .map(|page| page.expect("a page").file_name().into_string().expect("text"))
        .collect();
    for page in ["canaryctl.1", "canaryctl-status.1", "canaryctl-filter-push.1"] {
        assert!(pages.iter().any(|written| written == page), "{page} is not in {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
}
