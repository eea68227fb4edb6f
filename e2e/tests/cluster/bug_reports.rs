//! What is in a bug report, and what is not.

use std::path::Path;

use serde_json::Value;

use crate::cluster::Ran;
use crate::shop::{GRAY_SERVICES, Shop};

/// A user whom a lane names, and what a route of the user's asks for: nobody else's business.
const USER: &str = "alice-the-first";
const ASKED_FOR: &str = "a-secret-of-somebodys";
/// What a report always has, besides a log of each controller.
const FILES: [&str; 10] = [
    "check.json",
    "events.json",
    "istio.json",
    "lanes.json",
    "plugins.json",
    "releases.json",
    "settings.json",
    "status.json",
    "takeovers.json",
    "versions.json",
];

fn report(shop: &Shop, file: &Path, args: &[&str]) -> Ran {
    let file = file.to_str().expect("text");
    shop.cluster().canaryctl(&[&["bug-report", "-o", file], args].concat())
}

/// What is in a file of it.
#[track_caller]
fn part(shop: &Shop, file: &Path, name: &str) -> String {
    let file = file.to_str().expect("text");
    let inside = format!("canaryctl-bug-report/{name}");
    shop.cluster().run("tar", &["-xzOf", file, &inside], None).ok().stdout
}

pub(crate) async fn redacted(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let to = serde_json::json!([{"destination": {"host": "price"}}]);
    shop.cluster().apply(&[serde_json::json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "price", "namespace": shop.namespace()},
        "spec": {"hosts": ["price"], "http": [
            {"match": [{"headers": {"x-key": {"exact": ASKED_FOR}}}], "route": to}, {"route": to},
        ]},
    })]);
    shop.cluster().canaryctl(&["enable", "--cookie", &format!("user={USER}")]).ok();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.tar.gz");

    let ran = report(shop, &file, &[]);
    assert!(ran.code == 2 && ran.stderr.contains("nobody is there to ask"), "{ran}");
    assert!(ran.stdout.contains("lanes.json") && !file.exists(), "told first, and not written: {ran}");

    let ran = report(shop, &file, &["--yes"]).ok();
    assert!(FILES.iter().all(|name| ran.stdout.contains(name)), "{ran}");
    let names = shop.cluster().run("tar", &["-tzf", file.to_str().expect("text")], None).ok().stdout;
    assert!(names.contains("canaryctl-controller-") && names.contains(".log"), "{names}");
    let keys = shop.cluster().get(&["-n", "canaryctl-system", "secret", "canaryctl-keys"]);
    let keys = keys["data"].as_object().expect("keys").values();
    let keys: Vec<&str> = keys.filter_map(Value::as_str).filter(|key| key.len() > 20).collect();
    assert!(!keys.is_empty());
    for name in names.lines().filter_map(|name| name.strip_prefix("canaryctl-bug-report/")) {
        let text = part(shop, &file, name);
        for unwanted in keys.iter().copied().chain([USER, ASKED_FOR]) {
            assert!(!text.contains(unwanted), "{unwanted} in {name}: {text}");
        }
        assert!(!text.contains("notRead"), "{name}: {text}");
    }
    let json = |name: &str| serde_json::from_str::<Value>(&part(shop, &file, name)).expect("JSON");
    assert_eq!(json("lanes.json")[0]["spec"]["rules"][0]["when"]["cookie"]["exact"], "(removed)");
    assert_eq!(json("status.json")["lanes"][0]["metadata"]["name"], "gray");
    let edited = json("istio.json");
    let is_price = |object: &&Value| object["metadata"]["name"] == "price";
    let price = edited.as_array().into_iter().flatten().find(is_price).expect("the object with lanes in it");
    assert_eq!(price["spec"]["http"][1]["match"][0]["headers"]["x-key"]["exact"], "(removed)", "{price:#}");
    assert_eq!(json("plugins.json")[0]["spec"]["pluginConfig"], "(removed)");

    let again = report(shop, &file, &["--yes"]);
    assert!(again.code == 1 && again.stderr.contains("none is replaced"), "{again}");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.kubectl(&["delete", "virtualservice", "price"]).ok();
    shop.remove("gray");
}
