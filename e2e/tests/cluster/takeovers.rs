//! Developers who have a service's requests, each their own, and everybody else who has none of theirs.
//!
//! The laptop here is a container beside the gate: how bytes get from a pod to a developer's machine is another
//! matter, and has tests of its own.

use std::time::Duration;

use canary_localmesh::{Client, Protocol, Tree};
use serde_json::{Value, json};

use crate::flows::Caller;
use crate::judge::{Lane, Rules};
use crate::load::Load;
use crate::manifests::CHAIN;
use crate::shop::Shop;

/// Where an agent's pods stand among those of cart.
pub(crate) const AGENTS: Lane = Lane { services: &["cart"], end: "cart-dev" };
/// How long an agent's pod may take to be ready.
const READY_WITHIN: &str = "--timeout=90s";
/// A minute without an agent, and the time until no proxy routes by its lane and nothing of it is left.
const OVER_WITHIN: Duration = Duration::from_secs(120);
/// How long proxies may take to hear of a pod that is ready.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);
/// Where the laptop's container listens.
const LAPTOP_PORT: u16 = 15_790;

/// What stays while developers come and go, by kind and name.
fn things(shop: &Shop) -> String {
    shop.kubectl(&["get", "pods,jobs,vs,dr,takeovers,endpointslices", "-o", "name"]).ok().stdout
}

/// The same once nothing is on its way out any more that another test has made.
pub(crate) async fn things_at_rest(shop: &Shop) -> String {
    let deadline = tokio::time::Instant::now() + OVER_WITHIN;
    loop {
        let now = things(shop);
        let count = |kind: &str| now.lines().filter(|line| line.starts_with(kind)).count();
        let is_shop = count("pod/") == CHAIN.len() && count("endpointslice") == CHAIN.len();
        if is_shop && !now.contains("/canaryctl-") {
            return now;
        }
        assert!(tokio::time::Instant::now() < deadline, "more than the shop is there:\n{now}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn takeover(shop: &Shop, user: &str, when: &Value) -> Value {
    json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Takeover",
        "metadata": {"name": format!("cart-dev-{user}"), "namespace": shop.namespace()},
        "spec": {
            "service": "cart", "ports": [80], "lane": format!("dev-{user}"),
            "rules": [{"when": when, "sticky": false}], "owner": {"user": user, "machine": "laptop"},
        },
    })
}

fn header(user: &str) -> Value {
    json!({"header": {"name": "x-dev", "exact": user}})
}

/// Makes it as its user, who may do everything else.
fn take(shop: &Shop, user: &str, when: &Value) -> crate::cluster::Ran {
    let object = takeover(shop, user, when).to_string();
    let args = ["create", "-f", "-", "--as", user, "--as-group", "system:masters"];
    shop.cluster().run("kubectl", &args, Some(&object))
}

/// The agent of a takeover that every proxy knows.
fn serve(shop: &Shop, user: &str) {
    let name = format!("cart-dev-{user}");
    let place = format!("takeover/{name}");
    shop.kubectl(&["wait", &place, "--for=condition=Programmed", READY_WITHIN]).ok();
    let taken = shop.cluster().get(&["-n", shop.namespace(), &place]);
    shop.cluster().apply(&[agent(shop, user, &taken)]);
    let pods = format!("-l=canaryctl.io/takeover={name}");
    shop.cluster().until("the agent has a pod", Duration::from_secs(30), || {
        let found = shop.kubectl(&["get", "pods", &pods, "-o", "name"]).ok().stdout;
        (!found.is_empty()).then_some(())
    });
    shop.kubectl(&["wait", &place, "--for=condition=Arrived", READY_WITHIN]).ok();
}

