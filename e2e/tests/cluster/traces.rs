//! Traces of the shop against what its applications say of the same request.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Ran;
use crate::flows::crowd;
use crate::shop::{GRAY_SERVICES, Shop};

/// How long a key may be in force after its run was killed: a minute, and the time that proxies take to lose it.
const EXPIRED_WITHIN: Duration = Duration::from_secs(120);
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Who served a request, and with which tag.
type Served = BTreeSet<(String, Option<String>)>;

fn trace(shop: &Shop, path: &str, args: &[&str]) -> Ran {
    let url = format!("http://{}{path}", shop.host());
    shop.cluster().canaryctl(&[&["trace", &url, "--through", "gateway"], args].concat())
}

/// Who served a request of this path, by their own words.
#[track_caller]
fn by_apps(shop: &Shop, path: &str) -> Served {
    let logs = ["v1", "gray"].map(|version| shop.access_logs(version)).concat();
    let of_path = logs.into_iter().filter(|line| line.target.starts_with(path));
    of_path.map(|line| (line.instance, line.headers.get("x-canary-lane").cloned())).collect()
}

/// Who served it, by the trace; the gateway is no application.
fn by_trace(traced: &Value) -> Served {
    let mut open: Vec<&Value> = traced["hops"][0]["calls"].as_array().into_iter().flatten().collect();
    let mut served = Served::new();
    while let Some(hop) = open.pop() {
        assert_eq!(hop["seen"], true, "{hop:#}");
        let name = hop["name"].as_str().expect("a pod").to_owned();
        served.insert((name, hop["tag"].as_str().map(str::to_owned)));
        open.extend(hop["calls"].as_array().into_iter().flatten());
    }
    served
}

/// Whether the proxy of this workload has a key.
fn has_key(shop: &Shop, namespace: &str, workload: &str) -> bool {
    let dump = ["exec", workload, "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "config_dump"];
    let dump = shop.cluster().kubectl(&[&["-n", namespace], dump.as_slice()].concat()).ok().stdout;
    assert!(dump.contains("canaryctl-"), "the filter is not in the dump");
    dump.contains("expiresUnixS")
}

fn is_key_there(shop: &Shop) -> bool {
    shop.cluster().kubectl(&["-n", "canaryctl-system", "get", "secret", "canaryctl-trace"]).code == 0
}

#[track_caller]
fn nobody_has_a_key(shop: &Shop, limit: Duration) {
    shop.cluster().until("neither the Secret nor a proxy has a key", limit, || {
        let has_key = is_key_there(shop)
            || has_key(shop, shop.namespace(), "deploy/web-gray")
            || has_key(shop, "istio-system", "deploy/istio-ingressgateway");
        (!has_key).then_some(())
    });
}

pub(crate) async fn told(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();

    let ran = trace(shop, "/traced", &["--cookie", "gray=1", "-o", "json"]).ok();
    let traced = ran.json();
    assert_eq!(traced["lane"], "gray", "{ran}");
    assert!(traced["reason"].as_str().is_some_and(|reason| reason.contains("cookie gray")), "{ran}");
    let served = by_trace(&traced);
    assert_eq!(served.len(), 4, "{ran}");
    assert_eq!(served, by_apps(shop, "/traced"));
    assert!(!is_key_there(shop), "the last run takes it away");

    let ran = trace(shop, "/dropped?forward=nothing", &["--cookie", "gray=1"]);
    assert_eq!(ran.code, 3, "{ran}");
    assert!(ran.stdout.contains("lost: cart v1 drops gray calling stock"), "{ran}");
    let ran = trace(shop, "/baseline", &["-o", "json"]).ok();
    assert_eq!((&ran.json()["lane"], by_trace(&ran.json())), (&Value::Null, by_apps(shop, "/baseline")));

    let ran = trace(shop, "/refused", &["--as", "somebody"]);
    assert!(ran.code == 1 && ran.stderr.contains("you may not create secrets"), "{ran}");
    assert!(by_apps(shop, "/refused").is_empty(), "nothing is sent");
    nobody_has_a_key(shop, TOLD_WITHIN);

    let url = format!("http://{}/killed", shop.host());
    let mut killed =
        shop.cluster().start("canaryctl", &["trace", &url, "--through", "gateway", "--late", "600"]);
    shop.cluster().until("proxies have a key", TOLD_WITHIN, || {
        has_key(shop, shop.namespace(), "deploy/web-gray").then_some(())
    });
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    assert!(is_key_there(shop), "a killed run takes nothing away");
    nobody_has_a_key(shop, EXPIRED_WITHIN);

    let url = format!("http://{}/", shop.host());
    let live = ["explain", "--live", "--url", &url, "-H", "cookie: gray=1"];
    let live = shop.cluster().canaryctl(&live).ok();
    assert!(live.stdout.contains("→ gray   rule 1: cookie gray = 1"), "{live}");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}

pub(crate) async fn watched(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let watch = ["trace", "--watch", "--every", "1s", "--late", "0"];
    let ran = shop.cluster().canaryctl(&[&watch[..], &["--lane", "blue"]].concat());
    assert!(ran.code == 1 && ran.stderr.contains("lanes that are on: gray"), "{ran}");

    let crowd = crowd(shop, "/watched");
    let lane = ["--lane", "gray", "-o", "json"];
    let ran = shop.cluster().canaryctl(&[&watch[..], &lane, &["--count", "2"]].concat()).ok();
    let flows: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a flow")).collect();
    assert_eq!(flows.len(), 2, "{ran}");
    let by_apps = by_apps(shop, "/watched");
    for flow in &flows {
        assert_eq!((&flow["lane"], &flow["request"]), (&"gray".into(), &"GET /watched".into()), "{ran}");
        assert_eq!(by_trace(flow), by_apps, "{ran}");
    }
    assert!(!is_key_there(shop), "the last run takes it away");

    let mut watching = shop.cluster().start("canaryctl", &[&watch[..], &lane].concat());
    let mut line = String::new();
    let shown = BufReader::new(watching.stdout.take().expect("piped")).read_line(&mut line);
    assert!(shown.is_ok_and(|bytes| bytes > 0), "it shows a flow");
    shop.cluster().run("kill", &["-INT", &watching.id().to_string()], None).ok();
    assert_eq!(watching.wait().expect("it ends").code(), Some(130));
    assert!(!is_key_there(shop), "Ctrl-C takes the key away");
    assert!(!crowd.is_finished(), "no flow failed meanwhile");
    crowd.abort();
    nobody_has_a_key(shop, TOLD_WITHIN);
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}
