//! What fails while lanes are on, and what nobody may notice of it.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_localmesh::Protocol;
use rustix::process::{Pid, Signal, kill_process};

use crate::flows::Caller;
use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::shop::{GRAY_SERVICES, INSTALL, Shop};

pub(crate) async fn pods(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let load = Load::start(shop, Rules::On);
    load.more(100).await;
    let rolled = {
        let (cluster, namespace) = (shop.cluster().clone(), shop.namespace().to_owned());
        tokio::task::spawn_blocking(move || {
            // One pod: half of the baseline is not ready while the new one starts.
            cluster.kubectl(&["-n", &namespace, "rollout", "restart", "deploy", "stock-v1"]).ok();
            cluster
                .kubectl(&["-n", &namespace, "rollout", "status", "deploy", "stock-v1", "--timeout=120s"])
                .ok();
        })
    };
    rolled.await.expect("it rolls");
    load.more(100).await;
    // The lane's own pod goes: its flows fall back, none fails.
    load.rules(Rules::Moving);
    shop.kubectl(&["scale", "deploy", "stock-gray", "--replicas=0"]).ok();
    load.more(300).await;
    shop.kubectl(&["scale", "deploy", "stock-gray", "--replicas=1"]).ok();
    shop.rolled_out();
    load.more(100).await;
    load.end().await.clean(600);
    shop.cluster().canaryctl(&["disable"]).ok();
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}

pub(crate) async fn controller(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let load = Load::start(shop, Rules::Off);
    for round in 0..4 {
        load.rules(Rules::Moving);
        let args = ["enable", "--cookie", "gray=1", "--timeout", "120s"];
        let enabling = shop.cluster().canaryctl_beside(&args);
        let killing = async {
            // At another moment each time.
            tokio::time::sleep(Duration::from_millis(150 * round)).await;
            shop.cluster().kill_controllers();
        };
        let (enabled, ()) = tokio::join!(enabling, killing);
        enabled.ok();
        load.rules(Rules::On);
        load.more(60).await;
        load.across(shop, &["disable", "--timeout", "120s"], Rules::Off, 60).await;
    }
    load.end().await.clean(400);
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}

pub(crate) async fn istiods(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let istiod = |args: &[&str]| shop.cluster().kubectl(&[&["-n", "istio-system"], args].concat()).ok();
    let scaled = |replicas: &str| {
        istiod(&["scale", "deploy", "istiod", &format!("--replicas={replicas}")]);
        istiod(&["rollout", "status", "deploy", "istiod", "--timeout=90s"]);
    };
    // Which of the two a proxy asks is chance.
    scaled("2");
    let load = Load::start(shop, Rules::Off);
    for round in 0..3 {
        load.rules(Rules::Moving);
        let enabling =
            shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1", "--timeout", "120s"]);
        let killing = async {
            tokio::time::sleep(Duration::from_millis(200 * round)).await;
            let pods = istiod(&["get", "pods", "-l", "app=istiod", "-o", "name"]).stdout;
            let first = pods.lines().next().expect("an istiod");
            istiod(&["delete", first, "--force", "--grace-period=0"]);
        };
        let (enabled, ()) = tokio::join!(enabling, killing);
        enabled.ok();
        load.rules(Rules::On);
        load.more(60).await;
        load.across(shop, &["disable", "--timeout", "120s"], Rules::Off, 60).await;
    }
    load.end().await.clean(300);
    lane_pods_saw_only(shop, "gray", "gray", 20);
    scaled("1");
    shop.remove("gray");
}

