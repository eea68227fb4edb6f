//! Rows of the guarantee matrix in docs/cluster.md.

use std::time::Duration;

use canary_localmesh::{Client, Protocol, Tree};
use serde_json::json;

use crate::cluster::OF_TESTS;
use crate::flows::{Caller, path};
use crate::judge::{Lane, Rules, User, lane_pods_saw_only};
use crate::load::Load;
use crate::manifests::{self, Service};
use crate::shop::Shop;

/// How long the mesh may take to hear of a user's object.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// Requests by which it shows where a client without a sidecar comes out.
const PICKS_MAX: usize = 300;

const BASELINE: &str = "web-v1 cart-v1 stock-v1 price-v1";

/// Names of our objects for services of the shop.
#[track_caller]
fn ours(shop: &Shop) -> String {
    let by_label = ["get", "vs,dr", "-l", "app.kubernetes.io/managed-by=canaryctl", "-o", "name"];
    shop.kubectl(&by_label).ok().stdout
}

pub(crate) async fn headless(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&[json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "stock-pods", "namespace": shop.namespace()},
        "spec": {"clusterIP": "None", "selector": {"app": "stock"}, "ports": [{"name": "http", "port": 8080}]},
    })]);
    shop.gray("gray", "gray", &["stock"]);
    let enabled = shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let says = format!("stock-pods.{} is headless", shop.namespace());
    assert!(enabled.stdout.contains("CC112") && enabled.stdout.contains(&says), "{enabled}");
    let check = shop.cluster().canaryctl(&["check"]);
    assert!(check.stdout.contains("CC112") && check.stdout.contains(&says), "{check}");
    assert!(ours(shop).contains("canaryctl-stock\n") && !ours(shop).contains("stock-pods"), "{}", ours(shop));
    // The same pods by the Service that has an address are in the lane.
    let load = Load::of_lane(shop, STOCK, Rules::On);
    load.more(100).await;
    load.end().await.clean(100);
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.kubectl(&["delete", "svc", "stock-pods"]).ok();
    shop.remove("gray");
}

const STOCK: Lane = Lane { services: &["stock"], end: "-gray" };

/// Who answers a client without a sidecar that connects anew each time, so that Kubernetes picks a pod each time.
async fn picked(shop: &Shop) -> String {
    let service = shop.cluster().get(&["-n", shop.namespace(), "svc", "stock"]);
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    let client = Client::new(format!("{address}:80").parse().expect("an address"), Protocol::Http1);
    let reply = client.get::<&str, &str>("stock", "/?user=Job", &[]).await.expect("an answer");
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    let tree: Tree = serde_json::from_slice(&reply.body).expect("a tree");
    path(&tree).split(' ').next().unwrap_or_default().to_owned()
}

/// As a Job whose pod has no sidecar calls, beside a lane that is under load.
pub(crate) async fn without_sidecar(shop: &Shop) {
    shop.installed();
    let shop = &Shop::open_to_all(shop.cluster()).await;
    shop.gray("gray", "gray", &["stock"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let load = Load::of_lane(shop, STOCK, Rules::On);
    let mut of_lane = 0;
    for _ in 0..PICKS_MAX {
        let by = picked(shop).await;
        assert!(["stock-v1", "stock-gray"].contains(&by.as_str()), "{by}");
        of_lane += usize::from(by == "stock-gray");
        if of_lane > 5 {
            break;
        }
    }
    assert!(of_lane > 5, "Kubernetes picked the lane's pod {of_lane} times");
    load.more(100).await;
    load.rules(Rules::Moving);
    shop.cluster().canaryctl_beside(&["disable"]).await.ok();
    load.rules(Rules::Off);
    shop.remove_in_use("gray");
    // Outside the Service's selector.
    let mut outside =
        manifests::deployment(shop.namespace(), Shop::service("stock"), "gray", Some("gray"), 1);
    outside["spec"]["selector"]["matchLabels"]["app"] = "stock-gray".into();
    outside["spec"]["template"]["metadata"]["labels"]["app"] = "stock-gray".into();
    shop.cluster().apply(&[outside]);
    shop.rolled_out();
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    for _ in 0..50 {
        assert_eq!(picked(shop).await, "stock-v1");
    }
    load.more(50).await;
    load.end().await.clean(150);
    lane_pods_saw_only(shop, "gray", "gray", 0);
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.close();
}

/// A namespace whose own DestinationRule for stock replaces every other there.
pub(crate) async fn foreign_rule(shop: &Shop) {
    shop.installed();
    let foreign = format!("{}-foreign", shop.namespace());
    shop.cluster().apply(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": foreign, "labels": {(OF_TESTS.0): OF_TESTS.1}}}),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "stock", "namespace": foreign},
            "spec": {
                "host": format!("stock.{}.svc.cluster.local", shop.namespace()),
                "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
            },
        }),
    ]);
    let load = Load::of_lane(shop, STOCK, Rules::Off);
    shop.gray("gray", "gray", &["stock", "price"]);
    let enabled = shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    assert!(enabled.stdout.contains("CC132"), "{enabled}");
    let check = shop.cluster().canaryctl(&["check"]);
    assert!(check.stdout.contains("CC132"), "{check}");
    // No lane is routed at stock: everybody is the baseline's there, and price has its lane.
    let caller = Caller::new(shop, Protocol::Http1);
    for _ in 0..40 {
        assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), "web-v1 cart-v1 stock-v1 price-gray");
        assert_eq!(caller.send(&[]).await.path(), BASELINE);
    }
    load.more(50).await;
    // As the finding says: without that rule the lane comes.
    load.rules(Rules::Moving);
    shop.cluster().kubectl(&["delete", "namespace", &foreign, "--timeout=60s"]).ok();
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    let routed = tokio::time::Instant::now() + KNOWN_WITHIN;
    while caller.send(&[("cookie", "gray=1")]).await.version("stock") != Some("gray") {
        assert!(tokio::time::Instant::now() < routed, "no lane comes to stock");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.more(50).await;
    load.end().await.clean(100);
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}

