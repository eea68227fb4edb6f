//! What the filter costs requests in real sidecars: two namespaces with the same pods, one without the filter.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use canary_e2e::bench::stats::Sample;
use canary_e2e::bench::usage::cpu_ns;
use canary_localmesh::Protocol;
use tokio::task::JoinSet;

use super::{INSTALL, Opened, Section, processes};
use crate::flows::Caller;
use crate::manifests::CHAIN;
use crate::shop::{GRAY_SERVICES, Shop};

/// Requests of a turn with [`CONNECTIONS`] at a time, and of one with one at a time.
const SATURATING: usize = 400;
const SINGLE: usize = 200;
const CONNECTIONS: usize = 8;
/// Sidecars that a request passes: into each of four services, and out of each but the last.
const PASSES: usize = 2 * CHAIN.len() - 1;

/// Requests, as sidecars with the filter meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    NoLane,
    Untagged,
    Tagged,
}

impl Row {
    const ALL: [Self; 3] = [Self::NoLane, Self::Untagged, Self::Tagged];

    fn name(self) -> &'static str {
        match self {
            Self::NoLane => "filter, no lane in the mesh",
            Self::Untagged => "filter, a lane is on, untagged",
            Self::Tagged => "filter, a lane is on, tagged",
        }
    }
}

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
struct Turn {
    cpu_us: f64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Two turns of one round in the same state of the mesh.
struct Pair {
    row: Row,
    with: Turn,
    without: Turn,
}

/// A figure of a turn.
type Figure = fn(&Turn) -> f64;

pub(super) async fn measure(shop: &Shop, rounds: usize) -> Section {
    let Opened(plain) = &Opened(Shop::open(shop.cluster()).await);
    shop.cluster().canaryctl(&[&INSTALL[..], &["--namespaces", shop.namespace()]].concat()).ok();
    shop.drained();
    // Both have the lane's pods, and so the same routes and as many proxies.
    for each in [shop, plain] {
        each.gray("gray", "gray", &GRAY_SERVICES);
    }
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.extend(round(shop, plain, &[Row::NoLane]).await);
        shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
        pairs.extend(round(shop, plain, &[Row::Untagged, Row::Tagged]).await);
        shop.cluster().canaryctl(&["disable"]).ok();
    }
    shop.remove("gray");
    let text = format!(
        "A request through the gateway and four services: {PASSES} passes of sidecars. Two namespaces have the same pods and \
         routes; in one\nof them sidecars have the filter. {rounds} rounds of turns in shuffled order: {SATURATING} \
         requests over {CONNECTIONS} connections for CPU and\nthroughput, {SINGLE} one at a time for latency. CPU is that of \
         all sidecars of the namespace. Medians over the rounds; × is the\nmedian of the ratios to the turn without the \
         filter in the same round and state of the mesh, with that median's interval (95 %,\nsign test).\n\n{}",
        table(&pairs),
    );
    Section { title: "What the filter costs requests", text }
}

/// A turn of each of these and one without the filter, in any order.
async fn round(shop: &Shop, plain: &Shop, rows: &[Row]) -> Vec<Pair> {
    let mut order: Vec<Option<Row>> = rows.iter().copied().map(Some).chain([None]).collect();
    fastrand::shuffle(&mut order);
    let (mut with, mut without) = (Vec::new(), None);
    for row in order {
        match row {
            Some(row) => with.push((row, turn(shop, row == Row::Tagged).await)),
            None => without = Some(turn(plain, false).await),
        }
    }
    let without = without.expect("one of the turns");
    with.into_iter().map(|(row, with)| Pair { row, with, without }).collect()
}

async fn turn(shop: &Shop, is_tagged: bool) -> Turn {
    let headers: &[(&str, &str)] = if is_tagged { &[("cookie", "gray=1")] } else { &[] };
    let caller = Caller::new(shop, Protocol::Http1);
    // Connections are there, caches are warm.
    send(&caller, headers, SATURATING / 10, CONNECTIONS).await;
    let latencies = send(&caller, headers, SINGLE, 1).await;
    let latencies = Sample::new(latencies.iter().map(|latency| latency.as_secs_f64() * 1e3));
    let processes = processes::proxies(shop.namespace());
    let pods = CHAIN.len() + GRAY_SERVICES.len();
    assert_eq!(processes.len(), pods, "a lab's proxies are processes of this machine");
    let cpu = || processes.iter().map(|process| cpu_ns(*process).expect("it runs")).sum::<u64>();
    let (before, started) = (cpu(), Instant::now());
    send(&caller, headers, SATURATING, CONNECTIONS).await;
    let (took, used) = (started.elapsed().as_secs_f64(), cpu() - before);
    Turn {
        cpu_us: used as f64 / 1e3 / SATURATING as f64,
        per_second: SATURATING as f64 / took,
        p50_ms: latencies.median(),
        p99_ms: latencies.quantile(0.99),
    }
}

/// Sends so many, each client one after the other; returns how long each took.
async fn send(
    caller: &Caller,
    headers: &'static [(&'static str, &'static str)],
    count: usize,
    clients: usize,
) -> Vec<Duration> {
    let mut running = JoinSet::new();
    for first in 0..clients {
        let caller = caller.clone();
        running.spawn(async move {
            let mut latencies = Vec::new();
            for _ in (first..count).step_by(clients) {
                let started = Instant::now();
                assert_eq!(caller.send(headers).await.failure, None);
                latencies.push(started.elapsed());
            }
            latencies
        });
    }
    running.join_all().await.concat()
}

const FIGURES: [(Figure, usize); 4] =
    [(|turn| turn.cpu_us, 0), (|turn| turn.per_second, 0), (|turn| turn.p50_ms, 2), (|turn| turn.p99_ms, 2)];

fn table(pairs: &[Pair]) -> String {
    let mut text = "| sidecars | CPU µs per request | × | more per pass µs | requests/s | × | p50 ms | × | p99 ms | × |\n\
                    |---|---:|---|---:|---:|---|---:|---|---:|---|\n| no filter |"
        .to_owned();
    for (at, (figure, digits)) in FIGURES.into_iter().enumerate() {
        let median = Sample::new(pairs.iter().map(|pair| figure(&pair.without))).median();
        let _ = write!(text, " {median:.digits$} | 1 |{}", if at == 0 { " 0 |" } else { "" });
    }
    text.push('\n');
    for row in Row::ALL {
        let of_row = || pairs.iter().filter(move |pair| pair.row == row);
        let _ = write!(text, "| {} |", row.name());
        for (at, (figure, digits)) in FIGURES.into_iter().enumerate() {
            let median = Sample::new(of_row().map(|pair| figure(&pair.with))).median();
            let ratio = Sample::new(of_row().map(|pair| figure(&pair.with) / figure(&pair.without)));
            let _ = write!(text, " {median:.digits$} | {} |", with_interval(&ratio));
            if at == 0 {
                let more = Sample::new(of_row().map(|pair| pair.with.cpu_us - pair.without.cpu_us)).median();
                let _ = write!(text, " {:+.1} |", more / PASSES as f64);
            }
        }
        text.push('\n');
    }
    text
}

fn with_interval(ratio: &Sample) -> String {
    let within = ratio.median_interval().map(|(low, high)| format!(", {low:.2} – {high:.2}"));
    format!("{:.2}{}", ratio.median(), within.unwrap_or_default())
}
