//! What verbs make of API servers and registries, stood in for by servers on this machine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use canaryctl::oci::Image;
use http::StatusCode;
use http::request::Parts;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A server on this machine that answers so for as long as the test runs.
fn serve(answer: impl Fn(&Parts, Bytes) -> Response + Clone + Send + Sync + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("a socket");
    let router = Router::new().fallback(move |request: Request| async move {
        let (parts, body) = request.into_parts();
        answer(&parts, to_bytes(body, usize::MAX).await.expect("a body"))
    });
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, router).await.expect("served");
        });
    });
    address
}

fn answer(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).expect("an answer")
}

/// Runs canaryctl as one whose home this is, with docker's helpers of `tests/docker`.
fn canaryctl(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
    let helpers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker");
    command.args(args).env_clear().env("HOME", home).env("PATH", helpers);
    command.output().expect("canaryctl runs")
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_server_that_is_named_needs_no_kubeconfig() {
    let address = serve(|request, _| match request.uri.path() {
        "/version" => {
            let fields = ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate"];
            let fields = fields.into_iter().chain(["goVersion", "compiler", "platform"]);
            let version: serde_json::Map<_, _> =
                fields.map(|field| (field.into(), "v1.34.0".into())).collect();
            answer(200, serde_json::Value::Object(version).to_string())
        }
        "/api/v1/pods" => answer(200, json!({"metadata": {}, "items": []}).to_string()),
        _ => answer(404, json!({"status": "Failure", "code": 404, "reason": "NotFound"}).to_string()),
    });
    for server in [format!("http://{address}"), address.to_string()] {
        let output = canaryctl(home().path(), &["version", "--server", &server]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("Kubernetes  v1.34.0"), "{server}: {text}");
    }
}

/// Asks a registry that has nothing, with this as docker's configuration.
#[track_caller]
fn check_docker(config: &str, wanted: &[&str]) {
    let home = home();
    std::fs::create_dir(home.path().join(".docker")).expect("a directory");
    let registry = serve(|_, _| answer(404, "")).to_string();
    let config = config.replace("REGISTRY", &registry);
    std::fs::write(home.path().join(".docker/config.json"), config).expect("written");
    check_failure(&canaryctl(home.path(), &["filter", "inspect", &format!("{registry}/filter:1")]), wanted);
}

#[track_caller]
fn check_failure(output: &Output, wanted: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for text in wanted {
        assert!(stderr.contains(text), "`{text}` is not in:\n{stderr}");
    }
}

#[test]
fn who_is_unknown_to_docker_is_nobody() {
    for config in [
        "{}",
        r#"{"auths": {"other.example": {"auth": "YTpi"}}}"#,
        r#"{"credsStore": "empty"}"#,
        r#"{"credHelpers": {"REGISTRY": "empty"}}"#,
    ] {
        check_docker(config, &["the registry has no such image"]);
    }
}

#[test]
fn what_is_wrong_with_dockers_configuration_is_said() {
    check_docker("{", &["/.docker/config.json: EOF while parsing", "help:  mend it"]);
    check_docker(r#"{"auths": 1}"#, &["/.docker/config.json: it is JSON, but not as docker writes it"]);
    check_docker(
        r#"{"credsStore": "locked"}"#,
        &[
            "docker-credential-locked does not give credentials for 127.0.0.1",
            ": it is locked\n",
            "--username NAME",
        ],
    );
    check_docker(r#"{"credsStore": "absent"}"#, &["Unable to communicate with credential helper"]);
}

/// Inspects an image of a registry that answers so to everything.
#[track_caller]
fn check_inspect(image: &str, status: u16, body: &'static str, wanted: &[&str]) {
    let registry = serve(move |_, _| answer(status, body));
    check_failure(&canaryctl(home().path(), &["filter", "inspect", &format!("{registry}/{image}")]), wanted);
}

#[test]
fn what_a_registry_does_not_have_is_said() {
    let of = |status, body, wanted: &[&str]| check_inspect("filter:1", status, body, wanted);
    of(
        404,
        "",
        &["/filter:1 is not there: the registry has no such image", "help:  check its tag or digest"],
    );
    of(404, r#"{"errors": [{"code": "MANIFEST_UNKNOWN"}]}"#, &["no such image"]);
    of(404, r#"{"errors": [{"code": "NAME_UNKNOWN"}]}"#, &["no such repository", "help:  check its name"]);
}

#[test]
fn who_is_not_let_in_is_told_how_to_say_who_they_are() {
    for body in ["", r#"{"errors": [{"code": "UNAUTHORIZED"}]}"#, r#"{"errors": [{"code": "DENIED"}]}"#] {
        for status in [401, 403] {
            check_inspect(
                "filter:1",
                status,
                body,
                &["does not let you in", "help:  docker login 127.0.0.1:"],
            );
        }
    }
    let denied = r#"{"errors": [{"code": "DENIED"}]}"#;
    check_inspect("filter:1", 400, denied, &["does not let you in", "help:  docker login 127.0.0.1:"]);
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let image = format!("filter@sha256:{}", "0".repeat(64));
    check_inspect(&image, 200, "{}", &["is not what its digest says: wanted sha256:00", "do not use it"]);
}

#[test]
fn only_one_who_reaches_no_registry_is_asked_about_tls() {
    check_inspect(
        "filter:1",
        500,
        "",
        &["does not give", "help:  try again later, or ask who runs 127.0.0.1:"],
    );
    let output = canaryctl(home().path(), &["filter", "inspect", "127.0.0.1:1/filter:1"]);
    check_failure(&output, &["cannot reach registry 127.0.0.1:1", "Connection refused", "--plain-http"]);
}

/// A registry of these contents, by tag or digest.
fn registry_of<const N: usize>(contents: [(String, Vec<u8>); N]) -> SocketAddr {
    let contents = HashMap::from(contents);
    serve(move |request, _| {
        let name = request.uri.path().rsplit('/').next().unwrap_or_default();
        answer(200, contents.get(name).cloned().unwrap_or_default())
    })
}

fn digest(content: &[u8]) -> String {
    let hex = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256:{hex}")
}

/// Inspects an index, by its digest, of one image that is for machines of this kind.
fn inspect_index(architecture: &str) -> (String, Output) {
    let image = Image::of_filter(b"\0asm").expect("an image");
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.digest(),
            "size": image.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture},
        }],
    });
    let index = index.to_string().into_bytes();
    let by_digest = |content: Vec<u8>| (digest(&content), content);
    let registry =
        registry_of([&index, &image.manifest, &image.layer].map(|content| by_digest(content.clone())));
    let wanted = digest(&index);
    let output = canaryctl(home().path(), &["filter", "inspect", &format!("{registry}/filter@{wanted}")]);
    (wanted, output)
}