pub(crate) async fn frozen_proxy(shop: &Shop) {
    shop.installed();
    let pods = shop.cluster().get(&["-n", shop.namespace(), "pods", "-l", "app=cart"]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().expect("cart's pod").to_owned();
    let frozen = Frozen::freeze(&pod);
    shop.gray_to_come("gray", "gray", &["stock"]);
    let args = ["enable", "--cookie", "gray=1", "--timeout", "25s"];
    let late = shop.cluster().canaryctl_beside(&args).await;
    assert_eq!(late.code, 4, "{late}");
    assert!(late.stderr.contains(&format!("{pod}.{}", shop.namespace())), "the proxy is named: {late}");
    // Nobody is put in a lane that a proxy does not know.
    let edges = shop.cluster().get(&["wasmplugins", "-A", "-l", "canaryctl.io/role=edge"]);
    assert_eq!(edges["items"][0]["spec"]["pluginConfig"]["lanes"], serde_json::json!([]));
    // That proxy would take the lane's pods for the baseline's, were they ready.
    let runs =
        || conditions(shop, "version=gray").get("ContainersReady").is_some_and(|is_so| *is_so).then_some(());
    shop.cluster().until("the lane's pod runs", Duration::from_secs(60), runs);
    let said = conditions(shop, "version=gray");
    assert_eq!((said["Ready"], said.get("canaryctl.io/arrived")), (false, None), "{said:?}");
    // An operator who knows better leaves it out.
    shop.kubectl(&["annotate", "pod", &pod, "canaryctl.io/awaited=false"]).ok();
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1", "--timeout", "60s"]).await.ok();
    shop.rolled_out();
    let check = shop.cluster().canaryctl(&["check"]);
    assert!(check.stdout.contains("CC307") && check.stdout.contains(&pod), "{check}");
    shop.cluster().canaryctl_beside(&["disable", "--timeout", "60s"]).await.ok();
    shop.kubectl(&["annotate", "pod", &pod, "canaryctl.io/awaited-"]).ok();
    drop(frozen);
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1", "--timeout", "90s"]).await.ok();
    let caller = Caller::new(shop, Protocol::Http1);
    assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), "web-v1 cart-v1 stock-gray price-v1");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}

/// The conditions of the only pod that this selects.
fn conditions(shop: &Shop, selector: &str) -> BTreeMap<String, bool> {
    let pods = shop.cluster().get(&["-n", shop.namespace(), "pods", "-l", selector]);
    let conditions = pods["items"][0]["status"]["conditions"].as_array().into_iter().flatten();
    let named =
        conditions.map(|one| (one["type"].as_str().unwrap_or_default().into(), one["status"] == "True"));
    named.collect()
}

pub(crate) async fn restricted(shop: &Shop) {
    shop.installed();
    // Its proxies see their own namespace and nothing of ours.
    shop.cluster().apply(&[serde_json::json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
        "metadata": {"name": "default", "namespace": shop.namespace()},
        "spec": {"egress": [{"hosts": ["./*", "istio-system/*"]}]},
    })]);
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let load = Load::start(shop, Rules::Off);
    for _ in 0..3 {
        load.across(shop, &["enable", "--cookie", "gray=1"], Rules::On, 60).await;
        load.across(shop, &["disable"], Rules::Off, 60).await;
    }
    load.end().await.clean(350);
    shop.kubectl(&["delete", "sidecar", "default"]).ok();
    shop.remove("gray");
}

