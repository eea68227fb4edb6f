//! The demo told: line by line for people, or as one JSON document.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use canary_localmesh::Mesh;
use canary_rules::document::Documents;
use canary_rules::edge::Edge;
use serde_json::{Value, json};

use super::chain::{Chain, Hop};
use super::crowd::{Mixed, Users};
use super::shop::Builds;
use crate::filter;

const DIM: Style = Style::new().dimmed();
const GRAY: Style = AnsiColor::Magenta.on_default().bold();

/// What happened, told as it happens.
pub(super) struct Story {
    text: bool,
    step: usize,
    report: serde_json::Map<String, Value>,
}

impl Story {
    pub(super) fn new(text: bool) -> Self {
        Self { text, step: 0, report: serde_json::Map::new() }
    }

    pub(super) fn filter(&mut self, wasm: &Builds) {
        let builds = [("gateway", &wasm.gateway), ("sidecar", &wasm.sidecar)];
        let mut report = serde_json::Map::new();
        for (at, (name, wasm)) in builds.into_iter().enumerate() {
            let digest = filter::sha256(wasm);
            let kilobytes = wasm.len().div_ceil(1024);
            let heading = if at == 0 { "filter" } else { "" };
            let start = digest.get(..12).unwrap_or(&digest);
            self.line(&format!("{heading:<10} {name}  {kilobytes} KB  sha256:{start}…"));
            report.insert(name.into(), json!({ "bytes": wasm.len(), "sha256": digest }));
        }
        self.report.insert("filter".into(), report.into());
    }

    pub(super) fn mesh(&mut self, version: &str, mesh: &Mesh, took: Duration) {
        let proxies = mesh.proxies().count();
        let seconds = took.as_secs_f64();
        self.line(&format!(
            "envoy      {version}  {proxies} proxies up (gateway + {} sidecars), filter live in all  {seconds:.1} s",
            proxies - 1
        ));
        self.report
            .insert("envoy".into(), json!({ "version": version, "proxies": proxies, "seconds": seconds }));
    }

    pub(super) fn lanes(&mut self, documents: &Documents, edge: &Edge) {
        let mut lanes = Vec::new();
        for (place, lane) in documents.lanes.iter().enumerate() {
            let name = &lane.metadata.name;
            let rules = edge.rule_texts(name);
            let title = if place == 0 { "lanes" } else { "" };
            self.line(&format!("{title:<10} {name} ← {}", rules.join(" · ")));
            lanes.push(json!({ "name": name, "rules": rules }));
        }
        self.report.insert("lanes".into(), lanes.into());
    }

    pub(super) fn chain(&mut self, chain: &Chain) {
        let lane = chain.lane.as_deref().unwrap_or("baseline");
        let forged = if chain.forged { "   (forged tag removed at the gateway)" } else { "" };
        self.number(&format!("{:<44} → {}{forged}", chain.request, painted(lane)));
        self.line(&format!("   {:<20} {}", "gateway", gateway(chain)));
        for (depth, hop) in chain.hops.iter().enumerate() {
            let before = depth.checked_sub(1).and_then(|depth| chain.hops.get(depth));
            let name = format!("{}└ {} {}", "  ".repeat(depth), hop.service, hop.version);
            let tag = hop.tag.as_deref().unwrap_or("untagged");
            let origin = hop.tag.as_ref().map(|_| format!("from {}", hop.origin)).unwrap_or_default();
            let line = format!("   {name:<20} {tag:<9} {origin:<17}");
            match note(hop, before) {
                note if note.is_empty() => self.line(line.trim_end()),
                note => self.line(&format!("{line} {DIM}{note}{DIM:#}")),
            }
        }
        if chain.status >= 400 {
            self.line(&format!("   answered {}", chain.status));
        }
        let flows = self.report.entry("flows").or_insert_with(|| json!([]));
        if let (Value::Array(flows), Ok(chain)) = (flows, serde_json::to_value(chain)) {
            flows.push(chain);
        }
    }

    pub(super) fn users(&mut self, users: &Users) {
        let count = f64::from(users.count);
        let lanes = users.lanes.iter().map(|(lane, inside, percent)| {
            format!("{lane} {inside} ({:.1} %, wanted {percent})", 100.0 * f64::from(*inside) / count)
        });
        let moved = match users.moved {
            0 => "no user moved on repeat".to_string(),
            moved => format!("{moved} moved on repeat"),
        };
        let lanes: Vec<String> = lanes.collect();
        self.number(&format!(
            "{:<44} → {}, {moved}",
            format!("{} users, twice", users.count),
            lanes.join(", ")
        ));
        self.insert("users", users);
    }

    pub(super) fn mixed(&mut self, mixed: &Mixed) {
        self.number(&format!(
            "{:<44} → {} in a wrong lane · {} lost · {} failed · {:.0} requests/s",
            format!("{} requests, {} lanes and none, mixed", mixed.requests, mixed.lanes),
            mixed.wrong,
            mixed.lost,
            mixed.failed,
            f64::from(mixed.requests) / mixed.seconds
        ));
        self.insert("mixed", mixed);
    }

    /// The flows that were told of.
    pub(super) fn flows(&self) -> Vec<Value> {
        self.report.get("flows").and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The last words; `gateway` is its address where the mesh stays, `page` the dashboard's where there is one.
    pub(super) fn end(&mut self, gateway: Option<&str>, page: Option<&str>) {
        if !self.text {
            if let Some(page) = page {
                self.report.insert("dashboard".into(), page.into());
            }
            println!("{:#}", Value::Object(self.report.clone()));
            return;
        }
        println!();
        match gateway {
            Some(url) => println!(
                "Play:  curl {url}/cart -H 'cookie: gray=1'     Stop: Ctrl-C\n\
                 Why:   canaryctl trace {url}/cart --cookie gray=1"
            ),
            None => println!(
                "Play with it:  canaryctl demo --dashboard     Your own lanes:  canaryctl demo --lanes FILE"
            ),
        }
        if let Some(page) = page {
            println!("Picture:  {page}");
        }
    }

    fn insert(&mut self, key: &str, part: &impl serde::Serialize) {
        if let Ok(part) = serde_json::to_value(part) {
            self.report.insert(key.into(), part);
        }
    }

    fn number(&mut self, line: &str) {
        self.step += 1;
        self.line(&format!("\n{}  {line}", self.step));
    }

    fn line(&self, line: &str) {
        if self.text {
            anstream::println!("{line}");
        }
    }
}

fn painted(lane: &str) -> String {
    if lane == "baseline" { lane.to_string() } else { format!("{GRAY}{lane}{GRAY:#}") }
}

fn gateway(chain: &Chain) -> String {
    let mut parts = vec![chain.reason.clone()];
    if let Some(lane) = &chain.lane {
        parts.push(format!("tags it {lane}"));
    }
    for (name, max_age_s) in &chain.cookies {
        parts.push(match max_age_s {
            Some(seconds) => format!("sets {name} ({})", span(*seconds)),
            None => format!("sets {name}"),
        });
    }
    parts.join(" · ")
}

fn span(seconds: u64) -> String {
    match seconds {
        0 => "ends it".into(),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What is worth knowing about a hop: a service without an instance of the lane, a caller that dropped
/// the header.
fn note(hop: &Hop, before: Option<&Hop>) -> String {
    if hop.tag.is_none() {
        return String::new();
    }
    let mut notes = Vec::new();
    if !hop.member && hop.version == "v1" {
        notes.push("baseline serves".to_string());
    }
    if let Some(before) = before
        && hop.origin != "header"
    {
        notes.push(format!("{} dropped the header", before.service));
    }
    notes.join(" · ")
}
