//! `canaryctl mesh` from end to end: a process beside the cluster has its developer's requests and nobody else's.

use std::process::Child;
use std::time::{Duration, Instant};

use canary_localmesh::Protocol;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::develop::Beside;
use crate::flows::Caller;
use crate::judge::Rules;
use crate::link::Link;
use crate::load::Load;
use crate::shop::Shop;
use crate::takeovers::{AGENTS, arrived, over, things_at_rest};

/// Who the developer is.
pub(crate) const ALICE: [&str; 4] = ["--as", "alice", "--as-group", "system:masters"];

/// What is promised to somebody who vanishes.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(15);

/// How long proxies may take to hear of a new Service, or of its next pod.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// How long an agent without a machine may stay, and what is its: --keep, its end, and its Job's.
const GONE_WITHIN: Duration = Duration::from_secs(90);

/// A service as its developer runs it, on this machine.
pub(crate) struct Local {
    process: Child,
    to: String,
    config: tempfile::NamedTempFile,
    /// What starts programs where it is.
    entered: Vec<String>,
}

impl Local {
    /// cart.
    async fn start(cluster: &Cluster, namespace: &str) -> Self {
        Self::of("cart", cluster, namespace).await
    }

    async fn of(service: &str, cluster: &Cluster, namespace: &str) -> Self {
        Self::called(service, "laptop", cluster, namespace).await
    }

    /// One that says this version of itself.
    pub(crate) async fn called(service: &str, version: &str, cluster: &Cluster, namespace: &str) -> Self {
        Self::entered(Vec::new(), service, version, cluster, namespace).await
    }

    /// cart, at the other end of a link.
    pub(crate) async fn far(link: &Link, cluster: &Cluster, namespace: &str) -> Self {
        Self::entered(link.entered().into(), "cart", "laptop", cluster, namespace).await
    }

    async fn entered(
        entered: Vec<String>,
        service: &str,
        version: &str,
        cluster: &Cluster,
        namespace: &str,
    ) -> Self {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let to = free.local_addr().expect("an address").to_string();
        drop(free);
        let config = tempfile::NamedTempFile::new().expect("a file");
        let says = json!({
            "service": format!("{service}.{namespace}"), "version": version, "listen": to,
            "behaviour": {"calls": [], "forward": []},
        });
        std::fs::write(config.path(), says.to_string()).expect("a file");
        let process = Self::run(cluster, &entered, &config);
        Self { process, to, config, entered }
    }

    /// Where it listens.
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    fn run(cluster: &Cluster, entered: &[String], config: &tempfile::NamedTempFile) -> Child {
        let args = ["demo-app", "--config", config.path().to_str().expect("a path")];
        if entered.is_empty() {
            return cluster.start("canaryctl", &args);
        }
        let entered: Vec<&str> = entered.iter().map(String::as_str).collect();
        cluster.start("nsenter", &[&entered, &["canaryctl"][..], &args].concat())
    }

    fn stop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("it ends");
    }

    fn again(&mut self, cluster: &Cluster) {
        self.process = Self::run(cluster, &self.entered, &self.config);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What canaryctl is told to have cart's requests with `x-dev: alice`.
pub(crate) fn meshing<'a>(shop: &'a Shop, local: &'a Local) -> Vec<&'a str> {
    let args = ["mesh", "cart", "-n", shop.namespace(), "--to", &local.to, "--header", "x-dev=alice"];
    [args.as_slice(), &ALICE].concat()
}

/// Has them, until dropped.
fn mesh<'s>(shop: &'s Shop, local: &Local) -> Beside<'s> {
    Beside::new(shop, &[&meshing(shop, local)[..], &["-o", "json"]].concat())
}

/// Who answers for cart.
pub(crate) async fn cart(caller: &Caller, user: &str) -> String {
    let answer = caller.send(&[("x-dev", user)]).await;
    assert_eq!(answer.failure, None, "{user}");
    answer.version("cart").expect("cart is in the chain").to_owned()
}

