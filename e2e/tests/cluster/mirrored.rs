//! `canaryctl mirror` from end to end: a process beside the cluster gets copies of a service's requests, and nobody who sent
//! them can tell.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use canary_localmesh::Protocol;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::develop::Beside;
use crate::flows::Caller;
use crate::judge::Rules;
use crate::load::Load;
use crate::shop::Shop;
use crate::takeovers::{AGENTS, over, things_at_rest};

/// Flows of one caller whose copies are counted.
const COUNTED: usize = 100;
/// How long a copy may take to come.
const COMES_WITHIN: Duration = Duration::from_secs(30);
/// How long a Service without an owner may stay.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);
/// What a process answers copies with that has a fault.
const FAULTY: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A process that gets requests. All that it answers is wrong, and some it never answers.
struct Sink {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
    serving: AbortHandle,
}

impl Sink {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (lines, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (lines.clone(), open.clone());
        let serving = tokio::spawn(async move {
            // They end with it.
            let mut all = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (told, count) = (told.clone(), count.clone());
                all.spawn(async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    // Whoever breaks off is gone.
                    let _ = answer(stream, &told).await;
                    count.fetch_sub(1, Ordering::Relaxed);
                });
                while all.try_join_next().is_some() {}
            }
        });
        Self { address, lines, open, serving: serving.abort_handle() }
    }

    /// How many requests have come whose target has this in it.
    fn count(&self, what: &str) -> usize {
        self.lines.lock().expect("lines").iter().filter(|line| line.contains(what)).count()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(stream: TcpStream, told: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    told.lock().expect("lines").push(first.clone());
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 && line.trim() != "" {
        line.clear();
    }
    if first.contains("never") {
        std::future::pending::<()>().await;
    }
    stream.get_mut().write_all(FAULTY).await
}

/// Has copies of cart's requests until dropped; its agent ends soon after that.
fn mirror<'s>(shop: &'s Shop, user: &str, to: SocketAddr, more: &[&str]) -> Beside<'s> {
    let to = to.to_string();
    let args = ["mirror", "cart", "-n", shop.namespace(), "--to", &to, "--keep", "3s", "-o", "json"];
    let as_user = ["--as", user, "--as-group", "system:masters"];
    tokio::task::block_in_place(|| Beside::new(shop, &[args.as_slice(), &as_user, more].concat()))
}

fn routes(shop: &Shop) -> Value {
    shop.cluster().get(&["-n", shop.namespace(), "virtualservice", "entry"])["spec"].clone()
}

fn services(shop: &Shop) -> String {
    shop.kubectl(&["get", "services", "-o", "name"]).ok().stdout
}

/// A namespace that takes no further Service has no copies, says so, and keeps no other work of the controller's back.
fn refused_by_a_quota(shop: &Shop) {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": shop.namespace()},
        "spec": {"hard": {"services": "0"}},
    });
    shop.cluster().apply(&[quota]);
    let full = || shop.cluster().get(&["-n", shop.namespace(), "resourcequota", "full"]);
    shop.cluster().until("the quota holds", COMES_WITHIN, || {
        (full()["status"]["hard"]["services"] == "0").then_some(())
    });
    let refused =
        shop.cluster().canaryctl(&["mirror", "cart", "-n", shop.namespace(), "--to", "127.0.0.1:9"]);
    assert!(refused.code != 0 && refused.stderr.contains("exceeded quota: full"), "{refused}");
    shop.kubectl(&["delete", "resourcequota", "full"]).ok();
}

pub(crate) async fn of_a_service(shop: &Shop) {
    shop.installed();
    let (before, routes_before) = (things_at_rest(shop).await, routes(shop));
    let services_before = services(shop);
    tokio::task::block_in_place(|| refused_by_a_quota(shop));
    let (first, second) = tokio::join!(Sink::open(), Sink::open());
    let load = Load::of_lane(shop, AGENTS, Rules::Off);
    load.more(50).await;

    let mut alice = mirror(shop, "alice", first.address, &[]);
    let bob = mirror(shop, "bob", second.address, &["--percent", "20"]);
    let listed = shop.cluster().canaryctl(&["-n", shop.namespace(), "dev", "list"]).ok().stdout;
    for says in ["cart-mirror-alice", "copies of all requests", "copies of 20 % of requests"] {
        assert!(listed.contains(says), "{listed}");
    }

    // Each comes once to whom it is due, is answered by the service, and keeps nobody waiting.
    let caller = Caller::new(shop, Protocol::Http1);
    for target in ["/?copied=yes", "/?copied=never"] {
        for _ in 0..COUNTED {
            let answer = caller.send_to(target, &[]).await;
            assert_eq!((answer.failure.as_deref(), answer.version("cart")), (None, Some("v1")));
        }
    }
    for what in ["copied=yes", "copied=never"] {
        shop.cluster().until("all copies came", COMES_WITHIN, || {
            let count = first.count(what);
            assert!(count <= COUNTED, "{count} copies of {COUNTED}");
            (count == COUNTED).then_some(())
        });
        let part = second.count(what);
        assert!(0 < part && part < COUNTED / 2, "{part} copies of {COUNTED}, at 20 %");
    }
    assert!(first.open.load(Ordering::Relaxed) >= COUNTED, "they wait for an answer");
    load.more(100).await;

    // Nobody listens: nothing comes, and nobody is any the worse.
    let came = first.count("");
    drop(first);
    alice.until("refused");
    assert!(came > 2 * COUNTED, "the load's were among {came}");
    load.more(100).await;

    assert_eq!(tokio::task::block_in_place(|| alice.interrupt()).code(), Some(0));
    shop.cluster().until("the Service has gone with its takeover", COLLECTED_WITHIN, || {
        (!services(shop).contains("cart-mirror-alice")).then_some(())
    });
    load.more(50).await;

    // Gone without a word.
    let mut bob = bob;
    bob.vanish();
    load.more(200).await;
    over(shop, &before).await;
    shop.cluster()
        .until("no Service is left", COLLECTED_WITHIN, || (services(shop) == services_before).then_some(()));
    assert_eq!(routes(shop), routes_before, "a user's own routes are as they were");
    load.end().await.clean(500);
}
