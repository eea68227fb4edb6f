//! Lanes as people turn them on and off, under load.

use std::collections::BTreeSet;
use std::time::Duration;

use canary_localmesh::Protocol;
use serde_json::Value;

use crate::flows::Caller;
use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::manifests;
use crate::shop::{GRAY_SERVICES, INSTALL, Shop};

pub(crate) async fn install(shop: &Shop) {
    let load = Load::start(shop, Rules::Off);
    load.more(50).await;
    shop.cluster().canaryctl_beside(&INSTALL).await.ok();
    load.more(200).await;
    // The same again is an upgrade.
    shop.cluster().canaryctl_beside(&INSTALL).await.ok();
    load.more(200).await;
    load.end().await.clean(450);
    let status = shop.cluster().canaryctl(&["status", "-o", "json"]).ok().json();
    assert_eq!(status["parts"][0]["ready"], 2, "{status}");
    assert_eq!(status["webhook"], true, "{status}");
}

pub(crate) async fn come_and_go(shop: &Shop) {
    shop.installed();
    let load = Load::start(shop, Rules::Off);
    // The lane's pods come while nobody knows of a lane: no request may reach them.
    shop.gray("gray", "gray", &GRAY_SERVICES);
    load.more(100).await;
    for _ in 0..3 {
        load.rules(Rules::Moving);
        let on = shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
        load.rules(Rules::On);
        assert!(on.stdout.contains("Live."), "{on}");
        load.more(300).await;
        load.across(shop, &["disable", "gray"], Rules::Off, 100).await;
    }
    load.end().await.clean(1300);
    lane_pods_saw_only(shop, "gray", "gray", 200);
    shop.remove("gray");
}

pub(crate) async fn edges(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--percent", "0"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    let first = caller.send(&[("cookie", "gray=1")]).await;
    assert_eq!(first.path(), "web-gray cart-v1 stock-gray price-gray");
    let cookie = first.headers.get("set-cookie").expect("a cookie keeps the user").to_str().expect("text");
    let kept = cookie.split(';').next().expect("its first part");
    assert!(kept.starts_with("canary-lane=gray~"), "{cookie}");
    let again = caller.send(&[("cookie", kept)]).await;
    assert_eq!(again.path(), "web-gray cart-v1 stock-gray price-gray", "the cookie alone keeps the user");
    let mut forged = kept.to_owned();
    let last = forged.pop().expect("a MAC");
    forged.push(if last == 'A' { 'B' } else { 'A' });
    for headers in [
        &[("cookie", forged.as_str())][..],
        &[("x-canary-lane", "gray")],
        &[("X-Canary-Lane", "gray"), ("x-canary-lane", "gray")],
        &[("baggage", "canary-lane=gray")],
        &[("baggage", "a=1"), ("baggage", "canary-lane=gray")],
    ] {
        let answer = caller.send(headers).await;
        assert_eq!(answer.path(), "web-v1 cart-v1 stock-v1 price-v1", "{headers:?}");
    }
    // A lane that ends and comes back is another: who was in the old one is not in the new one.
    shop.cluster().canaryctl(&["disable"]).ok();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let late = caller.send(&[("cookie", kept)]).await;
    assert_eq!(late.path(), "web-v1 cart-v1 stock-v1 price-v1", "a cookie of a lane that has ended");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}