/// Has all of cart's requests, until dropped; its agent ends soon after that.
pub(crate) fn exchange<'s>(shop: &'s Shop, local: &Local) -> Beside<'s> {
    let args = ["exchange", "cart", "-n", shop.namespace(), "--to", &local.to, "--keep", "3s", "-o", "json"];
    Beside::new(shop, &[args.as_slice(), &ALICE].concat())
}

/// The same service in another terminal is refused while the first has it.
#[track_caller]
fn second_terminal(shop: &Shop, local: &Local) {
    let refused = shop.cluster().canaryctl(&meshing(shop, local));
    let says = format!("you have {}/cart in another terminal", shop.namespace());
    assert!(refused.code == 5 && refused.stderr.contains(&says), "{refused}");
}

/// Opens the link that was printed as a browser does, and returns the cookie that keeps it in the lane.
async fn link_opened(mesh: &Beside<'_>, caller: &Caller) -> String {
    let link = mesh.says("link");
    let (_, query) = link.split_once("/?").expect("a query");
    let opened = caller
        .send_to(
            &format!("/?{query}"),
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
        )
        .await;
    assert_eq!((opened.version("cart"), opened.failure.as_deref()), (Some("laptop"), None));
    let set: Vec<&str> =
        opened.headers.get_all("set-cookie").iter().filter_map(|set| set.to_str().ok()).collect();
    let cookie =
        set.iter().find_map(|set| set.split(';').next().filter(|set| set.starts_with("canary-lane=")));
    let cookie = cookie.unwrap_or_else(|| panic!("no lane cookie: {set:?}")).to_owned();
    let next = caller.send(&[("cookie", &cookie)]).await;
    assert_eq!((next.version("cart"), next.failure.as_deref()), (Some("laptop"), None));
    cookie
}

fn routes(shop: &Shop) -> Value {
    shop.cluster().get(&["-n", shop.namespace(), "virtualservice", "entry"])["spec"].clone()
}

pub(crate) async fn mesh_and_back(shop: &Shop) {
    shop.installed();
    let (before, routes_before) = (things_at_rest(shop).await, routes(shop));
    let local = Local::start(shop.cluster(), shop.namespace()).await;
    let load = Load::of_lane(shop, AGENTS, Rules::Off);
    let caller = Caller::new(shop, Protocol::Http1);

    let mut alice = tokio::task::block_in_place(|| mesh(shop, &local));
    // Ready is said when it is so for every proxy.
    for _ in 0..50 {
        assert_eq!(cart(&caller, "alice").await, "laptop");
        assert_eq!(cart(&caller, "bob").await, "v1");
    }
    load.more(100).await;
    let cookie = link_opened(&alice, &caller).await;
    second_terminal(shop, &local);
    assert_eq!(cart(&caller, "alice").await, "laptop", "the first terminal still has them");

    // Gone without a word: she is served all the same, from a moment later on by the service's own pods.
    alice.vanish();
    let deadline = tokio::time::Instant::now() + BACK_WITHIN;
    let mut of_baseline = 0;
    while of_baseline < 20 {
        of_baseline = if cart(&caller, "alice").await == "v1" { of_baseline + 1 } else { 0 };
        assert!(tokio::time::Instant::now() < deadline, "the laptop still answers");
    }
    load.more(100).await;

    // The same command takes up what was left.
    let mut again = tokio::task::block_in_place(|| mesh(shop, &local));
    for _ in 0..20 {
        assert_eq!(cart(&caller, "alice").await, "laptop");
    }
    let ended = tokio::task::block_in_place(|| again.interrupt());
    assert_eq!(ended.code(), Some(0));
    assert_eq!(cart(&caller, "alice").await, "v1");
    let kept = caller.send(&[("cookie", &cookie)]).await;
    assert_eq!(
        (kept.version("cart"), kept.failure.as_deref()),
        (Some("v1"), None),
        "its cookie is worth nothing now"
    );
    assert_eq!(routes(shop), routes_before, "a user's own routes are as they were");
    over(shop, &before).await;
    load.more(50).await;
    load.end().await.clean(250);
}

