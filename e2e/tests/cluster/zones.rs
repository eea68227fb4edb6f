//! A Service that keeps its requests in their zone, beside a lane that has pods in that zone.

use std::time::Duration;

use canary_localmesh::Protocol;
use serde_json::{Value, json};

use crate::flows::Caller;
use crate::judge::{Lane, Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::manifests;
use crate::shop::Shop;

/// How long proxies may take to hear where pods are.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// So many flows in a row are no accident, where every second one would go elsewhere.
const ENOUGH: usize = 30;
const STOCK: Lane = Lane { services: &["stock"], end: "-gray" };

/// A Deployment whose pods are in a zone.
fn placed(shop: &Shop, service: &str, version: &str, lane: Option<&str>, zone: &str) -> Value {
    let mut deployment = manifests::deployment(shop.namespace(), Shop::service(service), version, lane, 1);
    deployment["spec"]["template"]["metadata"]["labels"]["istio-locality"] = format!("land.{zone}").into();
    deployment
}

/// Waits until a baseline's flows go this way, many in a row.
async fn settles(caller: &Caller, stock: &str) {
    let wanted = format!("web-v1 cart-v1 {stock} price-v1");
    let deadline = tokio::time::Instant::now() + KNOWN_WITHIN;
    let mut in_a_row = 0;
    while in_a_row < ENOUGH {
        let path = caller.send(&[]).await.path();
        in_a_row = if path == wanted { in_a_row + 1 } else { 0 };
        assert!(tokio::time::Instant::now() < deadline, "flows still go {path}, not {wanted}");
    }
}

pub(crate) async fn kept(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&[
        placed(shop, "cart", "v1", None, "near"),
        placed(shop, "stock", "v1", None, "far"),
        placed(shop, "stock", "near", None, "near"),
    ]);
    let patch = json!({"spec": {"trafficDistribution": "PreferClose"}}).to_string();
    shop.kubectl(&["patch", "svc", "stock", "--type=merge", "-p", &patch]).ok();
    shop.rolled_out();
    let caller = Caller::new(shop, Protocol::Http1);
    settles(&caller, "stock-near").await;
    // The lane's pod is near, too.
    let load = Load::of_lane(shop, STOCK, Rules::Off);
    shop.cluster().apply(&[placed(shop, "stock", "gray", Some("gray"), "near")]);
    shop.rolled_out();
    load.rules(Rules::Moving);
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    load.rules(Rules::On);
    for _ in 0..ENOUGH {
        assert_eq!(caller.send(&[]).await.path(), "web-v1 cart-v1 stock-near price-v1");
    }
    // A baseline pod that is far comes before a lane's pod that is near.
    shop.kubectl(&["scale", "deploy", "stock-near", "--replicas=0"]).ok();
    settles(&caller, "stock-v1").await;
    load.more(100).await;
    shop.kubectl(&["scale", "deploy", "stock-near", "--replicas=1"]).ok();
    settles(&caller, "stock-near").await;
    load.across(shop, &["disable"], Rules::Off, 100).await;
    load.end().await.clean(300);
    lane_pods_saw_only(shop, "gray", "gray", 50);
    shop.remove("gray");
    shop.remove("near");
    let patch = json!({"spec": {"trafficDistribution": null}}).to_string();
    shop.kubectl(&["patch", "svc", "stock", "--type=merge", "-p", &patch]).ok();
    let v1 = |name| manifests::deployment(shop.namespace(), Shop::service(name), "v1", None, 1);
    shop.cluster().apply(&[v1("cart"), v1("stock")]);
    shop.rolled_out();
}
