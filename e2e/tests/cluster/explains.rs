//! What `explain --service` says of a call, against the route by which a trace saw it go.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cluster::Ran;
use crate::shop::{GRAY_SERVICES, Shop};

/// What Istio calls the route to a Service that no VirtualService names.
const PLAIN_ROUTE: &str = "default";
/// Services that sidecars call.
const CALLED: [&str; 3] = ["cart", "stock", "price"];

/// A route's name, and the subset that it leads to.
type Way = (String, Option<String>);

/// By which route each service was called.
#[track_caller]
fn traced(shop: &Shop, path: &str, cookie: Option<&str>) -> BTreeMap<String, Way> {
    let url = format!("http://{}{path}", shop.host());
    let cookie = cookie.map_or(vec![], |cookie| vec!["--cookie", cookie]);
    let args = ["trace", &url, "--through", "gateway", "-o", "json"];
    let traced = shop.cluster().canaryctl(&[&args, cookie.as_slice()].concat()).ok().json();
    let mut open: Vec<&Value> = traced["hops"].as_array().into_iter().flatten().collect();
    let mut ways = BTreeMap::new();
    while let Some(hop) = open.pop() {
        let text = |key: &str| hop[key].as_str().unwrap_or_default().to_owned();
        let name = text("name");
        let service = name.split('-').next().unwrap_or_default().to_owned();
        let subset = text("cluster").split('|').nth(2).filter(|subset| !subset.is_empty()).map(str::to_owned);
        ways.insert(service, (text("route"), subset));
        open.extend(hop["calls"].as_array().into_iter().flatten());
    }
    ways.retain(|service, _| CALLED.contains(&service.as_str()));
    assert_eq!(ways.len(), CALLED.len(), "{traced:#}");
    ways
}

fn explain(shop: &Shop, path: &str, cookie: Option<&str>, args: &[&str]) -> Ran {
    let url = format!("http://{}{path}", shop.host());
    let cookie = cookie.map(|cookie| format!("cookie: {cookie}"));
    let header = cookie.iter().flat_map(|cookie| ["-H", cookie]);
    let all = ["explain", "--live", "-n", shop.namespace(), "--url", &url];
    shop.cluster().canaryctl(&all.into_iter().chain(header).chain(args.iter().copied()).collect::<Vec<_>>())
}

/// The way of a caller of which nothing in particular is so.
fn way(outcomes: &Value) -> Way {
    let outcomes = outcomes.as_array().expect("outcomes");
    let plain = outcomes.iter().find(|outcome| outcome["when"] == json!([])).expect("one without conditions");
    let subset = plain["destinations"][0]["subset"]["name"].as_str().map(str::to_owned);
    match plain["by"].as_str() {
        Some("service") => (PLAIN_ROUTE.into(), None),
        Some("route") => (plain["name"].as_str().expect("a name").to_owned(), subset),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn at_a_service(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let to = json!([{"destination": {"host": "price"}}]);
    shop.cluster().apply(&[json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "price", "namespace": shop.namespace()},
        "spec": {"hosts": ["price"], "http": [
            {"name": "jobs", "match": [{"sourceLabels": {"app": "job"}}], "route": to},
            {"name": "one", "match": [{"uri": {"exact": "/other"}, "port": 1},
                {"uri": {"regex": "/expl.*d"}, "withoutHeaders": {"absent": {}}}], "route": to},
            {"name": "rest", "route": to},
        ]},
    })]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    for path in ["/explained", "/other"] {
        for cookie in [Some("gray=1"), None] {
            let traced = traced(shop, path, cookie);
            for service in CALLED {
                let ran = explain(shop, path, cookie, &["--service", service, "-o", "json"]).ok();
                let told = ran.json();
                let told = &told["service"];
                let outcomes = if cookie.is_some() { &told["lane"]["outcomes"] } else { &told["baseline"] };
                assert_eq!(Some(&way(outcomes)), traced.get(service), "{service} {path} {cookie:?}: {ran}");
                if service == "price" {
                    assert_eq!(outcomes[0]["when"], json!(["the caller's label app is job"]), "{ran}");
                }
            }
        }
    }
    let full = format!("price.{}", shop.namespace());
    let ran = explain(shop, "/explained", Some("gray=1"), &["--service", &full]).ok();
    let lines = [
        "→ gray   rule 1: cookie gray = 1".to_owned(),
        "  where the caller's label app is job:".into(),
        format!("  → {full}  subset canary-gray"),
        format!("  VirtualService {}/price  http[3] one  match[1]", shop.namespace()),
    ];
    for line in lines {
        assert!(ran.stdout.contains(&line), "{line} in {ran}");
    }
    let ran = explain(shop, "/", None, &["--service", "nobody"]);
    assert!(ran.code == 1 && ran.stderr.contains("there is no Service nobody in namespace"), "{ran}");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.kubectl(&["delete", "virtualservice", "price"]).ok();
    shop.remove("gray");
}
