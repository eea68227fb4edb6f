//! Two developers who have one service, a third who wants what one of them has, and users who have none of it: as the
//! document shows it.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use canary_localmesh::Protocol;

use crate::cluster::Holding;
use crate::documents::{file, lasting};
use crate::flows::Caller;
use crate::judge::Rules;
use crate::laptop::Local;
use crate::load::Load;
use crate::shop::Shop;
use crate::takeovers::{AGENTS, over, things_at_rest};

const DOCUMENT: &str = "docs/mesh-to-laptop.md";
/// Requests of each of them.
const EACH: usize = 200;
/// How long a verb may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// What one of them sees, as the document has it.
struct Terminal<'s> {
    shop: &'s Shop,
    user: &'static str,
    shown: String,
}

impl<'s> Terminal<'s> {
    fn of(shop: &'s Shop, user: &'static str) -> Self {
        Self { shop, user, shown: String::new() }
    }

    fn args(&self, typed: &str, to: &str) -> Vec<String> {
        let typed = typed.replace("-n shop", &format!("-n {}", self.shop.namespace()));
        let typed = if to.is_empty() { typed } else { format!("{typed} --to {to}") };
        let words = typed.split(' ').map(str::to_owned);
        let user = ["--as", self.user, "--as-group", "system:masters"].map(str::to_owned);
        words.chain(user).collect()
    }

    fn show(&mut self, typed: &str, port: &str, lines: &str, to: &str) {
        let typed = if port.is_empty() { typed.to_owned() } else { format!("{typed} --to {port}") };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let said = lines.replace(self.shop.namespace(), "shop").replace(&self.shop.host(), "shop.test");
        let said = said.replace(&format!(" on {host}"), " on laptop");
        let said = if to.is_empty() { said } else { said.replace(to, &format!("localhost:{port}")) };
        self.shown += &format!("{}$ canaryctl {typed}\n{said}", self.user);
    }

    /// Types a verb that goes on, and waits until it has said how to end it.
    fn holds(&mut self, typed: &str, port: &str, to: &str) -> Holding {
        let args = self.args(typed, to);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut process = Holding(self.shop.cluster().start("canaryctl", &args));
        let mut lines = BufReader::new(process.0.stdout.take().expect("a pipe")).lines();
        let mut said = String::new();
        while !said.ends_with("Ctrl-C ends it.\n") {
            let line = lines.next().unwrap_or_else(|| panic!("it ended after {said}")).expect("text");
            said += &format!("{line}\n");
        }
        self.show(typed, port, &said, to);
        process
    }

    /// Types a verb that says something and ends.
    fn types(&mut self, typed: &str, port: &str, code: i32) {
        let to = if port.is_empty() { String::new() } else { format!("localhost:{port}") };
        let args = self.args(typed, &to);
        let ran = self.shop.cluster().canaryctl(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ran.code, code, "{ran}");
        self.show(typed, port, &format!("{}{}", ran.stdout, ran.stderr), "");
    }
}

pub(crate) async fn on_one_service(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    let (cluster, namespace) = (shop.cluster(), shop.namespace());
    let of_alice = Local::called("cart", "alice's", cluster, namespace).await;
    let of_bob = Local::called("cart", "bob's", cluster, namespace).await;
    let load = Load::of_lane(shop, AGENTS, Rules::Off);
    let caller = Caller::new(shop, Protocol::Http1);

    let (mut alice, mut bob) = (Terminal::of(shop, "alice"), Terminal::of(shop, "bob"));
    let mut carol = Terminal::of(shop, "carol");
    let mut held = tokio::task::block_in_place(|| {
        let first = alice.holds("-n shop mesh cart", "8080", of_alice.to());
        let second = bob.holds("-n shop mesh cart --cookie dev=bob", "9090", of_bob.to());
        carol.types("-n shop mesh cart --cookie dev=bob", "7070", 5);
        carol.types("-n shop dev list", "", 0);
        [first, second]
    });

    for _ in 0..EACH {
        for (header, value, cart) in
            [("x-dev", "alice", "alice's"), ("cookie", "dev=bob", "bob's"), ("x-user", "carol", "v1")]
        {
            let answer = caller.send(&[(header, value)]).await;
            assert_eq!((answer.version("cart"), answer.failure.as_deref()), (Some(cart), None), "{value}");
            assert_eq!((answer.version("web"), answer.version("stock")), (Some("v1"), expected_behind(cart)));
        }
    }
    load.more(100).await;
    for one in &mut held {
        cluster.run("kill", &["-INT", &one.0.id().to_string()], None).ok();
        cluster.until("it has ended", ENDS_WITHIN, || one.0.try_wait().expect("a process"));
    }
    load.more(50).await;
    load.end().await.clean(150);
    over(shop, &before).await;
    as_documented(&[alice.shown, bob.shown, carol.shown].concat());
}

/// Who answers behind cart: a laptop's process calls nobody here.
fn expected_behind(cart: &str) -> Option<&'static str> {
    (cart == "v1").then_some("v1")
}

/// What was shown is what the document shows; with `CANARY_UPDATE=1` it is written into that.
fn as_documented(said: &str) {
    let document = file(DOCUMENT);
    let text = std::fs::read_to_string(&document).unwrap_or_else(|error| panic!("{document}: {error}"));
    let blocks = text.split("```text\n").skip(1).filter_map(|block| block.split("```").next());
    let shown = blocks.into_iter().find(|block| block.starts_with("alice$ ")).expect("a transcript");
    if std::env::var_os("CANARY_UPDATE").is_some() {
        std::fs::write(&document, text.replace(shown, said))
            .unwrap_or_else(|error| panic!("{document}: {error}"));
    } else {
        assert_eq!(lasting(shown), lasting(said));
    }
}
