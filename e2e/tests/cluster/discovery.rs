//! A mesh that does not look at every namespace.

use std::time::Duration;

use canary_localmesh::Protocol;
use serde_json::{Value, json};

use crate::cluster::OF_TESTS;
use crate::flows::Caller;
use crate::manifests;
use crate::shop::Shop;

/// What the namespaces of the mesh are labelled with.
const LABEL: &str = "canary-mesh";

pub(crate) async fn left_out(shop: &Shop) {
    shop.installed();
    let cluster = shop.cluster();
    let dark = format!("dark-{:08x}", fastrand::u32(..));
    let rule = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "stock", "namespace": dark},
        "spec": {"hosts": ["stock"], "http": [{"route": [{"destination": {"host": "stock"}}]}]},
    });
    cluster.apply(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": dark, "labels": {(OF_TESTS.0): OF_TESTS.1}}}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "stock", "namespace": dark},
            "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        }),
        manifests::deployment(&dark, Shop::service("stock"), "gray", Some("gray"), 1),
        rule,
    ]);
    for namespace in [shop.namespace(), "canaryctl-system", "istio-system"] {
        cluster.kubectl(&["label", "namespace", namespace, &format!("{LABEL}=on")]).ok();
    }
    let selectors =
        Selectors::set(shop, &format!("discoverySelectors: [{{matchLabels: {{{LABEL}: 'on'}}}}]"));
    cluster.until("istiod leaves the namespace out", Duration::from_secs(30), || {
        let args = ["-n", "istio-system", "exec", "deploy/istiod", "--"];
        let ask = ["pilot-discovery", "request", "GET", "/debug/configz"];
        let answer = cluster.kubectl(&[args.as_slice(), &ask].concat()).ok();
        (!answer.stdout.contains(&dark)).then_some(())
    });

    shop.gray("gray", "gray", &["stock"]);
    cluster.canaryctl(&["enable", "--cookie", "gray=1", "--timeout", "60s"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), "web-v1 cart-v1 stock-gray price-v1");
    let there = cluster.get(&["-n", &dark, "virtualservice", "stock"]);
    assert_eq!(there["spec"]["http"].as_array().map(Vec::len), Some(1), "nothing is put in: {there}");
    let lane = cluster.get(&["lane", "gray"]);
    let members = lane["status"]["members"].as_array().into_iter().flatten();
    let members: Vec<&str> = members.filter_map(|member| member["service"].as_str()).collect();
    assert_eq!(members, [format!("{}/stock", shop.namespace())]);

    // Without our own namespace nothing could be proven: it is said, and nothing is begun.
    cluster.kubectl(&["label", "namespace", "canaryctl-system", &format!("{LABEL}-")]).ok();
    let check = cluster.canaryctl(&["check"]);
    assert!(check.stdout.contains("CC229"), "{check}");
    let install = cluster.canaryctl(&crate::shop::INSTALL);
    assert_eq!(install.code, 1, "{install}");
    assert!(install.stderr.contains("discoverySelectors"), "{install}");
    let late = cluster.canaryctl(&["disable", "--timeout", "10s"]);
    assert_eq!(late.code, 4, "{late}");
    cluster.kubectl(&["label", "namespace", "canaryctl-system", &format!("{LABEL}=on")]).ok();
    cluster.canaryctl(&["disable", "--timeout", "60s"]).ok();

    drop(selectors);
    cluster.kubectl(&["label", "namespace", "istio-system", &format!("{LABEL}-")]).ok();
    cluster.kubectl(&["delete", "namespace", &dark, "--wait=false"]).ok();
    shop.remove("gray");
}

/// Settings of the mesh beside its own, until this is dropped.
struct Selectors<'a> {
    shop: &'a Shop,
    before: Value,
}

impl<'a> Selectors<'a> {
    fn set(shop: &'a Shop, line: &str) -> Self {
        let before =
            shop.cluster().get(&["-n", "istio-system", "configmap", "istio"])["data"]["mesh"].clone();
        let mesh = before.as_str().expect("Istio's settings");
        let selectors = Self { shop, before: before.clone() };
        selectors.write(&format!("{mesh}\n{line}\n").into());
        selectors
    }

    fn write(&self, mesh: &Value) {
        let patch = json!({"data": {"mesh": mesh}}).to_string();
        self.shop
            .cluster()
            .kubectl(&["-n", "istio-system", "patch", "configmap", "istio", "--type=merge", "-p", &patch])
            .ok();
    }
}

impl Drop for Selectors<'_> {
    fn drop(&mut self) {
        self.write(&self.before);
    }
}
