use std::path::Path;

use super::*;

/// The file in the repository, for people who apply manifests themselves.
fn published() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds/canaryctl.io_lanes.yaml")
}

#[test]
fn the_published_definition_is_the_one_that_is_installed() {
    let text = serde_saphyr::to_string(&lane()).expect("YAML");
    if std::env::var_os("CANARY_UPDATE").is_some() {
        std::fs::write(published(), &text).expect("written");
    }
    let there: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(published()).expect("a file")).expect("YAML");
    assert_eq!(there, lane(), "write it anew: CANARY_UPDATE=1 cargo test -p canaryctl crd");
}

#[test]
fn nothing_in_it_is_forbidden_in_structural_schemas() {
    fn walk(value: &Value, at: &str) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            let is_name = at.ends_with("properties");
            assert!(
                is_name || !["$ref", "$defs", "const", "default", "title"].contains(&key.as_str()),
                "{at}.{key}"
            );
            assert!(is_name || key != "additionalProperties" || inner.is_object(), "{at}.{key}");
            walk(inner, &format!("{at}.{key}"));
        }
        for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
            walk(inner, &format!("{at}[{index}]"));
        }
    }
    walk(&schema(), "");
}

#[test]
fn it_is_small_enough_for_kubectl_apply() {
    let bytes = serde_json::to_vec(&lane()).expect("JSON").len();
    // What kubectl notes in an annotation may have 256 KiB.
    assert!(bytes < 200_000, "{bytes} bytes");
}
