//! Which build of the filter proxies run, by the digest that plugins pin: the module's, or that of its image.

use serde_json::Value;

use crate::filter;
use crate::oci::Image;

/// Whether a plugin's `spec` pins another module than all of these.
pub(super) fn is_another(spec: &Value, builds: &[&[u8]]) -> bool {
    let from_registry = spec["url"].as_str().is_some_and(|url| url.starts_with("oci://"));
    let is_pinned = |wasm: &&[u8]| match from_registry {
        // The same module is the same image wherever it was pushed from.
        true => Image::of_filter(wasm)
            .is_ok_and(|image| spec["sha256"] == image.digest().trim_start_matches("sha256:")),
        false => spec["sha256"] == filter::sha256(wasm),
    };
    spec["sha256"].is_string() && !builds.iter().any(is_pinned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: &[u8] = b"\0asm\x01\0\0\0";
    const OTHER: &[u8] = b"\0asm\x01\0\0\0\0\x02\x01x";

    #[track_caller]
    fn check(url: &str, sha256: &str, another: bool) {
        let spec = json!({"url": url, "sha256": sha256.trim_start_matches("sha256:")});
        assert_eq!(is_another(&spec, &[OWN]), another);
    }

    fn image(wasm: &[u8]) -> String {
        Image::of_filter(wasm).expect("an image").digest()
    }

    #[test]
    fn a_module_is_known_by_its_digest_wherever_it_is_served() {
        for url in ["http://canaryctl-filter.canaryctl-system:8080/a.wasm", "https://files.example/a.wasm"] {
            check(url, &filter::sha256(OWN), false);
            check(url, &filter::sha256(OTHER), true);
        }
    }

    #[test]
    fn an_image_is_known_by_its_own() {
        check("oci://registry.example/filter@sha256:1", &image(OWN), false);
        check("oci://registry.example/filter@sha256:1", &image(OTHER), true);
        check("oci://registry.example/filter@sha256:1", &filter::sha256(OWN), true);
    }

    #[test]
    fn what_is_not_pinned_says_nothing() {
        assert!(!is_another(&json!({"url": "http://f/x"}), &[OWN]));
    }
}
