//! The Tab key in a real bash, beside an API server that knows some names.

use std::path::Path;
use std::process::Command;

use axum::extract::Request;
use axum::{Json, Router};
use serde_json::{Value, json};

/// Answers lists of metadata; the path says of what.
async fn serve() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("http://{address}")
}

async fn answer(request: Request) -> Json<Value> {
    let ours = "/apis/canaryctl.io/v1alpha1";
    let path = request.uri().path();
    let names: &[&str] = match path.strip_prefix(ours).unwrap_or(path) {
        "/lanes" => &["gray", "green", "dev-alice"],
        "/releases" => &["r-1", "r-2"],
        "/namespaces/shop/takeovers" => &["cart-dev-alice"],
        "/api/v1/namespaces/shop/services" => &["cart", "stock"],
        "/api/v1/namespaces" => &["shop", "default"],
        _ => &[],
    };
    let items: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name},
            })
        })
        .collect();
    Json(json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {}, "items": items,
    }))
}

/// What bash offers at the end of a line.
fn offered(line: &str) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_canaryctl"));
    let folder = program.parent().expect("a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    // What bash itself does at the Tab key.
    let script = r#"
        source <(canaryctl completion bash)
        read -r -a COMP_WORDS <<< "$LINE"
        [[ $LINE == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        COMP_TYPE=9
        _clap_complete_canaryctl canaryctl "${COMP_WORDS[COMP_CWORD]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let ran = Command::new("bash")
        .args(["-c", script])
        .env("PATH", path)
        .env("LINE", line)
        .env("KUBECONFIG", "/nonexistent")
        .output()
        .expect("bash runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text").split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_the_clusters_that_the_line_means() {
    let server = serve().await;
    let check = async |line: &str, expected: &[&str]| {
        let line = line.replace("canaryctl ", &format!("canaryctl -s {server} "));
        let found = tokio::task::spawn_blocking(move || offered(&line)).await.expect("it ends");
        let names: Vec<&String> = found.iter().filter(|word| !word.starts_with('-')).collect();
        assert_eq!(names, expected);
    };
    check("canaryctl disable ", &["gray", "green", "dev-alice"]).await;
    check("canaryctl lanes describe gr", &["gray", "green"]).await;
    check("canaryctl release promote ", &["r-1", "r-2"]).await;
    check("canaryctl -n shop dev stop c", &["cart-dev-alice"]).await;
    check("canaryctl mesh -n shop s", &["stock"]).await;
    check("canaryctl status --namespace sh", &["shop"]).await;
}

#[test]
fn verbs_and_flags_need_no_cluster() {
    assert_eq!(offered("canaryctl rel"), ["release"]);
    assert_eq!(offered("canaryctl uninstall --pur"), ["--purge"]);
}

#[test]
fn a_cluster_that_is_not_there_offers_nothing() {
    assert!(offered("canaryctl -s http://127.0.0.1:1 disable gr").is_empty());
}