pub(crate) async fn refused_elsewhere(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let inline = serde_json::json!({"inline_string": "this is no Lua"});
    let lua = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
    let hcm = "envoy.filters.network.http_connection_manager";
    let before_router = serde_json::json!({"context": "SIDECAR_OUTBOUND", "listener":
        {"filterChain": {"filter": {"name": hcm, "subFilter": {"name": "envoy.filters.http.router"}}}}});
    shop.cluster().apply(&[serde_json::json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": "broken", "namespace": shop.namespace()},
        "spec": {"workloadSelector": {"labels": {"app": "stock"}}, "configPatches": [{
            "applyTo": "HTTP_FILTER", "match": before_router,
            "patch": {"operation": "INSERT_BEFORE", "value": {"name": "broken",
                "typed_config": {"@type": lua, "default_source_code": inline}}},
        }]},
    })]);
    shop.cluster().until("stock's proxy refuses it", Duration::from_secs(30), || {
        let asked = ["exec", "deploy/stock-v1", "-c", "istio-proxy", "--"];
        let stats = ["pilot-agent", "request", "GET", "stats?filter=lds.update_rejected"];
        let answer = shop.kubectl(&[asked.as_slice(), &stats].concat()).ok();
        answer.stdout.lines().any(|line| !line.trim_end().ends_with(": 0")).then_some(())
    });
    let load = Load::start(shop, Rules::Moving);
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1", "--timeout", "60s"]).await.ok();
    load.rules(Rules::On);
    load.more(60).await;
    load.across(shop, &["disable", "--timeout", "60s"], Rules::Off, 60).await;
    load.end().await.clean(150);
    shop.kubectl(&["delete", "envoyfilter", "broken"]).ok();
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}

pub(crate) async fn provers(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &["stock"]);
    let install: Vec<&str> = [INSTALL.as_slice(), &["--timeout", "60s"]].concat();
    for verb in [&["enable", "--cookie", "gray=1", "--timeout", "60s"][..], &["disable", "--timeout", "60s"]]
        .repeat(3)
    {
        let (installed, done) =
            tokio::join!(shop.cluster().canaryctl_beside(&install), shop.cluster().canaryctl_beside(verb));
        installed.ok();
        done.ok();
    }
    shop.remove("gray");
}

pub(crate) async fn kill_switch(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &["stock"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let status = shop.cluster().canaryctl(&["status"]).ok().stdout;
    let line = status.lines().find(|line| line.trim().starts_with("kubectl")).expect("it is printed").trim();
    shop.kubectl(&["-n", "canaryctl-system", "scale", "deploy", "canaryctl-controller", "--replicas=0"]).ok();
    shop.cluster().run("sh", &["-c", line], None).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    off(shop, &caller).await;
    // A controller that is there leaves the switch as it is.
    shop.kubectl(&["-n", "canaryctl-system", "scale", "deploy", "canaryctl-controller", "--replicas=2"]).ok();
    shop.cluster()
        .kubectl(&[
            "-n",
            "canaryctl-system",
            "rollout",
            "status",
            "deploy/canaryctl-controller",
            "--timeout=60s",
        ])
        .ok();
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1", "--priority", "1"]).ok();
    off(shop, &caller).await;
    let status = shop.cluster().canaryctl(&["status"]).ok().stdout;
    let line = status.lines().find_map(|line| line.split("On again: ").nth(1)).expect("it says how to go on");
    shop.cluster().run("sh", &["-c", line], None).ok();
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    while caller.send(&[("cookie", "gray=1")]).await.version("stock") != Some("gray") {
        assert!(std::time::Instant::now() < deadline, "the lane does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}

/// Waits until the cookie puts nobody in the lane any more.
async fn off(shop: &Shop, caller: &Caller) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while caller.send(&[("cookie", "gray=1")]).await.version("stock") != Some("v1") {
        assert!(std::time::Instant::now() < deadline, "{} is still in the lane", shop.namespace());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The Envoy of a pod, stopped; it goes on when this is dropped.
struct Frozen(Pid);

impl Frozen {
    fn freeze(pod: &str) -> Self {
        let pid = envoy_of(pod).expect("the pod's Envoy is a process of this machine");
        kill_process(pid, Signal::STOP).expect("root may stop it");
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Its pod may be gone.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn envoy_of(pod: &str) -> Option<Pid> {
    let wanted = format!("POD_NAME={pod}");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let number = numbers.find(|number| {
        let read = |name: &str| std::fs::read(format!("/proc/{number}/{name}")).unwrap_or_default();
        read("comm").starts_with(b"envoy")
            && read("environ").split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
    })?;
    Pid::from_raw(number)
}