pub(crate) async fn beside(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &["stock", "price"]);
    shop.gray("dev-alice", "alice", &["stock"]);
    shop.cluster().canaryctl(&["enable", "gray", "--cookie", "gray=1"]).ok();
    shop.cluster().canaryctl(&["enable", "dev-alice", "--header", "x-dev=alice"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    let paths = async || {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            for headers in [&[("cookie", "gray=1")][..], &[("x-dev", "alice")], &[]] {
                let answer = caller.send(headers).await;
                assert_eq!(answer.failure, None, "{headers:?}");
                seen.insert(format!("{headers:?} {}", answer.path()));
            }
        }
        seen.into_iter().collect::<Vec<_>>()
    };
    let plain = "[] web-v1 cart-v1 stock-v1 price-v1";
    let alice = r#"[("x-dev", "alice")] web-v1 cart-v1 stock-alice price-v1"#;
    let gray = r#"[("cookie", "gray=1")] web-v1 cart-v1 stock-gray price-gray"#;
    assert_eq!(paths().await, [gray, alice, plain]);
    // Gray's pod goes: gray's flows fall back to the baseline, and never to the other lane.
    shop.kubectl(&["scale", "deploy", "stock-gray", "--replicas=0"]).ok();
    let gone = || {
        let pods = shop.cluster().get(&["-n", shop.namespace(), "pods", "-l", "app=stock,version=gray"]);
        pods["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    };
    shop.cluster().until("gray's stock is gone", Duration::from_secs(60), gone);
    let fallen = r#"[("cookie", "gray=1")] web-v1 cart-v1 stock-v1 price-gray"#;
    assert_eq!(paths().await, [fallen, alice, plain]);
    shop.cluster().canaryctl(&["disable", "--all"]).ok();
    lane_pods_saw_only(shop, "alice", "dev-alice", 20);
    shop.remove("alice");
    shop.remove("gray");
}

pub(crate) async fn moved(shop: &Shop) {
    shop.installed();
    let stock = |version| manifests::deployment(shop.namespace(), Shop::service("stock"), version, None, 2);
    shop.cluster().apply(&[stock("v2"), stock("v3")]);
    shop.rolled_out();
    let caller = Caller::new(shop, Protocol::Http1);
    let gray_flows = async |wanted: &str| {
        for flow in 0..40 {
            let answer = caller.send(&[("cookie", "gray=1")]).await;
            assert_eq!(answer.failure, None);
            assert_eq!(answer.path(), format!("web-v1 cart-v1 stock-{wanted} price-v1"), "flow {flow}");
        }
    };
    let enable = |member: &str| {
        let member = format!("stock=version:{member}");
        shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--member", &member]).ok();
    };
    enable("v2");
    gray_flows("v2").await;
    assert_eq!(labels_of_ours(shop).len(), 2, "{:?}", labels_of_ours(shop));
    enable("v3");
    gray_flows("v3").await;
    // What nobody serves any more is plain again.
    let only_v3 = || labels_of_ours(shop).iter().all(|pod| pod.starts_with("stock-v3-")).then_some(());
    shop.cluster().until("v2 is plain again", Duration::from_secs(10), only_v3);
    assert_eq!(labels_of_ours(shop).len(), 2);
    gray_flows("v3").await;
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("v2");
    shop.remove("v3");
}

/// Pods that carry labels or notes of ours, with those.
#[track_caller]
fn labels_of_ours(shop: &Shop) -> Vec<String> {
    let pods = shop.cluster().get(&["-n", shop.namespace(), "pods"]);
    let ours = |pod: &Value| {
        let metadata = &pod["metadata"];
        let keys = ["labels", "annotations"].map(|kind| metadata[kind].as_object());
        let keys = keys.into_iter().flatten().flat_map(|map| map.keys());
        let keys: Vec<&str> = keys.map(String::as_str).filter(|key| key.contains("canaryctl.io/")).collect();
        let name = metadata["name"].as_str().unwrap_or_default();
        (!keys.is_empty()).then(|| format!("{name} {}", keys.join(" ")))
    };
    pods["items"].as_array().into_iter().flatten().filter_map(ours).collect()
}

pub(crate) async fn strict(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &["web"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--strict"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    let answer = caller.send(&[("cookie", "gray=1")]).await;
    let cart = answer.tree.walk().find(|tree| tree.service.starts_with("cart")).expect("web called it");
    assert_eq!(cart.status, 503, "{:?}", answer.tree);
    assert!(cart.error_headers.contains_key("x-canary-refused"), "{cart:?}");
    assert_eq!(caller.send(&[]).await.failure, None, "others are served");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}

pub(crate) async fn refused(shop: &Shop) {
    shop.installed();
    let orphan = shop.cluster().canaryctl(&["enable", "child", "--cookie", "a=1", "--parent", "nobody"]);
    assert_eq!(orphan.code, 3, "{orphan}");
    assert!(orphan.stderr.contains("there is no lane `nobody`"), "{orphan}");
    let lanes = shop.cluster().canaryctl(&["lanes"]).ok();
    assert!(lanes.stdout.contains("refused"), "{lanes}");
    shop.cluster().canaryctl(&["disable", "child"]).ok();
    let unknown = shop.cluster().canaryctl(&["disable", "child"]);
    assert_eq!(unknown.code, 1, "{unknown}");
    assert!(unknown.stderr.contains("there is no lane child"), "{unknown}");
    let odd = shop.cluster().canaryctl(&["enable", "--percent", "0.005"]);
    assert_eq!(odd.code, 2, "{odd}");
}

pub(crate) async fn kept(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let load = Load::start(shop, Rules::On);
    load.more(50).await;
    let orphan = ["enable", "gray", "--cookie", "gray=1", "--parent", "nobody"];
    let refused = shop.cluster().canaryctl_beside(&orphan).await;
    assert_eq!(refused.code, 3, "{refused}");
    assert!(refused.stderr.contains("there is no lane `nobody`"), "{refused}");
    assert!(refused.stderr.contains("the lane stays on as it was before"), "{refused}");
    load.more(100).await;
    // Also for a controller that has never seen the lane as it was.
    shop.cluster().kill_controllers();
    load.more(200).await;
    let lanes = shop.cluster().canaryctl_beside(&["lanes"]).await.ok();
    assert!(lanes.stdout.contains("kept") && lanes.stdout.contains("`nobody`"), "{lanes}");
    shop.cluster().canaryctl_beside(&["enable", "gray", "--cookie", "gray=1"]).await.ok();
    let lanes = shop.cluster().canaryctl_beside(&["lanes"]).await.ok();
    assert!(!lanes.stdout.contains("kept"), "{lanes}");
    load.more(50).await;
    load.rules(Rules::Moving);
    shop.cluster().canaryctl_beside(&["disable"]).await.ok();
    load.end().await.clean(400);
    shop.remove("gray");
}

pub(crate) async fn diff(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &["stock"]);
    let lane = shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--dry-run=client"]).ok().stdout;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), lane).expect("written");
    let file = file.path().to_str().expect("a path");
    let before = shop.cluster().canaryctl(&["diff", "-f", file]);
    assert_eq!(before.code, 1, "{before}");
    assert!(before.stdout.contains("canaryctl-stock"), "{before}");
    shop.cluster().canaryctl(&["enable", "-f", file]).ok();
    let after = shop.cluster().canaryctl(&["diff", "-f", file]);
    assert_eq!(after.code, 0, "{after}");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}

pub(crate) async fn uninstall(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let load = Load::start(shop, Rules::On);
    load.more(200).await;
    // Its owner's own part of it: pods of no lane are pods like any other.
    load.rules(Rules::Moving);
    shop.cluster().canaryctl_beside(&["disable"]).await.ok();
    load.rules(Rules::Off);
    shop.remove_in_use("gray");
    shop.cluster().canaryctl_beside(&["uninstall", "--purge", "--yes"]).await.ok();
    load.more(200).await;
    load.end().await.clean(400);
    nothing_of_ours(shop);
}

pub(crate) async fn uninstall_alone(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&[manifests::deployment(shop.namespace(), Shop::service("stock"), "v2", None, 1)]);
    shop.rolled_out();
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--member", "stock=version:v2"]).ok();
    assert_eq!(labels_of_ours(shop).len(), 1, "{:?}", labels_of_ours(shop));
    shop.cluster()
        .kubectl(&["-n", "canaryctl-system", "scale", "deploy", "canaryctl-controller", "--replicas=0"])
        .ok();
    shop.cluster()
        .kubectl(&["-n", "canaryctl-system", "rollout", "status", "deploy/canaryctl-controller"])
        .ok();
    // The webhook has held it back, and nobody is left to let it be ready.
    let v2 = manifests::deployment(shop.namespace(), Shop::service("stock"), "v2", None, 1);
    let mut spec = v2["spec"]["template"]["spec"].clone();
    spec["readinessGates"] = serde_json::json!([{"conditionType": "canaryctl.io/arrived"}]);
    let annotations =
        serde_json::json!({"canaryctl.io/readiness": "held", "sidecar.istio.io/inject": "false"});
    shop.cluster().apply(&[serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "held", "namespace": shop.namespace(), "annotations": annotations},
        "spec": spec,
    })]);
    // A Service leads to an agent by its selector, as nobody is left to give it back.
    let mut led = manifests::http_service(shop.namespace(), "led");
    led["spec"]["selector"] = serde_json::json!({"app": "price", "canaryctl.io/takeover": "led-exchange"});
    shop.cluster().apply(&[led]);
    shop.cluster().canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    let led = shop.cluster().get(&["-n", shop.namespace(), "svc", "led"]);
    assert_eq!(led["spec"]["selector"], serde_json::json!({"app": "price"}), "it is given back to its pods");
    shop.kubectl(&["delete", "svc", "led"]).ok();
    shop.kubectl(&["wait", "pod/held", "--for=condition=Ready", "--timeout=60s"]).ok();
    shop.kubectl(&["delete", "pod", "held", "--wait=false"]).ok();
    nothing_of_ours(shop);
    // Where nothing is any more, nothing is wrong.
    shop.cluster().canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    let page = shop.cluster().canaryctl(&["dashboard", "--port", "0"]);
    assert!(page.code == 1 && page.stderr.contains("the cluster knows no Lanes"), "{page}");
    shop.remove("v2");
}

