//! VirtualServices and DestinationRules of users: edited in place, and given back as they were.

use std::time::Duration;

use canary_localmesh::Protocol;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::flows::Caller;
use crate::judge::Rules;
use crate::load::Load;
use crate::manifests;
use crate::shop::{GRAY_SERVICES, INSTALL, Shop};

/// As people write them: several routes, a rewrite, retries, a timeout, subsets with a policy.
fn objects(namespace: &str) -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "stock", "namespace": namespace, "annotations": {"owner": "warehouse"}},
            "spec": {
                "hosts": ["stock"],
                "http": [
                    {
                        "name": "reports",
                        "match": [{"uri": {"prefix": "/reports"}, "headers": {"x-team": {"exact": "finance"}}}],
                        "route": [{"destination": {"host": "stock", "subset": "v1"}}],
                        "timeout": "3s",
                    },
                    {
                        "route": [{"destination": {"host": "stock", "port": {"number": 80}}}],
                        "retries": {"attempts": 2, "perTryTimeout": "2s", "retryOn": "connect-failure"},
                        "headers": {"response": {"set": {"x-served-by": "stock"}}},
                    },
                ],
            },
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "stock", "namespace": namespace},
            "spec": {
                "host": "stock",
                "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 200}}},
                "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
            },
        }),
    ]
}

/// What of an object is its owner's.
fn owned(shop: &Shop, kind: &str) -> String {
    let object = shop.cluster().get(&["-n", shop.namespace(), kind, "stock"]);
    let metadata = &object["metadata"];
    json!([object["spec"], metadata["labels"], metadata["annotations"]]).to_string()
}

fn remove(shop: &Shop) {
    shop.kubectl(&["delete", "vs,dr", "stock"]).ok();
    shop.remove("gray");
}

pub(crate) async fn restored(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&objects(shop.namespace()));
    let before = [owned(shop, "vs"), owned(shop, "dr")];
    shop.gray("gray", "gray", &["stock"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), "web-v1 cart-v1 stock-gray price-v1");
    assert_eq!(caller.send(&[]).await.path(), "web-v1 cart-v1 stock-v1 price-v1");
    assert_ne!(owned(shop, "vs"), before[0], "the lane's routes stand in the user's own object");
    shop.cluster().canaryctl(&["disable"]).ok();
    assert_eq!(owned(shop, "vs"), before[0], "routes are off as soon as the command is done");
    // Preferences stay for requests under way; an owner who wants all of it back at once takes the pods away.
    remove_lane_pods_and_wait(shop, &before[1]);
    remove(shop);
}

fn remove_lane_pods_and_wait(shop: &Shop, before: &str) {
    shop.remove("gray");
    shop.cluster().until("the DestinationRule is as it was", Duration::from_secs(180), || {
        (owned(shop, "dr") == before).then_some(())
    });
    shop.cluster().until("no field of theirs is managed by us", Duration::from_secs(30), || {
        let objects = shop.cluster().get(&["-n", shop.namespace(), "vs,dr", "--show-managed-fields"]);
        let mut of_user =
            objects["items"].as_array()?.iter().filter(|one| one["metadata"]["name"] == "stock");
        of_user.all(|one| !one["metadata"]["managedFields"].to_string().contains("canaryctl")).then_some(())
    });
}

pub(crate) async fn edited(shop: &Shop) {
    shop.installed();
    let base = objects(shop.namespace());
    shop.cluster().apply(&base);
    shop.gray("gray", "gray", &["stock"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    let is_gray = || {
        let vs = shop.cluster().get(&["-n", shop.namespace(), "vs", "stock"]);
        vs["spec"].to_string().contains("canary-gray").then_some(())
    };
    // What GitOps tools do: the file as it is in the repository, again.
    shop.cluster().apply(&base);
    shop.cluster().until("the lane's routes are back", Duration::from_secs(10), is_gray);
    let vs = shop.cluster().get(&["-n", shop.namespace(), "vs", "stock"]);
    let mut http = vs["spec"]["http"].as_array().expect("routes").clone();
    let own = http.iter_mut().find(|route| route["name"] == "reports").expect("the user's route");
    own["fault"] = json!({"delay": {"fixedDelay": "1s", "percentage": {"value": 1}}});
    let patch = json!({"spec": {"http": http}}).to_string();
    shop.kubectl(&["patch", "vs", "stock", "--type=merge", "-p", &patch]).ok();
    shop.cluster().until("the lane follows the edit", Duration::from_secs(10), || {
        let vs = shop.cluster().get(&["-n", shop.namespace(), "vs", "stock"]);
        let http = vs["spec"]["http"].as_array()?;
        (http.iter().filter(|route| !route["fault"].is_null()).count() == 2).then_some(())
    });
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--priority", "1"]).ok();
    assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), "web-v1 cart-v1 stock-gray price-v1");
    shop.cluster().canaryctl(&["disable"]).ok();
    let vs = shop.cluster().get(&["-n", shop.namespace(), "vs", "stock"]);
    let http = vs["spec"]["http"].as_array().expect("routes");
    assert_eq!(http.len(), 2, "{http:?}");
    assert_eq!(http[0]["fault"]["delay"]["fixedDelay"], "1s", "the user's edit stays");
    remove(shop);
}

/// How often a tool applies its files.
const APPLIED: usize = 60;

/// Files of a user's, and the cluster that they are applied to.
struct Routed {
    cluster: Cluster,
    namespace: String,
    objects: Vec<Value>,
}

impl Routed {
    fn now(&self, kind: &str) -> Value {
        self.cluster.get(&["-n", &self.namespace, kind, "stock"])
    }