#[test]
fn a_layer_that_is_not_what_the_manifest_says_is_refused() {
    let image = Image::of_filter(b"\0asm").expect("an image");
    let registry = registry_of([("1".into(), image.manifest), (digest(&image.layer), b"other".into())]);
    let output = canaryctl(home().path(), &["filter", "inspect", &format!("{registry}/filter:1")]);
    check_failure(&output, &["is not what its digest says: wanted sha256:", "do not use it"]);
}

#[test]
fn an_index_is_said_to_be_one() {
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let (digest, output) = inspect_index(here);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains(&format!("  index    {digest}, of several images")), "{stdout}{stderr}");
    let (_, output) = inspect_index("another");
    check_failure(
        &output,
        &["is an index of several images, none of them for this machine", "by its digest"],
    );
}

/// A registry that keeps what is pushed, after this was done to its manifests.
fn registry(changed: fn(Bytes) -> Bytes) -> SocketAddr {
    let kept = Arc::new(Mutex::new(HashMap::<String, Bytes>::new()));
    serve(move |request, body| {
        let path = request.uri.path();
        let at = |location: &str| [("location", location.to_owned())];
        match request.method.as_str() {
            "POST" => (StatusCode::ACCEPTED, at(&format!("{path}1"))).into_response(),
            "PUT" => {
                let content = if path.contains("/manifests/") { changed(body) } else { body };
                kept.lock().expect("no panic").insert(path.into(), content);
                (StatusCode::CREATED, at(path)).into_response()
            }
            _ if path == "/v2/" => answer(200, ""),
            _ => match kept.lock().expect("no panic").get(path) {
                Some(content) => answer(200, content.clone()),
                None => answer(404, ""),
            },
        }
    })
}

/// A file that is a static program as far as its header goes.
fn program(directory: &Path) -> String {
    let mut elf = [0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (elf[16], elf[18], elf[20], elf[52], elf[54]) = (2, 62, 1, 64, 56);
    let file = directory.join("program");
    std::fs::write(&file, elf).expect("written");
    file.to_str().expect("text").into()
}

#[test]
fn an_image_has_the_same_digest_pushed_and_saved() {
    let home = home();
    let (program, archive) = (program(home.path()), home.path().join("archive").display().to_string());
    let image = format!("{}/canaryctl:1", registry(|manifest| manifest));
    let pushed = canaryctl(home.path(), &["image", "push", &image, "--binary", &program]);
    let saved = canaryctl(home.path(), &["image", "save", &image, "--binary", &program, "-o", &archive]);
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let mut archive = tar::Archive::new(std::fs::File::open(archive).expect("an archive"));
    let index = archive
        .entries()
        .expect("a tar")
        .map(|entry| entry.expect("an entry"))
        .find(|entry| entry.path().expect("a path").ends_with("index.json"))
        .expect("an index");
    let index: serde_json::Value = serde_json::from_reader(index).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    let (stdout, stderr) = (String::from_utf8_lossy(&pushed.stdout), String::from_utf8_lossy(&pushed.stderr));
    assert!(stdout.contains(&format!("/canaryctl@{digest}  ")), "{digest} is not in {stdout}{stderr}");
}

#[test]
fn a_registry_that_keeps_something_else_than_was_pushed_is_not_believed() {
    let home = home();
    let image = format!("{}/canaryctl:1", registry(|manifest| [&manifest[..], b"\n"].concat().into()));
    let pushed = canaryctl(home.path(), &["image", "push", &image, "--binary", &program(home.path())]);
    check_failure(&pushed, &["is not what its digest says: wanted sha256:"]);
}

#[test]
fn a_digest_is_nothing_to_push_to() {
    let digest = format!("sha256:{}", "0".repeat(64));
    for (args, wanted) in [
        (
            ["filter", "push", "r.example/mesh/filter"].as_slice(),
            "name a tag instead: r.example/mesh/filter:TAG",
        ),
        (&["image", "push", "oci://r.example/canaryctl:1"], "name a tag instead: r.example/canaryctl:1"),
        (
            &["image", "save", "-o", "archive", "r.example/canaryctl"],
            "name a tag instead: r.example/canaryctl:TAG",
        ),
    ] {
        let image = format!("{}@{digest}", args.last().expect("an image"));
        let output = canaryctl(home().path(), &[&args[..args.len() - 1], &[&image]].concat());
        assert_eq!(output.status.code(), Some(2));
        check_failure(&output, &["a digest is what a push results in", wanted]);
    }
}