fn agent(shop: &Shop, user: &str, taken: &Value) -> Value {
    let name = &taken["metadata"]["name"];
    let lane = format!("dev-{user}");
    let host = format!("cart.{}.svc.cluster.local:80", shop.namespace());
    let config = json!({
        "service": format!("cart.{}", shop.namespace()), "version": user,
        "listen": format!("0.0.0.0:{LAPTOP_PORT}"),
        "behaviour": {
            "calls": [format!("stock.{}", shop.namespace())], "forward": ["traceparent", "x-request-id"],
            "accessLog": ["x-canary-lane"],
        },
    });
    let mut labels = json!({"app": "cart", "canaryctl.io/lane": lane, "canaryctl.io/takeover": name});
    labels[format!("lane.canaryctl.io/{lane}")] = "member".into();
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "namespace": shop.namespace(),
            "ownerReferences": [{
                "apiVersion": "canaryctl.io/v1alpha1", "kind": "Takeover", "name": name, "uid": taken["metadata"]["uid"],
            }],
        },
        "spec": {"template": {
            "metadata": {"labels": labels},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 12,
                "initContainers": [{
                    "name": "gate", "image": "canary-lab.test/canaryctl:1", "imagePullPolicy": "IfNotPresent",
                    "restartPolicy": "Always", "ports": [{"containerPort": 8080}],
                    "args": ["gate", "--tag-header=x-canary-lane", format!("--lane={lane}"),
                        format!("--port=8080={host}=127.0.0.1:{LAPTOP_PORT}")],
                }],
                "containers": [{
                    "name": "app", "image": "canary-lab.test/app:1", "imagePullPolicy": "IfNotPresent",
                    "args": ["--config-json", config.to_string()],
                    "readinessProbe": {"tcpSocket": {"port": LAPTOP_PORT}, "periodSeconds": 1},
                }],
            },
        }},
    })
}

/// Who answers for cart.
async fn cart(caller: &Caller, headers: &[(&str, &str)]) -> String {
    let answer = caller.send(headers).await;
    assert_eq!(answer.failure, None, "{headers:?}");
    assert_eq!(answer.version("price"), Some("v1"), "the chain goes on: {}", answer.path());
    answer.version("cart").expect("cart is in the chain").to_owned()
}

