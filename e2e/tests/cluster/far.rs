//! A developer's machine at the other end of a way that is long, loses packets or breaks, one whose clock jumps, and what
//! is carried by the gigabyte.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use canary_localmesh::Protocol;

use crate::bench::processes;
use crate::bytes::{self, Asks, Served};
use crate::cluster::Holding;
use crate::develop::Beside;
use crate::flows::Caller;
use crate::judge::Rules;
use crate::laptop::{ALICE, BACK_WITHIN, Local, cart, exchange, meshing};
use crate::link::{self, Link};
use crate::load::Load;
use crate::shop::Shop;
use crate::takeovers::{AGENTS, arrived, over, things_at_rest};

/// Tells links of these tests from others.
const NUMBER: usize = 7;
/// A way as people have it.
const USUAL: (Duration, u32) = (Duration::from_millis(20), 0);
/// How long cuts last: one that is a hiccup, and one after which nobody waits for the machine any more.
const CUTS: [Duration; 2] = [Duration::from_secs(7), Duration::from_secs(30)];
/// Ways that lose so many of a thousand packets in each direction.
const LOSSY: [(Duration, u32); 4] = [
    (Duration::from_millis(20), 10),
    (Duration::from_millis(20), 30),
    (Duration::from_millis(80), 10),
    (Duration::from_millis(80), 30),
];
/// What is carried over such a way, in each direction.
const SOME_BYTES: u64 = 2 << 20;
const GIBIBYTE: u64 = 1 << 30;
/// Bytes of a request's body.
const BODY: u64 = 128 << 20;
/// The most memory that an end of the tunnel may ever have had, in bytes.
const MEMORY_MAX: u64 = 96 << 20;

/// Names a canaryctl that has a C library, and a library that stands for that one's clock.
const DYNAMIC_ENV: &str = "CANARY_CTL";
const FAKETIME_ENV: &str = "CANARY_FAKETIME";
/// How far off a clock is that jumps, one after the other.
const JUMPS: [&str; 3] = ["+2h", "-25h", "+0"];
/// How long a machine with another clock is watched: longer than a client that is silent is waited for.
const WATCHED_FOR: Duration = Duration::from_secs(20);

/// Starts canaryctl at the other end of a link.
fn far<'s>(shop: &'s Shop, link: &Link, args: &[&str]) -> Beside<'s> {
    let entered = link.entered();
    let entered: Vec<&str> = entered.iter().map(String::as_str).collect();
    Beside::of(shop, "nsenter", &[&entered, &["canaryctl"][..], args].concat())
}

/// The same, to have cart's requests with `x-dev: alice`.
fn mesh<'s>(shop: &'s Shop, link: &Link, local: &Local) -> Beside<'s> {
    far(shop, link, &[&meshing(shop, local)[..], &["-o", "json"]].concat())
}

/// What tells a Takeover from another that is made in its place.
fn takeover(shop: &Shop) -> String {
    let takeovers = shop.cluster().get(&["-n", shop.namespace(), "takeovers"]);
    let [takeover] = takeovers["items"].as_array().expect("a list").as_slice() else { panic!("{takeovers}") };
    takeover["metadata"]["uid"].as_str().expect("an identity").to_owned()
}

