//! Policies that govern stable pods: what those refuse, pods of a lane refuse.
//!
//! The lab's network enforces no NetworkPolicy: of one, the test says which pods it selects.

use std::time::Duration;

use canary_localmesh::{Client, Protocol, Tree};
use serde_json::{Value, json};

use crate::flows::deployment_of;
use crate::judge::Rules;
use crate::load::Load;
use crate::manifests;
use crate::releases::{self, LANE};
use crate::shop::Shop;

/// How long a policy may take to be in force.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);
/// A key of RFC 7518's `oct` kind, and a token of alice's that is signed by it.
const KEYS: &str = r#"{"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
const TOKEN: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.eyJpc3MiOiJzaG9wLnRlc3QiLCJzdWIiOiJhbGljZSJ9.crWeVRfQW3okn8i3ieK5L3pkZEOMvvalaXG4_UXBC1c";
const FORGED: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.eyJpc3MiOiJzaG9wLnRlc3QiLCJzdWIiOiJhbGljZSJ9.AAAAAfQW3okn8i3ieK5L3pkZEOMvvalaXG4_UXBC1c";
/// The policy that selects by the version, too.
const CALLERS: &str = "stock-callers";

/// Who may call stock, with what, and from where.
fn policies(namespace: &str) -> Vec<Value> {
    let of_security = |kind: &str, name: &str, selector: Value, mut spec: Value| {
        spec["selector"] = json!({"matchLabels": selector});
        json!({
            "apiVersion": "security.istio.io/v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    };
    let shop = format!("cluster.local/ns/{namespace}/sa/default");
    let stock = || json!({"app": "stock"});
    vec![
        of_security(
            "AuthorizationPolicy",
            CALLERS,
            json!({"app": "stock", "version": "v1"}),
            json!({"action": "ALLOW", "rules": [{"from": [{"source": {"principals": [shop]}}]}]}),
        ),
        of_security(
            "AuthorizationPolicy",
            "stock-secret",
            stock(),
            json!({"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/secret"]}}]}]}),
        ),
        of_security(
            "RequestAuthentication",
            "stock-tokens",
            stock(),
            json!({"jwtRules": [{"issuer": "shop.test", "jwks": KEYS}]}),
        ),
        of_security(
            "AuthorizationPolicy",
            "stock-tokens",
            stock(),
            json!({"action": "DENY", "rules": [{
                "from": [{"source": {"notRequestPrincipals": ["*"]}}],
                "to": [{"operation": {"paths": ["/token"]}}],
            }]}),
        ),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "stock", "namespace": namespace},
            "spec": {"podSelector": {"matchLabels": {"app": "stock", "version": "v1"}}, "ingress": [{}]},
        }),
    ]
}

/// A caller of stock with an account of its own, behind the gateway like the shop.
fn stranger(namespace: &str) -> Vec<Value> {
    let named = |api_version: &str, kind: &str, spec: Value| {
        json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": "stranger", "namespace": namespace}, "spec": spec,
        })
    };
    let service =
        manifests::Service { name: "stranger", calls: &["stock"], forward: &["x-request-id"], grpc: false };
    let mut deployment = manifests::deployment(namespace, &service, "v1", None, 1);
    deployment["spec"]["template"]["spec"]["serviceAccountName"] = "stranger".into();
    let hosts = json!([host_of_stranger(namespace)]);
    let server = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stranger", "namespace": namespace}}),
        named(
            "v1",
            "Service",
            json!({"selector": {"app": "stranger"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}),
        ),
        named(
            "networking.istio.io/v1",
            "Gateway",
            json!({"selector": {"istio": "ingressgateway"}, "servers": [server]}),
        ),
        named(
            "networking.istio.io/v1",
            "VirtualService",
            json!({
                "hosts": hosts, "gateways": ["stranger"],
                "http": [{"route": [{"destination": {"host": "stranger"}}]}],
            }),
        ),
        deployment,
    ]
}

fn host_of_stranger(namespace: &str) -> String {
    format!("stranger.{}", manifests::host(namespace))
}

/// What stock answered: a status, and its Deployment where one of its pods did.
async fn stock(shop: &Shop, host: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let client = Client::new(shop.gateway(), Protocol::Http1);
    let path = format!("{path}?forward=authorization,traceparent,x-request-id");
    let reply = client.get(host, &path, headers).await.expect("an answer");
    let tree: Tree = serde_json::from_slice(&reply.body).unwrap_or_default();
    let found = tree.walk().find(|tree| tree.service.starts_with("stock."));
    found.map_or_else(
        || format!("{} {}", reply.status.as_u16(), reply.text()),
        |tree| format!("{} {}", tree.status, deployment_of(&tree.instance)),
    )
}

