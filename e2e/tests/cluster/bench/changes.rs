//! How long a lane takes to come and to go, and what is written to the API for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use canary_e2e::bench::stats::Sample;

use super::Section;
use crate::shop::Shop;

/// How often writes are counted for each mesh.
const COUNTS: usize = 2;
/// How long it may take until nothing is left of a lane.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);
/// Replicas of cart that add proxies, and nothing to the lane.
const MANY: &str = "5";

/// Requests that changed something, by verb and resource.
type Writes = BTreeMap<String, u64>;

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
fn proxies(shop: &Shop) -> usize {
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
        let after = written(shop);
        shop.cluster().canaryctl(&["disable"]).ok();
        collected(shop);
        let added = |(what, count): (String, u64)| {
            let added = count - before.get(&what).copied().unwrap_or_default();
            (added > 0).then_some((what, added))
        };
        after.into_iter().filter_map(added).collect()
    };
    (0..COUNTS).map(once).collect()
}

/// What has been written so far. Source: `apiserver_request_total` of the API server's metrics.
fn written(shop: &Shop) -> Writes {
    let metrics = shop.cluster().kubectl(&["get", "--raw", "/metrics"]).ok().stdout;
    let mut writes = Writes::new();
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| {
            let value = line.split_once(&format!("{name}=\""))?.1;
            value.split_once('"').map(|(value, _)| value)
        };
        let [Some(group), Some(resource), Some(verb), Some(code)] =
            ["group", "resource", "verb", "code"].map(label)
        else {
            continue;
        };
        let part = label("subresource").filter(|part| !part.is_empty());
        // Kubernetes writes to pods, too: their status, and whole ones.
        let of_lanes = match (group, resource) {
            ("canaryctl.io" | "networking.istio.io" | "extensions.istio.io", _) => true,
            ("", "pods") => part.is_none() && verb == "PATCH",
            _ => false,
        };
        if of_lanes && code.starts_with('2') && ["POST", "PUT", "PATCH", "APPLY", "DELETE"].contains(&verb) {
            let what = part.map_or_else(|| resource.to_owned(), |part| format!("{resource}/{part}"));
            let count =
                line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
            *writes.entry(format!("{verb} {what}")).or_default() += count as u64;
        }
    }
    writes
}

/// The fewest writes to objects themselves: statuses are written as often as time allows, and what was late once more.
fn least(counts: &[Writes]) -> Writes {
    let mut least = Writes::new();
    for (what, count) in counts.iter().flatten().filter(|(what, _)| !what.contains('/')) {
        let known = least.entry(what.clone()).or_insert(*count);
        *known = (*known).min(*count);
    }
    least
}

fn rows(times: &Times) -> String {
    let row = |command: &str, sample: &Sample| {
        let (middle, late) = (sample.median(), sample.quantile(0.99));
        format!("| {command} | {} | {middle:.2} | {late:.2} |\n", times.proxies)
    };
    row("enable", &times.on) + &row("disable", &times.off)
}

fn table(counted: &[(String, Vec<Writes>)]) -> String {
    let mut text = String::from("| write |");
    for (mesh, _) in counted {
        let _ = write!(text, " {mesh} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(counted.len()));
    let kinds: BTreeSet<&String> =
        counted.iter().flat_map(|(_, counts)| counts).flat_map(Writes::keys).collect();
    for kind in kinds {
        let _ = write!(text, "| {kind} |");
        for (_, counts) in counted {
            let of = |writes: &Writes| writes.get(kind).copied().unwrap_or_default();
            let (least, most) = (counts.iter().map(of).min(), counts.iter().map(of).max());
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
            let _ = match least == most {
                true => write!(text, " {most} |"),
                false => write!(text, " {least} – {most} |"),
            };
        }
        text.push('\n');
    }
    text
}