/// A way that swallows everything: requests are answered all the same, by the service's own pods, and the same takeover goes
/// on once the way is there again.
pub(crate) async fn cut(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    let link = Link::new(NUMBER, USUAL.0, USUAL.1);
    let local = Local::far(&link, shop.cluster(), shop.namespace()).await;
    let load = Load::of_lane(shop, AGENTS, Rules::Off);
    let caller = Caller::new(shop, Protocol::Http1);
    let mut alice = tokio::task::block_in_place(|| mesh(shop, &link, &local));
    assert_eq!(cart(&caller, "alice").await, "laptop");
    let taken = takeover(shop);

    for lasts in CUTS {
        link.cut();
        let (cut, mut longest, mut answers) = (Instant::now(), Duration::ZERO, 0);
        while cut.elapsed() < lasts {
            let asked = Instant::now();
            // What had left its machine before the cut.
            let version = cart(&caller, "alice").await;
            assert!(version == "v1" || answers == 0, "after {:?}", cut.elapsed());
            longest = longest.max(asked.elapsed());
            assert!(longest < BACK_WITHIN, "after {:?} a request took {longest:?}", cut.elapsed());
            answers += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        link.becomes(USUAL.0, USUAL.1);
        let there_again = Instant::now();
        arrived(&caller, "alice", "laptop").await;
        println!(
            "a cut of {lasts:?}: the longest of {answers} requests took {longest:?}, the machine was back after {:?}",
            there_again.elapsed()
        );
        for _ in 0..20 {
            assert_eq!(cart(&caller, "alice").await, "laptop");
            assert_eq!(cart(&caller, "bob").await, "v1");
        }
        assert_eq!(takeover(shop), taken, "it is the same one");
    }
    tokio::task::block_in_place(|| alice.interrupt());
    over(shop, &before).await;
    load.end().await.clean(200);
}

/// Ways that are long and lose packets: every request is the machine's, and what is carried arrives whole.
pub(crate) async fn lossy(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    let link = Link::new(NUMBER, USUAL.0, USUAL.1);
    let local = Local::far(&link, shop.cluster(), shop.namespace()).await;
    let caller = Caller::new(shop, Protocol::Http1);
    let served = Served::start(shop);
    let mut alice = tokio::task::block_in_place(|| mesh(shop, &link, &local));
    let args = ["connect", "-n", shop.namespace(), "--port", "0", "-o", "json"];
    let mut connected = tokio::task::block_in_place(|| far(shop, &link, &args));

    for (round_trip, lost) in LOSSY {
        link.becomes(round_trip, lost);
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(cart(&caller, "alice").await, "laptop", "{round_trip:?}, {lost} of 1000 lost");
        }
        let requests = began.elapsed();
        let Some(served) = &served else { continue };
        let to = [&served.address(), connected.says("http")];
        let mut asks = tokio::task::block_in_place(|| asks(shop, Some(&link), &to));
        let took = ["get", "put"].map(|what| asks.ask(&format!("{what} {SOME_BYTES} 1"))[0]);
        println!(
            "{round_trip:?}, {lost} of 1000 lost: 50 requests in {requests:?}, {SOME_BYTES} bytes in {took:.1?} s"
        );
    }
    link.becomes(USUAL.0, USUAL.1);
    for ends in [&mut connected, &mut alice] {
        assert_eq!(tokio::task::block_in_place(|| ends.interrupt()).code(), Some(0));
    }
    drop(served);
    over(shop, &before).await;
}

/// What asks for bytes at an address, by a proxy if there is one.
#[track_caller]
fn asks(shop: &Shop, from: Option<&Link>, to: &[&str]) -> Asks {
    let mut command = link::command(shop.cluster(), from, &bytes::program());
    command.arg("ask").args(to).stdin(Stdio::piped()).stdout(Stdio::piped());
    Asks::of(command.spawn().expect("it starts"), &to.join(" by "))
}

/// The most memory that a process has ever had, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    peak.map_or(0, |kibibytes| kibibytes << 10)
}

#[track_caller]
fn kept_nowhere(what: &str, client: &Beside<'_>) {
    let (client, agent) = (peak(client.id()), processes::agents().map(peak).max().unwrap_or_default());
    println!("{what}: at most {} MiB in canaryctl, {} MiB in its agent", client >> 20, agent >> 20);
    assert!(client > 0 && agent > 0, "they are there");
    assert!(client.max(agent) < MEMORY_MAX, "{client} and {agent} bytes");
}

/// A body that is far longer than what routers take by default, to a laptop that has a service's requests.
fn uploaded(shop: &Shop, connected: &Beside<'_>, local: &Local) {
    let mut alice = exchange(shop, local);
    let body = tempfile::NamedTempFile::new().expect("a file");
    body.as_file().set_len(BODY).expect("room for what is not there");
    let file = body.path().to_str().expect("a path");
    let how = ["--upload-file", file, "--max-time", "120", "--write-out", "\n%{http_code} %{size_upload}"];
    let said = connected.curl("http", &[&how[..], &["http://cart/"]].concat()).ok().stdout;
    let (tree, ended) = said.rsplit_once('\n').unwrap_or_else(|| panic!("{said}"));
    assert!(ended == format!("200 {BODY}") && tree.contains("laptop"), "{said}");
    kept_nowhere("a long body", &alice);
    assert_eq!(alice.interrupt().code(), Some(0));
}

/// A gibibyte from a pod and one to it, by `connect`; and the same of a service that this machine answers for.
pub(crate) async fn gibibyte(shop: &Shop) {
    shop.installed();
    let Some(served) = Served::start(shop) else { return };
    let local = Local::called("cart", "laptop", shop.cluster(), shop.namespace()).await;
    tokio::task::block_in_place(|| {
        let mut connected = Beside::connected(shop, &[]);
        let mut asks = asks(shop, None, &[&served.address(), connected.says("http")]);
        carried("connect", &mut asks);
        kept_nowhere("connect", &connected);
        drop(asks);
        uploaded(shop, &connected, &local);
        assert_eq!(connected.interrupt().code(), Some(0));
        exchanged(shop, &served);
    });
}

