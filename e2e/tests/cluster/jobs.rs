//! A Job whose pod has no sidecar calls a service that lanes come to and go from.

use std::time::Duration;

use serde_json::{Value, json};

use crate::judge::{Lane, Rules};
use crate::load::Load;
use crate::manifests;
use crate::shop::Shop;

/// How long a pod may take to come, and to make some calls.
const WITHIN: Duration = Duration::from_secs(60);
/// Fewest calls of a Job beside all that happens to the lane.
const CALLS_MIN: usize = 100;
const STOCK: Lane = Lane { services: &["stock"], end: "-gray" };

/// Calls stock until it is ended, by a connection for each call, and says of each the status and who answered.
const SCRIPT: &str = r#"
call() {
  printf 'GET /?user=Job HTTP/1.1\r\nhost: stock\r\nconnection: close\r\n\r\n' >&3
  cat <&3
}
while :; do
  answer=$(call 3<>/dev/tcp/stock/80)
  instance=${answer#*\"instance\":\"}
  echo "${answer:9:3} ${instance%%\"*}"
done
"#;

/// An image with a shell that nodes have: the proxy's.
pub(crate) fn image_with_shell(shop: &Shop) -> Value {
    let web = shop.cluster().get(&["-n", shop.namespace(), "pods", "-l", "app=web"]);
    let of_web = |list: &str| web["items"][0]["spec"][list].as_array().cloned().unwrap_or_default();
    let mut containers = [of_web("initContainers"), of_web("containers")].concat().into_iter();
    let proxy = containers.find(|container| container["name"] == "istio-proxy").expect("a sidecar");
    proxy["image"].clone()
}

/// A Job that runs.
struct Job<'s> {
    shop: &'s Shop,
    name: &'static str,
}

impl<'s> Job<'s> {
    /// Starts it, and waits until it calls.
    fn start(shop: &'s Shop, name: &'static str) -> Self {
        shop.cluster().apply(&[json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": shop.namespace()},
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{
                            "name": "job", "image": image_with_shell(shop), "imagePullPolicy": "IfNotPresent",
                            "command": ["bash", "-c", SCRIPT],
                        }],
                    },
                },
            },
        })]);
        let job = Self { shop, name };
        shop.cluster().until("the Job calls", WITHIN, || (!job.calls().is_empty()).then_some(()));
        job
    }

    /// What it has said of its calls.
    fn calls(&self) -> Vec<String> {
        let said = self.shop.kubectl(&["logs", &format!("job/{}", self.name)]).stdout;
        said.lines().map(str::to_owned).collect()
    }

    /// Lets it call for a while longer, and ends it.
    fn end(self) -> Vec<String> {
        let wanted = self.calls().len() + CALLS_MIN;
        let calls = self.shop.cluster().until("it calls", WITHIN, || {
            let calls = self.calls();
            (calls.len() >= wanted).then_some(calls)
        });
        self.shop.kubectl(&["delete", "job", self.name]).ok();
        calls
    }
}

/// How many calls a version answered; none may have failed.
#[track_caller]
fn answered(calls: &[String], version: &str) -> usize {
    let failed: Vec<&String> = calls.iter().filter(|call| !call.starts_with("200 stock-")).collect();
    assert!(failed.is_empty(), "{} of {} calls failed: {failed:?}", failed.len(), calls.len());
    calls.iter().filter(|call| call.starts_with(&format!("200 stock-{version}-"))).count()
}

/// The lane's pods, in the selector of stock or outside.
fn lane_pods(shop: &Shop, is_selected: bool) -> Value {
    let mut pods = manifests::deployment(shop.namespace(), Shop::service("stock"), "gray", Some("gray"), 1);
    if !is_selected {
        pods["spec"]["selector"]["matchLabels"]["app"] = "stock-gray".into();
        pods["spec"]["template"]["metadata"]["labels"]["app"] = "stock-gray".into();
    }
    pods
}

pub(crate) async fn beside_a_lane(shop: &Shop) {
    shop.installed();
    let shop = &Shop::open_to_all(shop.cluster()).await;
    for (name, is_selected) in [("selected", true), ("unselected", false)] {
        shop.cluster().apply(&[lane_pods(shop, is_selected)]);
        shop.rolled_out();
        let job = Job::start(shop, name);
        let load = Load::of_lane(shop, STOCK, Rules::Off);
        // Outside the selector the lane has no pods at stock, for anybody.
        let on = if is_selected { Rules::On } else { Rules::Off };
        for _ in 0..2 {
            load.across(shop, &["enable", "--cookie", "gray=1"], on, 100).await;
            load.across(shop, &["disable"], Rules::Off, 50).await;
        }
        load.end().await.clean(300);
        let calls = job.end();
        let (baseline, lane) = (answered(&calls, "v1"), answered(&calls, "gray"));
        assert_eq!(baseline + lane, calls.len(), "others answered");
        assert_eq!(lane > 0, is_selected, "{lane} of {} calls were answered by the lane's pod", calls.len());
        assert!(baseline > 0, "the baseline answered no call");
        shop.remove("gray");
    }
    shop.close();
}