/// How stock answers a user with these headers, each way of asking in turn.
async fn answers(shop: &Shop, user: &[(&str, &str)]) -> Vec<String> {
    let host = shop.host();
    let with = |token: &'static str| [user, &[("authorization", token)]].concat();
    vec![
        stock(shop, &host, "/", user).await,
        stock(shop, &host, "/secret", user).await,
        stock(shop, &host, "/token", user).await,
        stock(shop, &host, "/token", &with(FORGED)).await,
        stock(shop, &host, "/token", &with(TOKEN)).await,
        stock(shop, &host_of_stranger(shop.namespace()), "/", user).await,
    ]
}

/// How they are to be where this Deployment serves.
fn wanted(deployment: &str) -> [String; 6] {
    let served = format!("200 {deployment}");
    let refused = |status: u16| format!("{status} ");
    [served.clone(), refused(403), refused(403), refused(401), served, refused(403)]
}

const GRAY: &[(&str, &str)] = &[("cookie", "gray=1")];

/// Waits until stock answers so.
async fn settled(shop: &Shop, user: &[(&str, &str)], wanted: &[String]) {
    let deadline = tokio::time::Instant::now() + IN_FORCE_WITHIN;
    loop {
        let now = answers(shop, user).await;
        if now == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "stock answers {now:?}, not {wanted:?}");
    }
}

/// Names of pods that a selector selects.
#[track_caller]
fn pods(shop: &Shop, selector: &str) -> Vec<String> {
    let listed = shop.kubectl(&["get", "pods", "-l", selector, "-o", "name"]).ok().stdout;
    listed.lines().map(str::to_owned).collect()
}

pub(crate) async fn govern(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&policies(shop.namespace()));
    shop.cluster().apply(&stranger(shop.namespace()));
    shop.rolled_out();
    let stable = wanted("stock-v1");
    for user in [&[][..], GRAY] {
        settled(shop, user, &stable).await;
    }

    let load = Load::of_lane(shop, LANE, Rules::Off);
    load.more(50).await;
    load.rules(Rules::Moving);
    releases::start(shop, &[]).await.ok();
    load.rules(Rules::On);
    let copies = pods(shop, "app=stock,canaryctl.io/lane=r");
    assert!(!copies.is_empty(), "stock has a copy");
    assert_eq!(pods(shop, "app=stock,version=v1"), pods(shop, "app=stock"), "what the NetworkPolicy selects");
    for _ in 0..5 {
        assert_eq!(answers(shop, &[]).await, stable);
        assert_eq!(answers(shop, GRAY).await, wanted("stock-v1-r"));
    }
    load.more(100).await;
    let seen =
        shop.kubectl(&["logs", "-l", "app=stock,canaryctl.io/lane=r", "-c", "app", "--tail=-1"]).ok().stdout;
    assert!(seen.contains("/token?") && !seen.contains("/secret"), "{seen}");
    load.rules(Rules::Moving);
    releases::release(shop, &["promote"]).await.ok();
    load.rules(Rules::Off);
    for user in [&[][..], GRAY] {
        assert_eq!(answers(shop, user).await, stable);
    }
    releases::release(shop, &["undo"]).await.ok();
    load.more(50).await;
    load.end().await.clean(200);
    releases::forget(shop);
    left_out(shop).await;

    shop.kubectl(&["delete", "authorizationpolicies,requestauthentications,networkpolicies", "--all"]).ok();
    shop.kubectl(&["delete", "svc,sa,gateways.networking.istio.io,vs", "stranger"]).ok();
    shop.kubectl(&["delete", "deploy", "stranger-v1"]).ok();
}

/// Pods that their owner put in a lane without a label that a policy selects by: `check` names it, and its mend
/// mends it.
async fn left_out(shop: &Shop) {
    shop.gray("gray", "gray", &["stock"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let check = || shop.cluster().canaryctl(&["check"]).ok().stdout;
    let says = format!(
        "CC308  AuthorizationPolicy {namespace}/{CALLERS} holds for pods of {namespace}/stock, but not for those of \
         stock-gray in lane gray",
        namespace = shop.namespace()
    );
    let before = check();
    assert!(before.contains(&says), "{before}");
    assert!(!before.contains("stock-secret"), "{before}");
    let mut unguarded = wanted("stock-gray");
    unguarded[5] = unguarded[0].clone();
    settled(shop, GRAY, &unguarded).await;
    let by_app = r#"[{"op": "remove", "path": "/spec/selector/matchLabels/version"}]"#;
    shop.kubectl(&["patch", "authorizationpolicy", CALLERS, "--type=json", "-p", by_app]).ok();
    settled(shop, GRAY, &wanted("stock-gray")).await;
    let after = check();
    assert!(!after.contains(CALLERS), "{after}");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}
