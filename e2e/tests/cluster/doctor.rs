//! What `doctor` says of workloads, against what is known of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use canary_localmesh::Protocol;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::Ran;
use crate::flows::Caller;
use crate::manifests;
use crate::shop::{GRAY_SERVICES, Shop};

/// A filter hands its counts over once a second; a proxy may be slow to begin.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
/// Flows of each kind.
const FLOWS: u64 = 5;
const GRAY: [(&str, &str); 1] = [("cookie", "gray=1")];

fn doctor(shop: &Shop, args: &[&str]) -> Ran {
    shop.cluster().canaryctl(&[&["doctor", "-n", shop.namespace()], args].concat())
}

/// What is said of a workload of a service.
fn block<'r>(report: &'r Value, service: &str, workload: &str) -> &'r Value {
    let name =
        |value: &Value| value["service"].as_str().unwrap_or_default().split('.').next() == Some(service);
    let services = report["services"].as_array().into_iter().flatten();
    let found =
        services.filter(|one| name(one)).flat_map(|one| one["workloads"].as_array().into_iter().flatten());
    let mut found = found.filter(|block| block["workload"] == workload);
    found.next().unwrap_or_else(|| panic!("{workload} in {report:#}"))
}

/// The codes of everything that is said of a workload.
fn codes(block: &Value) -> Vec<&str> {
    block["issues"].as_array().into_iter().flatten().filter_map(|issue| issue["code"].as_str()).collect()
}

async fn send(shop: &Shop, path: &str) {
    let caller = Caller::new(shop, Protocol::Http1);
    for _ in 0..FLOWS {
        let answer = caller.send_to(path, &GRAY).await;
        assert_eq!(answer.failure, None);
    }
}

/// What is said to who speaks an old version.
async fn ask_in_http10(server: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(server).await?;
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

pub(crate) async fn told(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let report = doctor(shop, &["-o", "json"]).ok().json();
    for (service, workload) in
        [("web", "web-v1"), ("web", "web-gray"), ("cart", "cart-v1"), ("price", "price-gray")]
    {
        let block = block(&report, service, workload);
        assert_eq!(
            (&block["pods"], &block["ready"], &block["mutualTls"]),
            (&json!(1), &json!(1), &json!("strict"))
        );
        let proxies = block["proxies"].as_array().expect("proxies");
        assert_eq!(proxies.len(), 1, "{block:#}");
        let proxy = &proxies[0];
        assert_eq!(proxy["filter"]["state"], "live", "{block:#}");
        assert!(proxy["istio"].is_string() && proxy["envoy"].is_string(), "{block:#}");
    }
    assert_eq!(block(&report, "web", "web-gray")["ids"]["tagged"], 0);

    send(shop, "/?forward=nothing").await;
    shop.cluster().until("web-gray drops every tag", SEEN_WITHIN, || {
        let report = doctor(shop, &["web", "-o", "json"]).ok().json();
        let block = block(&report, "web", "web-gray");
        let has_seen_all = block["ids"]["tagged"] == FLOWS && block["ids"]["byColour"] == FLOWS;
        (has_seen_all && codes(block) == ["CC406"]).then_some(())
    });

    shop.kubectl(&["rollout", "restart", "deploy/web-gray"]).ok();
    shop.rolled_out();
    let services = ["web", "stock"].map(|service| format!("{service}.{}", shop.namespace()));
    let both = services.each_ref().map(String::as_str);
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        send(shop, "/").await;
        let report = doctor(shop, &[&both, &["-o", "json"][..]].concat()).ok().json();
        let (web, stock) = (block(&report, "web", "web-gray"), block(&report, "stock", "stock-gray"));
        let carriers = |block: &Value| {
            let carriers = block["ids"]["byCarrier"].as_object().into_iter().flatten();
            carriers.map(|(carrier, _)| carrier.clone()).collect::<Vec<_>>()
        };
        if carriers(web) == ["baggage"] && carriers(stock) == ["request_id"] && codes(web).is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "what each hands on is not told: {report:#}");
    }
    let ran = doctor(shop, &["web"]).ok();
    for line in ["web-gray\n  pods      1 of 1 ready", "  filter    live in 1 of 1", "  hands on  baggage "] {
        assert!(ran.stdout.contains(line), "{line} in {ran}");
    }

    let mut bare = manifests::deployment(shop.namespace(), Shop::service("price"), "bare", None, 1);
    bare["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] = json!("false");
    shop.cluster().apply(&[bare]);
    shop.rolled_out();
    let report = doctor(shop, &["price", "-o", "json"]).ok().json();
    assert_eq!(codes(block(&report, "price", "price-bare")), ["CC402"], "{report:#}");
    assert_eq!(codes(block(&report, "price", "price-gray")), Vec::<&str>::new(), "{report:#}");

    let answer = ask_in_http10(shop.gateway()).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    shop.cluster().until("the refusal of HTTP/1.0 is in the gateway's log", SEEN_WITHIN, || {
        let report = doctor(shop, &["istio-ingressgateway.istio-system", "-o", "json"]).ok().json();
        let block = block(&report, "istio-ingressgateway", "istio-ingressgateway");
        codes(block).contains(&"CC412").then_some(())
    });

    let ran = doctor(shop, &["nobody"]);
    assert!(ran.code == 1 && ran.stderr.contains("there is no Service nobody in namespace"), "{ran}");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("bare");
    shop.remove("gray");
}
