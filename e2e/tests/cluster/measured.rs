//! Releases that go on, or back, by what a real Prometheus knows of real proxies.

use std::time::{Duration, Instant};

use canary_localmesh::Protocol;
use serde_json::{Value, json};

use crate::cluster::Ran;
use crate::flows::Caller;
use crate::judge::{Lane, Rules, User};
use crate::load::Load;
use crate::manifests::{FAULTY_IMAGE, NEXT_IMAGE};
use crate::prometheus::Prometheus;
use crate::releases::{forget, is_over, release};
use crate::shop::Shop;

/// The releases, called as no other: of a lane that there was before, proxies still know the counts.
const BAD: &str = "bad";
const GOOD: &str = "good";
/// How long a measured release may take to come to its end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(180);
/// How soon everybody is back where what was before is kept warm, however long Deployments take to roll.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// The lane of a release of stock.
fn lane(end: &'static str) -> Lane {
    Lane { services: &["stock"], end }
}

/// A release of stock to this image, for chosen users first and then for half of all.
fn document(shop: &Shop, prometheus: &Prometheus, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Release", "metadata": {"name": name},
        "spec": {
            "workloads": [{"deployment": format!("{}/stock-v1", shop.namespace()), "images": {"app": image}}],
            "rules": [{"when": {"cookie": {"name": "gray", "exact": "1"}}}],
            "steps": [{"share": 0, "holdSeconds": 5}, {"share": 50, "holdSeconds": 5}],
            "keepWarmSeconds": 120,
            "analysis": {
                "prometheus": {"url": prometheus.url}, "metrics": "envoy", "successRate": {"maxDrop": 2},
                "minSamples": 50, "windowSeconds": 60, "intervalSeconds": 5, "onFailure": "abort",
            },
        },
    })
}

pub(crate) async fn start(shop: &Shop, document: &Value) -> Ran {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, document.to_string().as_bytes()).expect("written");
    let path = file.path().to_str().expect("a path");
    release(shop, &["start", "-f", path, "--wait=false"]).await
}

/// Waits until the release is so.
pub(crate) async fn until(
    shop: &Shop,
    name: &str,
    what: &str,
    limit: Duration,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + limit;
    loop {
        let status = shop.cluster().get(&["release", name])["status"].clone();
        if is_so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "after {limit:?} still not {what}: {status:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(crate) async fn bad(shop: &Shop) {
    shop.installed();
    let prometheus = Prometheus::of(shop, "cart");
    let load = Load::of_lane(shop, lane("-bad"), Rules::Moving);
    start(shop, &document(shop, &prometheus, BAD, FAULTY_IMAGE)).await.ok();
    let status = until(shop, BAD, "taken back", ENDS_WITHIN, |status| status["phase"] == "Aborted").await;
    assert_eq!(status["step"], 0, "nobody but chosen users was in it: {status:#}");
    load.rules(Rules::Off);
    load.more(50).await;
    // Whoever is in the lane gets what the new version is like, and nobody else does.
    load.end().await.clean_but_for(User::Gray, 500, 200);
    is_over(shop, "");
    let history = release(shop, &["history", BAD]).await.ok();
    assert!(history.stdout.contains("more than 2 points above"), "{history}");
    forget(shop);
}

pub(crate) async fn good(shop: &Shop) {
    shop.installed();
    let prometheus = Prometheus::of(shop, "cart");
    let load = Load::of_lane(shop, lane("-good"), Rules::Moving);
    start(shop, &document(shop, &prometheus, GOOD, NEXT_IMAGE)).await.ok();
    until(shop, GOOD, "at its second step", ENDS_WITHIN, |status| status["step"] == 1).await;
    load.rules(Rules::Spreading);
    until(shop, GOOD, "warm", ENDS_WITHIN, |status| status["phase"] == "Warm").await;
    load.more(100).await;
    release(shop, &["undo", GOOD, "--wait=false"]).await.ok();
    until(shop, GOOD, "led back", BACK_WITHIN, |status| status["phase"] == "Undoing").await;
    // What was before is ready: it serves everybody while the Deployment rolls.
    let caller = Caller::new(shop, Protocol::Http1);
    let mut flows = 0;
    loop {
        let answer = caller.send(&[]).await;
        let phase = shop.cluster().get(&["release", GOOD])["status"]["phase"].clone();
        if phase != "Undoing" {
            break;
        }
        assert_eq!(answer.served_by(&["stock"], "-good"), 1, "{}", answer.path());
        flows += 1;
    }
    assert!(flows > 0, "the Deployment rolled before anybody could look");
    until(shop, GOOD, "undone", ENDS_WITHIN, |status| status["phase"] == "Undone").await;
    load.rules(Rules::Off);
    load.more(50).await;
    load.end().await.clean(400);
    is_over(shop, "");
    forget(shop);
}