    /// Applies the files in one of the ways that tools have.
    fn apply(&self, turn: usize) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.objects}).to_string();
        let ways: [&[&str]; 3] = [
            &["apply", "-f", "-"],
            &["apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "-f", "-"],
            &["replace", "-f", "-"],
        ];
        self.cluster.run("kubectl", ways[turn % ways.len()], Some(&list)).ok();
    }
}

/// A tool that applies its files over and over: nobody ever sees them without the lane.
pub(crate) async fn reapplied(shop: &Shop) {
    shop.installed();
    let objects = objects(shop.namespace());
    shop.cluster().apply(&objects);
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let routed = Routed { cluster: shop.cluster().clone(), namespace: shop.namespace().into(), objects };
    let before = ["vs", "dr"].map(|kind| routed.now(kind));
    assert!(before[0]["spec"].to_string().contains("canary-gray"), "{}", before[0]);

    let load = Load::start(shop, Rules::On);
    load.more(50).await;
    let applied = tokio::task::spawn_blocking(move || {
        for turn in 0..APPLIED {
            routed.apply(turn);
            for (kind, before) in ["vs", "dr"].into_iter().zip(&before) {
                let now = routed.now(kind);
                assert_eq!(now["spec"], before["spec"], "{kind} in turn {turn}");
                // Every other spec that was ever stored, however briefly, would have counted.
                let generation = |object: &Value| object["metadata"]["generation"].clone();
                assert_eq!(generation(&now), generation(before), "{kind} in turn {turn}");
            }
        }
        routed
    });
    let mut routed = applied.await.expect("it stays");
    load.more(100).await;

    // What is new in the file is there in the same write, in the lane's route too.
    routed.objects[0]["spec"]["http"][1]["timeout"] = "7s".into();
    routed.apply(0);
    let http = routed.now("vs")["spec"]["http"].as_array().expect("routes").clone();
    assert_eq!(http.iter().filter(|route| route["timeout"] == "7s").count(), 2, "{http:?}");
    load.more(100).await;
    load.end().await.clean(250);

    without_anybody_to_ask(shop, &routed);
    shop.cluster().canaryctl(&["disable"]).ok();
    routed.apply(0);
    assert!(!routed.now("vs")["spec"].to_string().contains("canary-gray"), "nothing comes back");
    remove(shop);
}

/// Writes go on where no controller answers, and what they lack comes back with one.
fn without_anybody_to_ask(shop: &Shop, routed: &Routed) {
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        let deployment = "deploy/canaryctl-controller";
        shop.cluster().kubectl(&["-n", "canaryctl-system", "scale", deployment, &replicas]).ok();
        shop.cluster().kubectl(&["-n", "canaryctl-system", "rollout", "status", deployment]).ok();
    };
    scale("0");
    shop.cluster().until("nobody answers", Duration::from_secs(60), || {
        routed.apply(0);
        (!routed.now("vs")["spec"].to_string().contains("canary-gray")).then_some(())
    });
    scale("2");
    shop.cluster().until("the lane's routes are back", Duration::from_secs(60), || {
        routed.now("vs")["spec"].to_string().contains("canary-gray").then_some(())
    });
}

/// A pod of a member that a lane names has its labels from the start.
pub(crate) async fn born(shop: &Shop) {
    shop.installed();
    let v2 = manifests::deployment(shop.namespace(), Shop::service("stock"), "v2", None, 1);
    shop.cluster().apply(&[v2]);
    shop.rolled_out();
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--member", "stock=version:v2"]).ok();
    let template =
        shop.cluster().get(&["-n", shop.namespace(), "deploy", "stock-v2"])["spec"]["template"].clone();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "newborn", "namespace": shop.namespace(), "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    });
    let born = || {
        let create = ["create", "-f", "-", "--dry-run=server", "-o", "json"];
        shop.cluster().run("kubectl", &create, Some(&pod.to_string())).ok().json()["metadata"].clone()
    };
    let labelled = || Some(born()).filter(|metadata| metadata["labels"]["canaryctl.io/lane"] == "gray");
    let metadata = shop.cluster().until("pods are born labelled", Duration::from_secs(10), labelled);
    assert_eq!(metadata["labels"]["lane.canaryctl.io/gray"], "member", "{metadata}");
    assert!(metadata["annotations"]["canaryctl.io/labelled"].is_string(), "{metadata}");
    shop.cluster().canaryctl(&["disable"]).ok();
    let plain = || born()["labels"]["canaryctl.io/lane"].is_null().then_some(());
    shop.cluster().until("pods are born plain", Duration::from_secs(10), plain);
    shop.remove("v2");
}

/// An installation without the webhook has nothing of it, and repairs a moment later.
pub(crate) async fn unasked(shop: &Shop) {
    shop.installed();
    let there = |kind: &str| {
        shop.cluster().kubectl(&["-n", "canaryctl-system", "get", kind, "canaryctl-webhook"]).code == 0
    };
    let kinds = ["mutatingwebhookconfiguration", "service", "secret"];
    assert_eq!(kinds.map(there), [true; 3]);
    shop.cluster().canaryctl(&[INSTALL.as_slice(), &["--no-webhook"]].concat()).ok();
    assert_eq!(kinds.map(there), [false; 3]);
    let status = shop.cluster().canaryctl(&["status", "-o", "json"]).ok().json();
    assert_eq!(status["webhook"], false, "{status}");
    edited(shop).await;
    shop.cluster().canaryctl(&INSTALL).ok();
    assert_eq!(kinds.map(there), [true; 3]);
}