/// Calls price, and a host outside the mesh.
const TILL: Service =
    Service { name: "till", calls: &["price", "rates.partner"], forward: &["traceparent"], grpc: false };
const RATES: Service = Service { name: "rates", calls: &[], forward: &[], grpc: false };

/// Outside the mesh: a pod of no Service that has no sidecar.
fn rates(namespace: &str) -> serde_json::Value {
    let mut rates = manifests::deployment(namespace, &RATES, "outside", None, 1);
    rates["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] = "false".into();
    rates
}

/// Its caller, which finds the name by a file: who listens at the address is not asked.
fn till(namespace: &str) -> serde_json::Value {
    let mut till = manifests::deployment(namespace, &TILL, "v1", None, 1);
    till["spec"]["template"]["spec"]["hostAliases"] =
        json!([{"ip": "240.0.0.1", "hostnames": ["rates.partner"]}]);
    till
}

pub(crate) async fn external(shop: &Shop) {
    shop.installed();
    let (namespace, host) = (shop.namespace(), format!("till.{}", shop.host()));
    shop.cluster().apply(&[manifests::http_service(namespace, "till"), till(namespace), rates(namespace)]);
    shop.rolled_out();
    let pod = shop.cluster().get(&["-n", namespace, "pods", "-l", "app=rates"]);
    shop.cluster().apply(&[json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "rates", "namespace": namespace},
        "spec": {
            "hosts": ["rates.partner"], "location": "MESH_EXTERNAL", "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}],
            "endpoints": [{"address": pod["items"][0]["status"]["podIP"]}],
        },
    })]);
    shop.cluster().apply(&manifests::entry(namespace, "till", &host, "till"));
    shop.answers(&host).await;
    let lane = Lane { services: &["price"], end: "-gray" };
    let load = Load::of_host(shop, &host, lane, Rules::Off);
    shop.gray("gray", "gray", &["price"]);
    load.beside_a_lane_that_comes_and_goes(shop).await;
    load.end().await.clean(500);
    assert!(!ours(shop).contains("rates"), "{}", ours(shop));
    lane_pods_saw_only(shop, "gray", "gray", 100);
    // Outside, a lane's requests bear its tag, and no others do.
    let seen = shop.access_logs("outside");
    let with_tag = |user: User, tag: Option<&str>| {
        let is_it = |access: &&canary_localmesh::app::Access| {
            access.target == user.path() && access.headers.get("x-canary-lane").map(String::as_str) == tag
        };
        seen.iter().filter(is_it).count()
    };
    for user in [User::Plain, User::Forger] {
        assert_eq!(with_tag(user, Some("gray")), 0, "{user:?}");
        assert!(with_tag(user, None) > 100, "{user:?}");
    }
    assert!(with_tag(User::Gray, Some("gray")) > 100);
    shop.kubectl(&["delete", "gateways.networking.istio.io,vs", "till"]).ok();
    shop.kubectl(&["delete", "serviceentry", "rates"]).ok();
    shop.kubectl(&["delete", "deploy", "till-v1", "rates-outside"]).ok();
    shop.kubectl(&["delete", "svc", "till"]).ok();
    shop.remove("gray");
}