/// Waits until requests of a developer get where they are to: a pod that is ready is not yet known to every proxy.
pub(crate) async fn arrived(caller: &Caller, user: &str, version: &str) {
    let deadline = tokio::time::Instant::now() + KNOWN_WITHIN;
    loop {
        let answer = caller.send(&[("x-dev", user)]).await;
        assert_eq!(answer.failure, None, "{user}");
        if answer.version("cart") == Some(version) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{user}'s requests go {}", answer.path());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn over(shop: &Shop, before: &str) {
    let deadline = tokio::time::Instant::now() + OVER_WITHIN;
    loop {
        let now = things(shop);
        if now == before {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "left is:\n{now}\nwhere there was:\n{before}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

pub(crate) async fn beside(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    let load = Load::of_lane(shop, AGENTS, Rules::Off);
    load.more(50).await;
    for user in ["alice", "bob"] {
        take(shop, user, &header(user)).ok();
    }
    for user in ["alice", "bob"] {
        serve(shop, user);
    }
    let caller = Caller::new(shop, Protocol::Http1);
    for user in ["alice", "bob"] {
        arrived(&caller, user, user).await;
    }
    for _ in 0..100 {
        for user in ["alice", "bob"] {
            assert_eq!(cart(&caller, &[("x-dev", user)]).await, user);
        }
        assert_eq!(cart(&caller, &[("x-dev", "carol")]).await, "v1");
    }
    load.more(200).await;
    let listed = shop.cluster().canaryctl(&["-n", shop.namespace(), "dev", "list"]).ok().stdout;
    let of = |user: &str| listed.lines().find(|line| line.contains(&format!("{user} on laptop")));
    for user in ["alice", "bob"] {
        let line = of(user).expect(user);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(line.contains(&format!("header x-dev = {user}")) && words.contains(&"on"), "{listed}");
    }

    // A laptop that goes: its own requests are the baseline's, and in the end nothing is left of it.
    shop.kubectl(&["delete", "job", "cart-dev-alice", "--wait=false"]).ok();
    let mut of_baseline = 0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while of_baseline < 20 {
        of_baseline = if cart(&caller, &[("x-dev", "alice")]).await == "v1" { of_baseline + 1 } else { 0 };
        assert!(tokio::time::Instant::now() < deadline, "alice's laptop still answers");
    }
    assert_eq!(cart(&caller, &[("x-dev", "bob")]).await, "bob", "bob has his own still");
    load.more(100).await;
    let stopped = ["-n", shop.namespace(), "dev", "stop", "cart-dev-bob", "--yes"];
    let stopped = shop.cluster().canaryctl_beside(&stopped).await.ok();
    assert!(stopped.stdout.contains("is over: no proxy routes by it"), "{stopped}");
    assert_eq!(cart(&caller, &[("x-dev", "bob")]).await, "v1");
    over(shop, &before).await;
    load.more(50).await;
    load.end().await.clean(450);
}

pub(crate) async fn strangers(shop: &Shop) {
    shop.installed();
    let shop = &Shop::open_to_all(shop.cluster()).await;
    let before = things_at_rest(shop).await;
    take(shop, "alice", &header("alice")).ok();
    serve(shop, "alice");
    let service = shop.cluster().get(&["-n", shop.namespace(), "svc", "cart"]);
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    let address = format!("{address}:80").parse().expect("an address");
    let (mut handed_on, mut all) = (0, 0);
    while handed_on < 20 {
        // A connection each, so that Kubernetes picks a pod each time.
        let client = Client::new(address, Protocol::Http1);
        let reply = client.get("cart", "/", &[("x-canary-lane", "dev-alice")]).await.expect("an answer");
        let tree: Tree = serde_json::from_slice(&reply.body).expect("a tree");
        assert_eq!((reply.status.as_u16(), tree.version.as_str()), (200, "v1"), "{tree:?}");
        handed_on += usize::from(tree.received.contains_key("x-canary-handed-on"));
        all += 1;
        assert!(all < 500, "Kubernetes picked the agent's pod {handed_on} times only");
    }
    shop.cluster().canaryctl(&["-n", shop.namespace(), "dev", "stop", "cart-dev-alice", "--yes"]).ok();
    over(shop, &before).await;
    shop.close();
}

pub(crate) async fn refused(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    take(shop, "alice", &header("dev")).ok();
    shop.kubectl(&["wait", "takeover/cart-dev-alice", "--for=condition=Programmed", READY_WITHIN]).ok();
    take(shop, "bob", &header("dev")).ok();
    shop.kubectl(&["wait", "takeover/cart-dev-bob", "--for=condition=Accepted=False", READY_WITHIN]).ok();
    let second = shop.cluster().get(&["-n", shop.namespace(), "takeover/cart-dev-bob"]);
    let message = second["status"]["message"].as_str().expect("a message");
    assert!(message.contains("alice has ") && message.contains("/cart since 20"), "{message}");

    // Nobody makes one in another's name, nor without the rights that it amounts to.
    let in_anothers_name = takeover(shop, "carol", &header("carol")).to_string();
    let as_masters = ["create", "-f", "-", "--as", "mallory", "--as-group", "system:masters"];
    let forged = shop.cluster().run("kubectl", &as_masters, Some(&in_anothers_name));
    assert!(forged.stderr.contains("spec.owner.user is carol, but you are mallory"), "{forged}");
    let role = |name: &str, rules: Value| {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": shop.namespace()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"}],
        });
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": shop.namespace()}, "rules": rules,
        });
        shop.cluster().apply(&[role, binding]);
    };
    let as_carol = || {
        let args = ["create", "--dry-run=server", "-f", "-", "--as", "carol"];
        shop.cluster().run("kubectl", &args, Some(&in_anothers_name))
    };
    role("taker", json!([{"apiGroups": ["canaryctl.io"], "resources": ["takeovers"], "verbs": ["create"]}]));
    shop.cluster().until("carol may make takeovers", Duration::from_secs(30), || {
        as_carol().stderr.contains("create pods/portforward in namespace").then_some(())
    });
    role("forwarder", json!([{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create"]}]));
    shop.cluster().until("carol may forward ports", Duration::from_secs(30), || {
        as_carol().stderr.contains("update services in namespace").then_some(())
    });
    role("editor", json!([{"apiGroups": [""], "resources": ["services"], "verbs": ["update"]}]));
    shop.cluster()
        .until("carol may take services", Duration::from_secs(30), || (as_carol().code == 0).then_some(()));
    shop.kubectl(&["delete", "role,rolebinding", "taker", "forwarder", "editor"]).ok();

    let clean = ["-n", shop.namespace(), "dev", "clean", "--as", "alice", "--as-group", "system:masters"];
    shop.cluster().canaryctl(&clean).ok();
    shop.kubectl(&["delete", "takeover", "cart-dev-bob"]).ok();
    over(shop, &before).await;
}
