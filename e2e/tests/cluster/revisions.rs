//! A mesh with two revisions of Istio, the second of them behind a tag.

use canary_lab::Lab;
use serde_json::json;

use crate::cluster::{Cluster, OF_TESTS};
use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::manifests;
use crate::shop::{GRAY_SERVICES, Shop};

const REVISION: &str = "canary";
const TAG: &str = "prod";
/// Namespaces with this label the second revision does not look at.
const DARK: &str = "canary-dark";

/// A shop of the second revision behind a gateway of the first has a lane, and a namespace has none that only one of both
/// looks at.
pub(crate) async fn beside(shop: &Shop) {
    let cluster = shop.cluster();
    let Some(lab) = cluster.lab() else {
        eprintln!("no second Istio is installed: this is no lab of this machine");
        return;
    };
    shop.installed();
    let revision = Revision::install(cluster, lab);
    let dark = format!("dark-{:08x}", fastrand::u32(..));
    cluster.apply(&[
        json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": dark, "labels": {(OF_TESTS.0): OF_TESTS.1, DARK: "yes"}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stock", "namespace": dark},
            "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        manifests::deployment(&dark, Shop::service("stock"), "v1", None, 1),
        manifests::deployment(&dark, Shop::service("stock"), "gray", Some("gray"), 1),
    ]);
    let other = Shop::injected(cluster, ("istio.io/rev", TAG)).await;
    other.gray("gray", "gray", &GRAY_SERVICES);
    let pods =
        other.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.annotations.istio\\.io/rev}"]);
    let pods = pods.ok().stdout;
    assert!(!pods.is_empty() && pods.split(' ').all(|one| one == REVISION), "{pods}");

    // Read by one revision alone; the other never hears of what becomes of it.
    cluster.apply(&[json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "price", "namespace": other.namespace(), "labels": {"istio.io/rev": REVISION}},
        "spec": {"hosts": ["price"], "http": [{"route": [{"destination": {"host": "price"}}]}]},
    })]);
    let load = Load::start(&other, Rules::Off);
    for _ in 0..2 {
        load.rules(Rules::Moving);
        cluster.canaryctl_beside(&["enable", "--cookie", "gray=1", "--timeout", "60s"]).await.ok();
        load.rules(Rules::On);
        load.more(60).await;
        let lane = cluster.get(&["lane", "gray"]);
        let members = lane["status"]["members"].as_array().into_iter().flatten();
        let mut members: Vec<&str> = members.filter_map(|member| member["service"].as_str()).collect();
        members.sort_unstable();
        let wanted = ["price", "stock", "web"].map(|name| format!("{}/{name}", other.namespace()));
        assert_eq!(members, wanted);
        let rule = other.kubectl(&["get", "vs", "price", "-o", "jsonpath={.spec.http}"]).ok().stdout;
        assert!(rule.contains("x-canary-lane"), "the lane has its route in it: {rule}");
        load.rules(Rules::Moving);
        cluster.canaryctl_beside(&["disable", "--timeout", "60s"]).await.ok();
        load.rules(Rules::Off);
        load.more(60).await;
    }
    load.end().await.clean(240);
    lane_pods_saw_only(&other, "gray", "gray", 20);
    cluster.kubectl(&["delete", "namespace", &dark, "--wait=false"]).ok();
    other.close();
    drop(revision);
}

/// A second Istio, until this is dropped.
struct Revision<'a>(&'a Cluster);

impl<'a> Revision<'a> {
    fn install(cluster: &'a Cluster, lab: &Lab) -> Self {
        let revision = Self(cluster);
        let operator = lab.istio_operator();
        let dark = "meshConfig.discoverySelectors[0].matchExpressions[0]";
        let settings = [
            format!("revision={REVISION}"),
            "components.ingressGateways[0].enabled=false".into(),
            format!("{dark}.key={DARK}"),
            format!("{dark}.operator=DoesNotExist"),
        ];
        let mut args =
            vec!["install", "--skip-confirmation", "--filename", operator.to_str().expect("a path")];
        args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        cluster.run("istioctl", &args, None).ok();
        cluster.run("istioctl", &["tag", "set", TAG, "--revision", REVISION], None).ok();
        revision
    }
}

impl Drop for Revision<'_> {
    fn drop(&mut self) {
        self.0.run("istioctl", &["tag", "remove", TAG, "--skip-confirmation"], None);
        self.0.run("istioctl", &["uninstall", "--skip-confirmation", "--revision", REVISION], None);
    }
}
