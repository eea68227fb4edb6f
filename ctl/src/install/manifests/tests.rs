use std::path::{Path, PathBuf};
use std::time::Duration;

use canary_istio::plugins::{EdgeGateway, FilterSource, Presence};

use super::*;
use crate::install::helm;
use crate::names;
use crate::settings::Installation;

/// What is not decided in the repository: the API server refuses it as a digest, so that nobody applies it unread.
const OPEN: &str = "DIGEST";

fn plan(image: &str, sha256: &str) -> Plan {
    let source = || FilterSource {
        url: crate::install::served_url(names::NAMESPACE, sha256),
        sha256: sha256.into(),
        pull_secret: None,
    };
    let presence = Presence {
        root_namespace: names::ROOT_NAMESPACE.into(),
        edges: vec![EdgeGateway::ingress()],
        namespaces: Vec::new(),
        gateway_filter: source(),
        sidecar_filter: source(),
    };
    Plan {
        namespace: names::NAMESPACE.into(),
        image: image.into(),
        installation: Installation::new(presence),
        collect_after: Duration::from_secs(120),
        serves_filter: true,
        webhook: false,
    }
}

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

#[track_caller]
fn check_published(path: &str, text: &str) {
    let file = deploy(path);
    if std::env::var_os("CANARY_UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(&file, text).expect("written");
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "{path} is old: cargo xtask generate");
}

#[test]
fn the_published_manifests_are_what_is_installed() {
    let text = manifests(&plan("registry.example/canaryctl@sha256:DIGEST", OPEN)).expect("manifests");
    check_published("manifests/canaryctl.yaml", &text);
}

#[test]
fn the_published_chart_is_what_is_installed() {
    let chart = helm::chart(&plan("", "")).expect("a chart");
    for file in &chart {
        check_published(&format!("helm/canaryctl/{}", file.path), &file.text);
    }
    let templates = std::fs::read_dir(deploy("helm/canaryctl/templates")).expect("a directory").count();
    let ours = chart.iter().filter(|file| file.path.starts_with("templates/")).count();
    assert_eq!(templates, ours, "there is a template that nobody makes any more");
}

#[test]
fn neither_holds_keys_nor_what_plugins_are_told() {
    let plan = plan("x", OPEN);
    let chart = helm::chart(&plan).expect("a chart");
    let texts = chart.iter().map(|file| file.text.clone()).chain([manifests(&plan).expect("manifests")]);
    for text in texts {
        assert!(!text.contains("pluginConfig") && !text.contains("\"secret\":"), "{text}");
    }
    assert!(objects(&plan).expect("objects").iter().all(|object| object["kind"] != "Secret"));
}

#[test]
fn manifests_are_read_as_they_were_written() {
    let plan = plan("x", OPEN);
    let read: Vec<Value> = serde_saphyr::from_multiple(&manifests(&plan).expect("manifests")).expect("YAML");
    assert_eq!(read, objects(&plan).expect("objects"));
}