/// A laptop that is silent without being gone: asleep, or its network drops what is sent.
pub(crate) async fn silent(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    let local = Local::start(shop.cluster(), shop.namespace()).await;
    let caller = Caller::new(shop, Protocol::Http1);
    let mut alice = tokio::task::block_in_place(|| mesh(shop, &local));
    assert_eq!(cart(&caller, "alice").await, "laptop");

    alice.signal("STOP");
    let (silent, mut longest, mut of_baseline) = (Instant::now(), Duration::ZERO, 0);
    while silent.elapsed() < 2 * BACK_WITHIN {
        let asked = Instant::now();
        assert_eq!(cart(&caller, "alice").await, "v1");
        longest = longest.max(asked.elapsed());
        of_baseline += 1;
        assert!(longest < BACK_WITHIN, "after {:?} a request took {longest:?}", silent.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("a silent laptop: the longest of {of_baseline} requests took {longest:?}");

    alice.signal("CONT");
    arrived(&caller, "alice", "laptop").await;
    tokio::task::block_in_place(|| alice.interrupt());
    over(shop, &before).await;
}

/// All requests of a service, under load: none fails when that begins, ends by Ctrl-C, or ends without a word.
pub(crate) async fn exchanged(shop: &Shop) {
    shop.installed();
    let (before, routes_before) = (things_at_rest(shop).await, routes(shop));
    let local = Local::start(shop.cluster(), shop.namespace()).await;
    // Whoever answers, nothing may fail.
    let load = Load::of_lane(shop, AGENTS, Rules::Spreading);
    let caller = Caller::new(shop, Protocol::Http1);
    load.more(50).await;

    let mut alice = tokio::task::block_in_place(|| exchange(shop, &local));
    for _ in 0..50 {
        assert_eq!(cart(&caller, "nobody").await, "laptop");
    }
    let answer = caller.send(&[]).await;
    let tree = answer.tree.walk().find(|tree| tree.version == "laptop").expect("the laptop answers").clone();
    let received = |name: &str| tree.received.get(name).map(|values| values.join(",")).unwrap_or_default();
    assert_eq!(received("host"), format!("cart.{}", shop.namespace()), "{tree:?}");
    assert!(received("x-forwarded-client-cert").contains("URI=spiffe://"), "{tree:?}");
    load.more(200).await;
    let listed = shop.cluster().canaryctl(&["-n", shop.namespace(), "dev", "list"]).ok().stdout;
    assert!(listed.contains("cart-exchange") && listed.contains("all requests"), "{listed}");
    let bob = ["exchange", "cart", "-n", shop.namespace(), "--to", &local.to, "--as", "bob"];
    let bob = shop.cluster().canaryctl(&[bob.as_slice(), &["--as-group", "system:masters"]].concat());
    assert!(bob.code == 5 && bob.stderr.contains("alice has "), "{bob}");

    let ended = tokio::task::block_in_place(|| alice.interrupt());
    assert_eq!(ended.code(), Some(0));
    assert_eq!(cart(&caller, "nobody").await, "v1");
    assert_eq!(routes(shop), routes_before, "a user's own routes are as they were");
    over(shop, &before).await;
    load.more(50).await;
    load.end().await.clean(300);

    let load = Load::of_lane(shop, AGENTS, Rules::Spreading);
    load.more(50).await;
    let mut again = tokio::task::block_in_place(|| exchange(shop, &local));
    assert_eq!(cart(&caller, "nobody").await, "laptop");
    load.more(50).await;
    again.vanish();
    let vanished = Instant::now();
    while cart(&caller, "nobody").await != "v1" {
        assert!(vanished.elapsed() < BACK_WITHIN, "the laptop still answers");
    }
    println!(
        "a laptop that vanished: the first request of the service's own pods after {:?}",
        vanished.elapsed()
    );
    load.more(200).await;
    over(shop, &before).await;
    load.end().await.clean(300);
}

/// A new Service, called by a pod under STRICT mutual TLS, from its making until it has gone by itself.
pub(crate) async fn previewed(shop: &Shop) {
    shop.installed();
    let (before, services_before) = (things_at_rest(shop).await, services(shop));
    let mut local = Local::of("coupons", shop.cluster(), shop.namespace()).await;
    tokio::task::block_in_place(|| {
        let pod = Beside::connected(shop, &[]);
        preview_until_it_is_gone(shop, &pod, &mut local, &services_before);
    });
    over(shop, &before).await;
}

fn preview_until_it_is_gone(shop: &Shop, pod: &Beside<'_>, local: &mut Local, services_before: &str) {
    let (cluster, namespace) = (shop.cluster(), shop.namespace());
    let to = local.to.clone();
    let asked = ["-n", namespace, "--to", &to, "--keep", "3s", "-o", "json"];
    let preview = |name| [&["preview", name][..], &asked].concat();
    let answers = |what: &str| {
        cluster.until(what, KNOWN_WITHIN, || {
            let said = pod.curl("socks", &["http://coupons/"]);
            (said.code == 0 && said.stdout.contains("laptop")).then_some(())
        });
    };
    let taken = cluster.canaryctl(&preview("cart"));
    let says = format!("there is a Service {namespace}/cart already");
    assert!(taken.code == 5 && taken.stderr.contains(&says), "{taken}");

    let mut first = Beside::new(shop, &preview("coupons"));
    answers("the laptop answers for the new service");
    let second = cluster.canaryctl(&preview("coupons"));
    let says = format!("you have {namespace}/coupons in another terminal");
    assert!(second.code == 5 && second.stderr.contains(&says), "{second}");
    let listed = cluster.canaryctl(&["-n", namespace, "dev", "list"]).ok().stdout;
    assert!(listed.contains("a new service  on"), "{listed}");

    local.stop();
    let asked_at = Instant::now();
    let refused = pod.curl("socks", &["http://coupons/"]);
    assert!(refused.code != 0 && refused.stdout.contains("nobody listens there now"), "{refused}");
    assert!(asked_at.elapsed() < Duration::from_secs(5), "it took {:?}", asked_at.elapsed());
    local.again(cluster);
    answers("a process that is there again answers");

    let service = || cluster.get(&["-n", namespace, "svc", "coupons"]);
    let made = service();
    let job = made["metadata"]["ownerReferences"][0]["name"].as_str().expect("an owner").to_owned();
    let of_job = format!("job-name={job}");
    shop.kubectl(&["delete", "pods", "-l", &of_job, "--force", "--grace-period=0"]).ok();
    first.until("connected");
    answers("another agent answers");
    let kept = service();
    assert_eq!(kept["metadata"]["uid"], made["metadata"]["uid"], "it is the same Service");
    assert_ne!(kept["metadata"]["ownerReferences"][0]["name"], *job, "it goes with the agent that there is");

    first.vanish();
    cluster.until("the Service and its Job have gone by themselves", GONE_WITHIN, || {
        let jobs = shop.kubectl(&["get", "jobs", "-o", "name"]).ok().stdout;
        (services(shop) == services_before && !jobs.contains("canaryctl-preview")).then_some(())
    });

    local.stop();
    for protocol in ["tcp", "http2"] {
        local.again(cluster);
        let mut spoken = Beside::new(shop, &[&preview("coupons")[..], &["--protocol", protocol]].concat());
        let curl = |more: &[&str]| pod.curl("socks", &[more, &["http://coupons/"]].concat());
        let how: &[&str] = if protocol == "http2" { &["--http2-prior-knowledge"] } else { &[] };
        cluster.until("the laptop answers in its protocol", KNOWN_WITHIN, || {
            let said = curl(how);
            (said.code == 0 && said.stdout.contains("laptop")).then_some(())
        });
        local.stop();
        let refused = curl(how);
        let says = if protocol == "http2" { "nobody listens there now" } else { "" };
        assert!(refused.code != 0 && refused.stdout.contains(says), "{protocol}: {refused}");
        assert!(!refused.stdout.contains("laptop"), "{protocol}: {refused}");
        assert_eq!(spoken.interrupt().code(), Some(0), "{protocol}");
    }

    // And at once, where somebody is there to take it away.
    local.again(cluster);
    let mut again = Beside::new(shop, &preview("coupons"));
    answers("the same command makes it anew");
    assert_eq!(again.interrupt().code(), Some(0));
    assert_eq!(services(shop), services_before);
}

fn services(shop: &Shop) -> String {
    shop.kubectl(&["get", "services", "-o", "name"]).ok().stdout
}

/// What a file names comes at once, some of one service, all of another and copies of a third, and goes at once.
pub(crate) async fn together(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    let (stock, price) = tokio::join!(
        Local::of("stock", shop.cluster(), shop.namespace()),
        Local::of("price", shop.cluster(), shop.namespace())
    );
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a path");
    let write = |exchange: &str| {
        let says = json!({
            "namespace": shop.namespace(),
            "mesh": [{"service": "stock", "to": stock.to}],
            "exchange": [{"service": exchange, "to": price.to}],
            "mirror": [{"service": "cart", "to": price.to, "percent": 1}],
        });
        std::fs::write(path, says.to_string()).expect("a file");
    };
    let up = [&["dev", "up", "-f", path][..], &ALICE].concat();
    let down = [&["dev", "down", "-f", path][..], &ALICE].concat();
    let load = Load::of_lane(shop, AGENTS, Rules::Spreading);
    let caller = Caller::new(shop, Protocol::Http1);

    write("nosuch");
    let refused = shop.cluster().canaryctl(&up);
    assert!(refused.code == 1 && refused.stderr.contains("/nosuch"), "{refused}");
    assert_eq!(shop.kubectl(&["get", "takeovers", "-o", "name"]).ok().stdout, "", "all or nothing");
    write("price");
    let asked = shop.cluster().canaryctl(&[&up[..], &["--dry-run"]].concat()).ok();
    assert_eq!(asked.stdout.matches("kind: Takeover").count(), 3, "{asked}");

    let mut alice = tokio::task::block_in_place(|| Beside::new(shop, &[&up[..], &["-o", "json"]].concat()));
    alice.until("ready");
    for _ in 0..20 {
        let own = caller.send(&[("x-dev", "alice")]).await;
        assert_eq!((own.version("cart"), own.version("stock")), (Some("v1"), Some("laptop")));
        let others = caller.send(&[]).await;
        assert_eq!((others.version("stock"), others.version("price")), (Some("v1"), Some("laptop")));
    }
    load.more(50).await;
    let ended = tokio::task::block_in_place(|| shop.cluster().canaryctl(&down)).ok();
    assert_eq!(ended.stdout.matches("is over").count(), 3, "{ended}");
    assert_ne!(tokio::task::block_in_place(|| alice.ended()).code(), Some(0), "it says who ended it");
    for user in ["alice", "bob"] {
        let answer = caller.send(&[("x-dev", user)]).await;
        assert_eq!(answer.path(), "web-v1 cart-v1 stock-v1 price-v1");
    }
    let again = shop.cluster().canaryctl(&down).ok();
    assert!(again.stdout.contains("You have none of stock, price, cart"), "{again}");
    load.end().await.clean(100);
    over(shop, &before).await;
}
