//! How long a lane takes to come and to go, and what is written to the API for it.

use std::time::{Duration, Instant};

use canary_e2e::bench::stats::Sample;

use super::Section;
use super::writes::{Writes, added, least, table, written};
use crate::shop::Shop;

/// How often writes are counted for each mesh.
const COUNTS: usize = 2;
/// How long it may take until nothing is left of a lane.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);
/// Replicas of cart that add proxies, and nothing to the lane.
const MANY: &str = "5";

pub(super) fn measure(shop: &Shop, rounds: usize) -> Section {
    super::install(shop);
    let mut counted = Vec::new();
    for (members, added) in [("price", "1 member"), ("stock", "2 members"), ("web", "3 members")] {
        shop.gray("gray", "gray", &[members]);
        counted.push((format!("{added}, {} proxies", proxies(shop)), count(shop)));
    }
    let times = times(shop, rounds);
    let few = counted.last().map(|(_, counts)| least(counts));
    shop.kubectl(&["scale", "deploy", "cart-v1", "--replicas", MANY]).ok();
    shop.rolled_out();
    let many = count(shop);
    assert_eq!(few, Some(least(&many)), "writes grow with the proxies");
    counted.push((format!("3 members, {} proxies", proxies(shop)), many));
    shop.kubectl(&["scale", "deploy", "cart-v1", "--replicas", "1"]).ok();
    shop.remove("gray");
    let text = format!(
        "From the command's start to its end, when every proxy has shown that it has the lane, or that it has it no more; \
         {rounds} times\neach. Of so few the p99 is close to the slowest.\n\n\
         | command | proxies | p50 s | p99 s |\n|---|---:|---:|---:|\n{}\n\
         Writes to the API until `enable` returns, as the API server counts them; {COUNTS} times each. They grow with the \
         lane's members and\ntheir pods, and with nothing else: the run would have failed if proxies had added one. How \
         often a status is written\ndepends on how long each step takes.\n\n{}",
        rows(&times),
        table(&counted),
    );
    Section { title: "A lane comes and goes", text }
}

/// Proxies of the mesh.
pub(super) fn proxies(shop: &Shop) -> usize {
    shop.cluster().run("istioctl", &["proxy-status"], None).ok().stdout.lines().skip(1).count()
}

struct Times {
    proxies: usize,
    on: Sample,
    off: Sample,
}

fn times(shop: &Shop, rounds: usize) -> Times {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        on.push(timed(shop, &["enable", "--cookie", "gray=1"]));
        off.push(timed(shop, &["disable"]));
        collected(shop);
    }
    Times { proxies: proxies(shop), on: Sample::new(on), off: Sample::new(off) }
}

/// Seconds that a command takes.
pub(super) fn timed(shop: &Shop, args: &[&str]) -> f64 {
    let started = Instant::now();
    shop.cluster().canaryctl(args).ok();
    started.elapsed().as_secs_f64()
}

/// Waits until no subset of the lane is left: the next one has all of it to do.
fn collected(shop: &Shop) {
    shop.cluster().until("subsets are collected", COLLECTED_WITHIN, || {
        let rules = shop.cluster().kubectl(&["get", "dr", "-A", "-o", "json"]).ok().stdout;
        (!rules.contains("\"canary-gray\"")).then_some(())
    });
}

fn count(shop: &Shop) -> Vec<Writes> {
    let once = |_| {
        let before = written(shop);
        shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
        let added = added(shop, &before);
        shop.cluster().canaryctl(&["disable"]).ok();
        collected(shop);
        added
    };
    (0..COUNTS).map(once).collect()
}

fn rows(times: &Times) -> String {
    let row = |command: &str, sample: &Sample| {
        let (middle, late) = (sample.median(), sample.quantile(0.99));
        format!("| {command} | {} | {middle:.2} | {late:.2} |\n", times.proxies)
    };
    row("enable", &times.on) + &row("disable", &times.off)
}
