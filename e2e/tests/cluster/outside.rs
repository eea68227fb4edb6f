//! `canaryctl exchange` of a service whose pods have no sidecar: its selector leads to a process beside the cluster, and
//! back, and no connection is refused on the way.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use canary_localmesh::{Client, Protocol, Tree};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::develop::Beside;
use crate::judge::Rules;
use crate::laptop::{ALICE, BACK_WITHIN, Local};
use crate::load::Load;
use crate::manifests;
use crate::shop::Shop;
use crate::takeovers::{AGENTS, over, things_at_rest};

/// A port of cart's at which nobody looks for requests.
const RAW_PORT: u16 = 9000;
/// How long it may take until new connections go elsewhere once that is said: kube-proxy's second, and its work.
const TURNED_WITHIN: Duration = Duration::from_secs(5);
/// The first of ports that the kernel gives to no connection by itself.
const FIRST_OWN_PORT: u16 = 20_000;
/// How long a connection may take that is led anywhere, and how long before the next is tried.
const LED_IN: Duration = Duration::from_millis(200);
/// How long the controller may take to see what somebody has undone.
const HEALED_WITHIN: Duration = Duration::from_secs(10);

/// What requests carry besides.
const NO_HEADERS: &[(&str, &str)] = &[];

/// Callers of a Service's address that never stop asking.
struct Callers {
    all: JoinSet<()>,
    heard: Arc<Mutex<Heard>>,
}

/// What they have heard.
#[derive(Debug, Default)]
struct Heard {
    answers: BTreeMap<String, usize>,
    failures: Vec<String>,
    ends: bool,
}

