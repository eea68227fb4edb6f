//! What lanes cost a cluster: `cargo xtask bench --cluster` measures it on a lab and writes a document.
//!
//! Asserts no times. Each part measures one thing and tells of it in a section; a further one is another [`Part`].
//! `CANARY_BENCH_PARTS=changes,push` measures some of them.

mod changes;
mod controller;
mod processes;
mod push;

use std::path::Path;
use std::process::ExitCode;

use canary_e2e::bench::usage::{self, Machine};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::shop::Shop;

/// Names the document to write.
pub(crate) const DOCUMENT_ENV: &str = "CANARY_BENCH_DOCUMENT";

/// What lanes are collected after here: a lane that comes again finds nothing of the one before.
const INSTALL: [&str; 4] = ["install", "--yes", "--collect-after", "1s"];

/// What is measured, in the document's order.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// First, for it needs a mesh without canaryctl.
    Push,
    Changes,
    Controller,
}

const PARTS: [(&str, Part); 3] =
    [("push", Part::Push), ("changes", Part::Changes), ("controller", Part::Controller)];

/// What a part tells.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// Markdown.
    pub(crate) text: String,
}

/// Measures all of it, and writes the document.
pub(crate) fn run(document: &Path) -> ExitCode {
    let cluster = Cluster::find();
    let before = usage::load_average();
    let sections = Runtime::new().expect("a runtime").block_on(measure(&cluster));
    let head = head(&cluster, [before, usage::load_average()]);
    let sections = sections.iter().map(|section| format!("\n## {}\n\n{}", section.title, section.text));
    std::fs::write(document, head + &sections.collect::<String>() + LIMITS).expect("written");
    eprintln!("report     {}", document.display());
    ExitCode::SUCCESS
}

async fn measure(cluster: &Cluster) -> Vec<Section> {
    if cluster.kubectl(&["get", "namespace", "canaryctl-system"]).code == 0 {
        cluster.canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    }
    let shop = Shop::open(cluster).await;
    let wanted = std::env::var("CANARY_BENCH_PARTS").unwrap_or_default();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.split(',').any(|one| one == name);
    let mut sections = Vec::new();
    for (_, part) in PARTS.into_iter().filter(|(name, _)| is_wanted(name)) {
        sections.push(match part {
            Part::Push => push::measure(&shop),
            Part::Changes => changes::measure(&shop),
            Part::Controller => controller::measure(&shop),
        });
    }
    shop.close();
    cluster.canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    sections
}

/// Installs canaryctl for the whole mesh, and waits until no connection from before passes it by.
fn install(shop: &Shop) {
    shop.cluster().canaryctl(&INSTALL).ok();
    shop.drained();
}

fn head(cluster: &Cluster, [before, after]: [String; 2]) -> String {
    let Machine { model, cores, kernel } = Machine::this();
    let versions = cluster.kubectl(&["version", "-o", "json"]).ok().json();
    let check = cluster.canaryctl(&["check", "--pre"]).stdout;
    let istio = check.lines().find_map(|line| line.split_once("Istio ")).map_or("unknown", |(_, rest)| rest);
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    format!(
        "# Benchmarks on a cluster\n\n\
         What lanes cost a real Kubernetes with Istio on one machine. `cargo xtask bench --cluster` makes this document, \
         and asserts\nno times. What the filter itself costs a proxy is in [benchmarks](benchmarks.md).\n\n\
         | | |\n|---|---|\n\
         | date | {date} |\n\
         | machine | {model}, {cores} cores, Linux {kernel} |\n\
         | load average | {before} before, {after} after |\n\
         | Kubernetes | {} |\n\
         | Istio | {istio} |\n",
        versions["serverVersion"]["gitVersion"].as_str().unwrap_or("unknown"),
    )
}

const LIMITS: &str = "\n## Limits of the method\n\n\
- All of it shares one machine: control plane, proxies, applications, load generator, and whatever else the load
  average above shows. Counts and sizes are exact; of times compare rows, not documents.
- canaryctl and the applications are builds without optimisation. The filter and Envoy are not.
- The mesh is a small one. What grows with it is said in each section.
";
