//! The Helm chart that `install --print helm` writes, in Helm's own hands.

use canary_localmesh::Protocol;

use crate::flows::Caller;
use crate::lanes::nothing_of_ours;
use crate::registry::Registry;
use crate::shop::{GRAY_SERVICES, Shop};

const NAMESPACE: [&str; 2] = ["--namespace", "canaryctl-system"];

pub(crate) async fn helm(shop: &Shop) {
    shop.cluster().canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    let registry = Registry::start(shop, &shop.cluster().node_address(), None);
    let install = registry.push_filter(shop);
    let directory = tempfile::tempdir().expect("a directory");
    let chart = directory.path().join("chart");
    let chart = chart.to_str().expect("a path");
    let print: Vec<&str> = install.split(' ').chain(["--print", "helm", "-o", chart]).collect();
    shop.cluster().canaryctl(&print).ok();
    let helm = |args: &[&str]| shop.cluster().run("helm", &[args, &NAMESPACE].concat(), None).ok();
    let upgrade = ["upgrade", "--install", "canaryctl", chart, "--create-namespace", "--wait"];
    let first = helm(&upgrade);
    assert!(first.stdout.contains("No lane is on"), "{first}");
    shop.drained();

    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    let gray = "web-gray cart-v1 stock-gray price-gray";
    assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), gray);
    let plugins = || {
        let plugins = shop.cluster().get(&["wasmplugins", "-A"])["items"].clone();
        let versions =
            plugins.as_array().into_iter().flatten().map(|one| one["metadata"]["resourceVersion"].clone());
        versions.collect::<Vec<_>>()
    };
    let before = plugins();
    assert!(!before.is_empty());
    let again = helm(&upgrade);
    assert!(again.stdout.contains("Lanes are as they were"), "{again}");
    assert_eq!(plugins(), before, "what plugins are told is not the chart's");
    assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), gray);

    shop.cluster().canaryctl(&["uninstall", "--yes"]).ok();
    helm(&["uninstall", "canaryctl", "--wait"]);
    shop.cluster().canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    shop.remove("gray");
    nothing_of_ours(shop);
}
