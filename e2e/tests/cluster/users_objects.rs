//! VirtualServices and DestinationRules of users: edited in place, and given back as they were.

use std::time::Duration;

use canary_localmesh::Protocol;
use serde_json::{Value, json};

use crate::flows::Caller;
use crate::shop::Shop;

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
