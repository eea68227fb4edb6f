//! What lanes cost a cluster: `cargo xtask bench --cluster` measures it on a lab and writes its part of a document.
//!
//! Asserts no times. Each part measures one thing and tells of it in a section; a further one is another [`Part`].
//! `CANARY_BENCH_PARTS=changes,push` measures some of them. That, and a quick run, is printed, and no document written.

mod changes;
mod controller;
pub(crate) mod processes;
mod push;
mod releases;
mod sidecars;
pub(crate) mod tunnel;
mod writes;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use canary_e2e::bench::document;
use canary_e2e::bench::usage::{self, Machine};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::shop::Shop;

/// What its section of the document begins with.
const HEADING: &str = "## On a cluster\n";
/// Names the document to write into.
pub(crate) const DOCUMENT_ENV: &str = "CANARY_BENCH_DOCUMENT";
/// Has all of it measured once, to see that it runs.
const QUICK_ENV: &str = "CANARY_BENCH_QUICK";
/// Names some of the parts.
const PARTS_ENV: &str = "CANARY_BENCH_PARTS";

/// What lanes are collected after here: a lane that comes again finds nothing of the one before.
const INSTALL: [&str; 4] = ["install", "--yes", "--collect-after", "1s"];

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Rounds of turns of requests.
    rounds: usize,
    /// How often a lane comes and goes.
    lanes: usize,
    /// How often a release does.
    releases: usize,
}

impl Effort {
    const FULL: Self = Self { rounds: 9, lanes: 15, releases: 10 };
    const QUICK: Self = Self { rounds: 1, lanes: 2, releases: 1 };
}

/// What is measured, in the document's order.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// First, for it needs a mesh without canaryctl.
    Push,
    Sidecars,
    Changes,
    Releases,
    Controller,
}

const PARTS: [(&str, Part); 5] = [
    ("push", Part::Push),
    ("sidecars", Part::Sidecars),
    ("changes", Part::Changes),
    ("releases", Part::Releases),
    ("controller", Part::Controller),
];

/// What a part tells.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// Markdown.
    pub(crate) text: String,
}

/// A cluster with nothing of canaryctl, and again when dropped: after a failure, too.
struct Premises(Cluster);

impl Premises {
    fn enter(cluster: &Cluster) -> Self {
        leave(cluster);
        Self(cluster.clone())
    }
}

impl Drop for Premises {
    fn drop(&mut self) {
        leave(&self.0);
    }
}

fn leave(cluster: &Cluster) {
    cluster.forget_lanes();
    let left = cluster.canaryctl(&["uninstall", "--purge", "--yes"]);
    if left.code != 0 {
        eprintln!("{left}");
    }
    controller::delete_services(cluster);
}

/// A shop that is closed when dropped.
struct Opened(Shop);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Measures all of it and writes it into the document; or less of it, and prints that.
pub(crate) fn run(document: &Path) -> ExitCode {
    let cluster = Cluster::find();
    let wanted = std::env::var(PARTS_ENV).unwrap_or_default();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.split(',').any(|one| one == name);
    let parts = PARTS.into_iter().filter(|(name, _)| is_wanted(name)).map(|(_, part)| part).collect();
    let is_quick = std::env::var_os(QUICK_ENV).is_some();
    let effort = if is_quick { Effort::QUICK } else { Effort::FULL };
    let before = usage::load_average();
    let started = Instant::now();
    let sections = Runtime::new().expect("a runtime").block_on(measure(&cluster, parts, effort));
    let minutes = started.elapsed().as_secs().div_ceil(60);
    let head = head(&cluster, minutes, [before, usage::load_average()]);
    let sections = sections.iter().map(|section| format!("\n### {}\n\n{}", section.title, section.text));
    let text = head + &sections.collect::<String>() + LIMITS;
    if is_quick || !wanted.is_empty() {
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    let whole = std::fs::read_to_string(document).expect("the document");
    std::fs::write(document, document::put(&whole, &format!("{HEADING}\n{text}"))).expect("written");
    eprintln!("report     {}", document.display());
    ExitCode::SUCCESS
}

async fn measure(cluster: &Cluster, parts: Vec<Part>, effort: Effort) -> Vec<Section> {
    let _premises = Premises::enter(cluster);
    let Opened(shop) = &Opened(Shop::open(cluster).await);
    let mut sections = Vec::new();
    for part in parts {
        let started = Instant::now();
        sections.push(match part {
            Part::Push => push::measure(shop),
            Part::Sidecars => sidecars::measure(shop, effort.rounds).await,
            Part::Changes => changes::measure(shop, effort.lanes),
            Part::Releases => releases::measure(shop, effort.releases).await,
            Part::Controller => controller::measure(shop),
        });
        eprintln!("measured   {part:?} {:.0} s", started.elapsed().as_secs_f64());
    }
    sections
}

/// Installs canaryctl for the whole mesh, and waits until no connection from before passes it by.
fn install(shop: &Shop) {
    shop.cluster().canaryctl(&INSTALL).ok();
    shop.drained();
}

fn head(cluster: &Cluster, minutes: u64, [before, after]: [String; 2]) -> String {
    let Machine { model, cores, kernel } = Machine::this();
    let versions = cluster.kubectl(&["version", "-o", "json"]).ok().json();
    let check = cluster.canaryctl(&["check", "--pre"]).stdout;
    let istio = check.lines().find_map(|line| line.split_once("Istio ")).map_or("unknown", |(_, rest)| rest);
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    format!(
        "What lanes cost a real Kubernetes with Istio on one machine, itself in a network namespace of that machine. Nothing \
         here is asserted\nbut where it is said. Started as root, it took {minutes} minutes.\n\n\
         | | |\n|---|---|\n\
         | date | {date} |\n\
         | command | `cargo xtask bench --cluster` |\n\
         | machine | {model}, {cores} cores, Linux {kernel} |\n\
         | load average | {before} before, {after} after |\n\
         | Kubernetes | {} |\n\
         | Istio | {istio} |\n",
        versions["serverVersion"]["gitVersion"].as_str().unwrap_or("unknown"),
    )
}

const LIMITS: &str = "\n### Limits of these\n\n\
- All of it shares one machine: control plane, proxies, applications, load generator, and whatever else the load
  average above shows. Counts and sizes are exact; of times compare rows, not documents.
- canaryctl and the applications are release builds, unless `CANARY_LAB` names a lab that has others.
- The mesh is a small one. What grows with it is said in each section.
";