fn exchanged(shop: &Shop, served: &Served<'_>) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let _local = Holding(shop.cluster().start(&bytes::program(), &["serve", &port]));
    let args = ["exchange", "bytes", "-n", shop.namespace(), "--to", &port, "--keep", "3s", "-o", "json"];
    let mut alice = Beside::new(shop, &[args.as_slice(), &ALICE].concat());
    // The pod that has answered so far says nothing any more.
    shop.kubectl(&["delete", "pod/bytes"]).ok();
    let mut asks = asks(shop, None, &[&served.address()]);
    carried("exchange", &mut asks);
    kept_nowhere("exchange", &alice);
    drop(asks);
    assert_eq!(alice.interrupt().code(), Some(0));
}

fn carried(by: &str, asks: &mut Asks) {
    for what in ["get", "put"] {
        println!("{by}: {what} of a gibibyte took {:.1} s", asks.ask(&format!("{what} {GIBIBYTE} 1"))[0]);
    }
}

/// A clock that can be set, for programs that have a C library.
struct Clock {
    file: tempfile::NamedTempFile,
    library: PathBuf,
}

impl Clock {
    fn new(library: PathBuf) -> Self {
        let clock = Self { file: tempfile::NamedTempFile::new().expect("a file"), library };
        clock.jump("+0");
        clock
    }

    /// So far off the machine's.
    fn jump(&self, off: &str) {
        std::fs::write(self.file.path(), off).expect("a file");
    }

    /// What `env` is told, so that a program has it.
    fn had_by(&self) -> [String; 4] {
        [
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.path().display()),
            "FAKETIME_NO_CACHE=1".into(),
            // Which no kernel lets jump.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
        ]
    }
}

/// A clock that jumps ahead and back: whoever has requests keeps them, and the way to the cluster that breaks is taken again.
pub(crate) async fn clock(shop: &Shop) {
    if shop.cluster().lab().is_none() {
        eprintln!("no clock jumps: this is no lab of this machine");
        return;
    }
    let set = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by cargo xtask"));
    let (canaryctl, library) = (set(DYNAMIC_ENV), set(FAKETIME_ENV));
    shop.installed();
    let before = things_at_rest(shop).await;
    let local = Local::called("cart", "laptop", shop.cluster(), shop.namespace()).await;
    let caller = Caller::new(shop, Protocol::Http1);
    let clock = Clock::new(library.into());
    let with_it = clock.had_by();
    let with_it: Vec<&str> = with_it.iter().map(String::as_str).collect();
    let typed = |args: &[&str]| -> Vec<String> {
        let all = [&with_it, &[canaryctl.as_str()][..], args].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let had = typed(&[&meshing(shop, &local)[..], &["-o", "json"]].concat());
    let had: Vec<&str> = had.iter().map(String::as_str).collect();
    let mut alice = tokio::task::block_in_place(|| Beside::of(shop, "env", &had));
    let taken = takeover(shop);

    for off in JUMPS {
        clock.jump(off);
        let jumped = Instant::now();
        while jumped.elapsed() < WATCHED_FOR {
            assert_eq!(cart(&caller, "alice").await, "laptop", "{off}, after {:?}", jumped.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(takeover(shop), taken, "{off}: it is the same one");
    }
    // Ahead, where a certificate still holds, with a way that has to be taken anew.
    clock.jump("+2h");
    let listed = typed(&["-n", shop.namespace(), "dev", "list"]);
    let listed = shop.cluster().run("env", &listed.iter().map(String::as_str).collect::<Vec<_>>(), None).ok();
    assert!(listed.stdout.contains("for 2h"), "its clock is ahead: {listed}");
    let agents = ["-l", "canaryctl.io/takeover", "--force", "--grace-period=0"];
    shop.kubectl(&[&["delete", "pods"], agents.as_slice()].concat()).ok();
    tokio::task::block_in_place(|| {
        alice.until("disconnected");
        alice.until("connected");
    });
    arrived(&caller, "alice", "laptop").await;
    assert_eq!(tokio::task::block_in_place(|| alice.interrupt()).code(), Some(0));
    assert_eq!(cart(&caller, "alice").await, "v1");
    over(shop, &before).await;
}