impl Callers {
    /// With a connection for each request, some of them; the others with one for all.
    fn start(address: SocketAddr, kinds: &[(Protocol, bool)]) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut all = JoinSet::new();
        for &(protocol, anew) in kinds {
            all.spawn(calls(address, protocol, anew, heard.clone()));
        }
        Self { all, heard }
    }

    /// Waits for so many answers more.
    async fn more(&self, answers: usize) {
        let count = || self.heard.lock().expect("no caller panics").answers.values().sum::<usize>();
        let wanted = count() + answers;
        let deadline = Instant::now() + Duration::from_secs(60);
        while count() < wanted {
            assert!(Instant::now() < deadline, "answers no longer come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it: how many answers there were of whom, where none failed.
    #[track_caller]
    fn clean(heard: &Heard) -> BTreeMap<String, usize> {
        assert_eq!(heard.failures, Vec::<String>::new(), "beside {:?}", heard.answers);
        heard.answers.clone()
    }

    async fn end(mut self) -> BTreeMap<String, usize> {
        self.heard.lock().expect("no caller panics").ends = true;
        while let Some(done) = self.all.join_next().await {
            done.expect("no caller panics");
        }
        Self::clean(&self.heard.lock().expect("no caller panics"))
    }
}

async fn calls(address: SocketAddr, protocol: Protocol, anew: bool, heard: Arc<Mutex<Heard>>) {
    let mut client = Client::new(address, protocol);
    loop {
        if anew {
            client = Client::new(address, protocol);
        }
        let asked = Instant::now();
        let answer = who(&client).await;
        let failed = |why| format!("{protocol:?}, {} after {:?}: {why}", where_it_stood(), asked.elapsed());
        if has_ended(&heard, answer.map_err(failed)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The time, and the pods' addresses at which nobody is: what tells later whom a connection that failed was led to.
fn where_it_stood() -> String {
    let failed = Command::new("ip").args(["neigh", "show", "nud", "failed"]).output();
    let failed =
        failed.map_or(String::new(), |said| String::from_utf8_lossy(&said.stdout).replace('\n', "; "));
    let unix_ms = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    format!("at {unix_ms} ms, nobody at [{failed}],")
}

/// Writes down an answer; whether it was the last that is wanted.
fn has_ended(heard: &Mutex<Heard>, answer: Result<String, String>) -> bool {
    let mut heard = heard.lock().expect("no caller panics");
    match answer {
        Ok(version) => *heard.answers.entry(version).or_default() += 1,
        Err(why) => heard.failures.push(why),
    }
    heard.ends
}

/// Who answers.
async fn who(client: &Client) -> Result<String, String> {
    let reply = client.get("cart", "/", NO_HEADERS).await.map_err(|error| format!("{error:?}"))?;
    if reply.status != 200 {
        return Err(format!("{} {}", reply.status, reply.text()));
    }
    let tree: Tree = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
    Ok(tree.version)
}

/// Waits until a Service's new port leads to its pods, trying from ports that nobody else is given: the kernel keeps in
/// mind for two minutes where a connection went that nothing was translated for yet, and has the next one from the same
/// port go there, too.
async fn led(address: SocketAddr) {
    let deadline = Instant::now() + TURNED_WITHIN;
    for port in FIRST_OWN_PORT.. {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::UNSPECIFIED, port).into()).expect("a port that is free");
        if let Ok(Ok(_)) = timeout(LED_IN, socket.connect(address)).await {
            return;
        }
        assert!(Instant::now() < deadline, "nobody answers at the new port");
        sleep(LED_IN).await;
    }
}

/// Who answers on a connection that is new.
async fn now(address: SocketAddr) -> String {
    who(&Client::new(address, Protocol::Http1)).await.expect("an answer")
}

/// Waits until new connections go to somebody, and to nobody else.
async fn turned(address: SocketAddr, to: &str, within: Duration) {
    let (deadline, mut in_a_row) = (Instant::now() + within, 0);
    while in_a_row < 20 {
        let version = now(address).await;
        in_a_row = if version == to { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "{version} still answers");
    }
}

/// Has all that comes to cart, until dropped; its agent ends soon after that.
fn exchange<'s>(shop: &'s Shop, local: &Local) -> Beside<'s> {
    let args = ["exchange", "cart", "-n", shop.namespace(), "--to", local.to(), "--keep", "5s", "-o", "json"];
    Beside::new(shop, &[args.as_slice(), &ALICE].concat())
}

/// cart's Service as its owner writes it.
fn written(shop: &Shop) -> Value {
    let mut service = manifests::http_service(shop.namespace(), "cart");
    let raw = json!({"name": "tcp-raw", "port": RAW_PORT, "targetPort": 8080});
    service["spec"]["ports"].as_array_mut().expect("ports").push(raw);
    service
}

fn cart(shop: &Shop) -> Value {
    shop.cluster().get(&["-n", shop.namespace(), "svc", "cart"])
}

pub(crate) async fn exchanged(shop: &Shop) {
    shop.installed();
    let shop = &Shop::outside_the_mesh(shop.cluster()).await;
    shop.cluster().apply(&[written(shop)]);
    let spec = cart(shop)["spec"].clone();
    let ip = spec["clusterIP"].as_str().expect("an address");
    let address = |port: u16| format!("{ip}:{port}").parse::<SocketAddr>().expect("an address");
    let (http, raw) = (address(80), address(RAW_PORT));
    let before = things_at_rest(shop).await;
    let local = Local::called("cart", "laptop", shop.cluster(), shop.namespace()).await;
    led(raw).await;
    refused(shop, &local);

    // By the gateway's proxy, by pods without one, and by the Service's address.
    let load = Load::of_lane(shop, AGENTS, Rules::Spreading);
    let (anew, kept) = (
        [(Protocol::Http1, true), (Protocol::H2c, true)],
        [(Protocol::Http1, false), (Protocol::H2c, false)],
    );
    let callers = Callers::start(http, &[anew, kept].concat());
    // A connection that is nobody's to look into ends with whoever has taken it.
    let bytes = Callers::start(raw, &anew);
    load.more(50).await;

    let mut alice = tokio::task::block_in_place(|| exchange(shop, &local));
    turned(http, "laptop", TURNED_WITHIN).await;
    turned(raw, "laptop", TURNED_WITHIN).await;
    let seen = Client::new(http, Protocol::Http1).get("asked-for", "/", NO_HEADERS).await.expect("an answer");
    let tree: Tree = serde_json::from_slice(&seen.body).expect("a tree");
    let received = |name: &str| tree.received.get(name).map(|values| values.join(",")).unwrap_or_default();
    assert_eq!(received("host"), "asked-for", "{tree:?}");
    assert!(received("x-forwarded-for").parse::<std::net::IpAddr>().is_ok(), "{tree:?}");
    assert_eq!(received("x-canary-lane"), "", "{tree:?}");
    callers.more(200).await;
    taken(shop, &local);
    undone_by_others(shop, http).await;
    load.more(50).await;

    // The agent's pod is evicted: its service's own pods answer, then another agent.
    let agents = ["-l", "canaryctl.io/takeover=cart-exchange"];
    shop.kubectl(&[&["delete", "pods"], agents.as_slice(), &["--wait=false"]].concat()).ok();
    tokio::task::block_in_place(|| alice.until("disconnected"));
    tokio::task::block_in_place(|| alice.until("connected"));
    turned(http, "laptop", HEALED_WITHIN).await;
    callers.more(100).await;

    let ended = tokio::task::block_in_place(|| alice.interrupt());
    assert_eq!(ended.code(), Some(0));
    turned(http, "v1", TURNED_WITHIN).await;
    assert_eq!(cart(shop)["spec"], spec, "as it was");
    callers.more(100).await;
    over(shop, &before).await;
    shop.cluster().until("its own Service is gone", HEALED_WITHIN, || {
        (shop.kubectl(&["get", "svc", "cart-exchange"]).code != 0).then_some(())
    });

    let answers = bytes.end().await;
    assert!(answers["laptop"] > 100 && answers["v1"] > 100, "{answers:?}");

    // Gone without a word.
    let mut again = tokio::task::block_in_place(|| exchange(shop, &local));
    turned(http, "laptop", TURNED_WITHIN).await;
    callers.more(50).await;
    again.vanish();
    let vanished = Instant::now();
    turned(http, "v1", BACK_WITHIN).await;
    println!("a laptop that vanished: only the service's own pods answer after {:?}", vanished.elapsed());
    callers.more(100).await;
    over(shop, &before).await;
    assert_eq!(cart(shop)["spec"], spec, "as it was");
    load.more(50).await;
    load.end().await.clean(150);
    let answers = callers.end().await;
    assert!(answers["laptop"] > 100 && answers["v1"] > 100, "{answers:?}");
    println!("answers of a service outside the mesh: {answers:?}");
    shop.close();
}

/// What takes a proxy to tell requests apart is refused with what does not.
fn refused(shop: &Shop, local: &Local) {
    for verb in ["mesh", "mirror"] {
        let args = [verb, "cart", "-n", shop.namespace(), "--to", local.to(), "--port", "80"];
        let refused = shop.cluster().canaryctl(&[args.as_slice(), &ALICE].concat());
        let says = format!("cannot {verb} {}/cart: its pods have no sidecar", shop.namespace());
        assert!(refused.code == 1 && refused.stderr.contains(&says), "{refused}");
        assert!(refused.stderr.contains("exchange cart --to PORT takes all of them"), "{refused}");
    }
}

/// Who has it is said, and nobody else can have it.
fn taken(shop: &Shop, local: &Local) {
    let listed = shop.cluster().canaryctl(&["-n", shop.namespace(), "dev", "list"]).ok().stdout;
    assert!(listed.contains("cart-exchange") && listed.contains("all requests"), "{listed}");
    let bob = ["exchange", "cart", "-n", shop.namespace(), "--to", local.to(), "--as", "bob"];
    let bob = shop.cluster().canaryctl(&[bob.as_slice(), &["--as-group", "system:masters"]].concat());
    assert!(bob.code == 5 && bob.stderr.contains("alice has "), "{bob}");
    let own = ["exchange", "cart-exchange", "-n", shop.namespace(), "--to", local.to()];
    let own = shop.cluster().canaryctl(&[own.as_slice(), &ALICE].concat());
    assert!(own.code == 1 && own.stderr.contains("it is made for takeover cart-exchange"), "{own}");
}

/// Whoever writes the Service meanwhile takes nothing away for long, and what they say goes for its own pods.
async fn undone_by_others(shop: &Shop, address: SocketAddr) {
    let key = |service: &Value| service["spec"]["selector"]["canaryctl.io/takeover"] == "cart-exchange";
    shop.cluster().apply(&[written(shop)]);
    assert!(key(&cart(shop)), "who applies says nothing of it");
    let mut replaced = cart(shop);
    replaced["spec"]["selector"] = json!({"app": "cart", "version": "v1"});
    shop.cluster().run("kubectl", &["replace", "-f", "-"], Some(&replaced.to_string())).ok();
    shop.cluster()
        .until("the selector leads to the agent again", HEALED_WITHIN, || key(&cart(shop)).then_some(()));
    let own = shop.cluster().get(&["-n", shop.namespace(), "svc", "cart-exchange"]);
    assert_eq!(own["spec"]["selector"], json!({"app": "cart", "version": "v1"}));
    turned(address, "laptop", TURNED_WITHIN).await;
    let mut back = cart(shop);
    back["spec"]["selector"] = json!({"app": "cart"});
    shop.cluster().run("kubectl", &["replace", "-f", "-"], Some(&back.to_string())).ok();
    turned(address, "laptop", HEALED_WITHIN).await;
}