/// Asserts that no object in the cluster is ours.
#[track_caller]
pub(crate) fn nothing_of_ours(shop: &Shop) {
    let ours = shop.cluster().kubectl(&[
        "get",
        "ns,crd,vs,dr,wasmplugins,clusterroles,clusterrolebindings,roles,rolebindings,\
         validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingwebhookconfigurations,svc,secrets",
        "-A",
        "-o",
        "name",
    ]);
    let left: Vec<&str> = ours.stdout.lines().filter(|name| name.contains("canaryctl")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(labels_of_ours(shop), [""; 0]);
}

pub(crate) async fn check(shop: &Shop) {
    let before = shop.cluster().canaryctl(&["check", "--pre"]).ok();
    assert!(before.stdout.contains("you may install"), "{before}");
    let nobody =
        shop.cluster().canaryctl(&["check", "--pre", "--as", "nobody", "--as-group", "system:authenticated"]);
    assert_eq!(nobody.code, 3, "{nobody}");
    assert!(
        nobody.stdout.contains("you may not create customresourcedefinitions.apiextensions.k8s.io"),
        "{nobody}"
    );
    shop.installed();
    shop.gray("gray", "gray", &["stock"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let report = shop.cluster().canaryctl(&["check", "-o", "json"]).ok().json();
    assert!(report["well"].to_string().contains("lane gray has 1 members"), "{report}");
    // A pod of the lane without a sidecar is found.
    let patch = r#"{"spec": {"template": {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}}}}"#;
    shop.kubectl(&["patch", "deploy", "stock-gray", "--type=merge", "-p", patch]).ok();
    shop.rolled_out();
    let report = shop.cluster().canaryctl(&["check"]).ok();
    assert!(report.stdout.contains("CC303"), "{report}");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}
