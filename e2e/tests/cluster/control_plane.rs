//! The control plane goes away under lanes, and comes back.

use std::time::{Duration, Instant};

use canary_lab::Restartable;
use serde_json::{Value, json};

use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::manifests;
use crate::shop::{GRAY_SERVICES, Shop};

/// How long it stays away: longer than clients retry by themselves.
const AWAY: Duration = Duration::from_secs(4);
/// How long pods may take to be ready once nothing keeps them.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it takes at the most until a lane's routes are written where nothing keeps them.
const ROUTED_WITHIN: Duration = Duration::from_secs(1);
/// What pods wait for besides.
const HELD_BY: &str = "test.canaryctl.io/let-go";

pub(crate) async fn restarts(shop: &Shop) {
    let Some(lab) = shop.cluster().lab() else {
        eprintln!("nothing is restarted: this is no lab of this machine");
        return;
    };
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let load = Load::start(shop, Rules::Off);
    for (what, after) in [(Restartable::ApiServer, 0), (Restartable::Etcd, 300)] {
        let restart = || {
            let lab = lab.clone();
            tokio::task::spawn_blocking(move || lab.restart(what, AWAY).expect("it comes back"))
        };
        load.rules(Rules::Moving);
        let args = ["enable", "--cookie", "gray=1", "--timeout", "180s"];
        let enabling = shop.cluster().canaryctl_beside(&args);
        let restarting = async {
            // At another moment each time.
            tokio::time::sleep(Duration::from_millis(after)).await;
            restart().await.expect("no panic");
        };
        let (enabled, ()) = tokio::join!(enabling, restarting);
        if enabled.code != 0 {
            // It could not be asked for: the command says so, and a second one goes on from there.
            assert!(enabled.stderr.contains("error: cannot"), "{enabled}");
            shop.cluster().canaryctl_beside(&args).await.ok();
        }
        load.rules(Rules::On);
        load.more(60).await;
        // Nobody notices while nothing is to change.
        restart().await.expect("no panic");
        load.more(60).await;
        load.across(shop, &["disable", "--timeout", "180s"], Rules::Off, 60).await;
    }
    load.end().await.clean(400);
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}

/// Pods become ready while nobody makes them endpoints: no user is led to a lane before requests find them there.
pub(crate) async fn endpoints_late(shop: &Shop) {
    let Some(lab) = shop.cluster().lab() else {
        eprintln!("nothing is restarted: this is no lab of this machine");
        return;
    };
    shop.installed();
    let held = GRAY_SERVICES.map(|service| {
        let service = Shop::service(service);
        let mut held = manifests::deployment(shop.namespace(), service, "gray", Some("gray"), 1);
        held["spec"]["template"]["spec"]["readinessGates"] = json!([{"conditionType": HELD_BY}]);
        held
    });
    shop.cluster().apply(&held);
    let is = |pod: &Value, wanted: &str| {
        let all = pod["status"]["conditions"].as_array();
        all.into_iter().flatten().any(|one| one["type"] == wanted && one["status"] == "True")
    };
    let grays = || {
        let found = shop.cluster().get(&["-n", shop.namespace(), "pods", "-l", "version=gray"]);
        found["items"].as_array().cloned().unwrap_or_default()
    };
    let are = |wanted: &str| {
        let pods = grays();
        (pods.len() == GRAY_SERVICES.len() && pods.iter().all(|pod| is(pod, wanted))).then_some(())
    };
    for condition in ["ContainersReady", "canaryctl.io/arrived"] {
        shop.cluster().until(&format!("lane pods are {condition}"), READY_WITHIN, || are(condition));
    }
    let load = Load::start(shop, Rules::Off);
    load.more(30).await;
    load.rules(Rules::Moving);
    let lab = lab.clone();
    let restarting = tokio::task::spawn_blocking(move || {
        lab.restart(Restartable::ControllerManager, AWAY).expect("it comes back");
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::task::block_in_place(|| {
        let patch = json!({"status": {"conditions": [{"type": HELD_BY, "status": "True"}]}}).to_string();
        for pod in grays() {
            let name = pod["metadata"]["name"].as_str().expect("a name");
            shop.kubectl(&["patch", "pod", name, "--subresource=status", "-p", &patch]).ok();
        }
        shop.cluster().until("lane pods are ready", READY_WITHIN, || are("Ready"));
    });
    let begun = Instant::now();
    load.across(shop, &["enable", "--cookie", "gray=1"], Rules::On, 100).await;
    let back = restarting.await.expect("no panic");
    assert!(back > begun + ROUTED_WITHIN, "their endpoints may have been there already");
    load.across(shop, &["disable"], Rules::Off, 50).await;
    load.end().await.clean(150);
    lane_pods_saw_only(shop, "gray", "gray", 10);
    shop.remove("gray");
}
