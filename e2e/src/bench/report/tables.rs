//! The tables of the document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::{Results, Size, Sizes};
use crate::bench::exact::Counted;
use crate::bench::map::{Reading, Room};
use crate::bench::plans::Planning;
use crate::bench::rounds::{Measured, Single};
use crate::bench::starts::{self, Started};
use crate::bench::stats::Sample;
use crate::bench::variants::{Filter, Variant, names};
use crate::bench::{hops, variants};

pub(super) fn counts(counted: &[Counted]) -> String {
    let mut table = "| pass | host calls | which | instructions |\n|---|---:|---|---:|\n".to_owned();
    for Counted { name, cost, .. } in counted {
        let calls: Vec<String> = cost
            .by_name()
            .map(|(name, calls)| {
                let name = name.trim_start_matches("proxy_");
                if calls == 1 { name.to_owned() } else { format!("{calls} × {name}") }
            })
            .collect();
        let which = if calls.is_empty() { "–".to_owned() } else { calls.join(", ") };
        let _ = writeln!(table, "| {name} | {} | {which} | {} |", cost.host_calls(), cost.instructions);
    }
    table
}

pub(super) fn costs(results: &Results) -> Result<String> {
    let empty = results.cost_us(names::EMPTY)?.median();
    let mut table = "| one copy of | µs per request | middle half of the rounds | ÷ empty filter |\n\
        |---|---:|---:|---:|\n"
        .to_owned();
    for variant in results.variants.iter().filter(|variant| is_shown(variant)) {
        let cost = results.measured.cost_us(variant)?;
        let (low, high) = cost.quartiles();
        let (name, median) = (&variant.name, cost.median());
        let _ = writeln!(table, "| {name} | {median:.2} | {low:.2} – {high:.2} | {:.2} |", median / empty);
    }
    Ok(table)
}

/// Bases have no cost of their own to show, but the native filter that puts tags back does.
fn is_shown(variant: &Variant) -> bool {
    variant.filter != Filter::Nothing
}

pub(super) fn plans(planning: &Planning) -> String {
    let mut table =
        "| services | all lanes on, ms | writes | nothing to do, ms |\n|---:|---:|---:|---:|\n".to_owned();
    for mesh in &planning.meshes {
        let (first, settled) = (mesh.first_ms.median(), mesh.settled_ms.median());
        let _ = writeln!(table, "| {} | {first:.1} | {} | {settled:.1} |", mesh.services, mesh.writes);
    }
    table
}

pub(super) fn added(planning: &Planning) -> String {
    let mut table = "| members | writes |\n|---:|---:|\n".to_owned();
    for (members, writes) in &planning.added {
        let _ = writeln!(table, "| {members} | {writes} |");
    }
    table
}

pub(super) fn hops(measured: &Measured) -> Result<String> {
    let nothing = of_hop(measured, hops::NOTHING)?;
    let mut table =
        "| one hop with | CPU µs per request | above no filter | requests/s | p50 µs | p99 µs |\n\
        |---|---:|---:|---:|---:|---:|\n"
            .to_owned();
    let mut names: Vec<&String> = measured.hops.keys().collect();
    let order = |name: &str| {
        of_hop(measured, name).map(|turns| median(turns, |turn| turn.cpu_us)).unwrap_or_default()
    };
    names.sort_by(|left, right| order(left).total_cmp(&order(right)));
    for name in names {
        let turns = of_hop(measured, name)?;
        let above =
            Sample::new(turns.iter().zip(nothing).map(|(with, without)| with.cpu_us - without.cpu_us));
        let _ = writeln!(
            table,
            "| {name} | {:.1} | {:+.1} | {:.0} | {:.0} | {:.0} |",
            median(turns, |turn| turn.cpu_us),
            above.median(),
            median(turns, |turn| turn.throughput),
            median(turns, |turn| turn.p50_us),
            median(turns, |turn| turn.p99_us),
        );
    }
    Ok(table)
}

fn of_hop<'m>(measured: &'m Measured, name: &str) -> Result<&'m Vec<Single>> {
    measured.hops.get(name).with_context(|| format!("hop with {name} was not measured"))
}

fn median<T>(turns: &[T], value: impl Fn(&T) -> f64) -> f64 {
    Sample::new(turns.iter().map(value)).median()
}

pub(super) fn memory(started: &BTreeMap<&'static str, Vec<Started>>) -> Result<String> {
    let nothing = started.get(starts::NOTHING).context("a proxy without filters was not started")?;
    let base = median(nothing, |start| start.resident_mb);
    let mut table = "| proxy with | ready after ms | RSS MB | above no filter | of it anonymous |\n\
        |---|---:|---:|---:|---:|\n"
        .to_owned();
    let mut rows: Vec<(&&str, &Vec<Started>)> = started.iter().collect();
    rows.sort_by(|(_, left), (_, right)| {
        median(left, |start| start.resident_mb).total_cmp(&median(right, |start| start.resident_mb))
    });
    for (name, starts) in rows {
        let resident = median(starts, |start| start.resident_mb);
        let _ = writeln!(
            table,
            "| {name} | {:.0} | {resident:.1} | {:+.1} | {:.1} |",
            median(starts, |start| start.ready_ms),
            resident - base,
            median(starts, |start| start.anonymous_mb),
        );
    }
    Ok(table)
}

pub(super) fn sizes(sizes: &Sizes) -> String {
    let Sizes { sidecar, whole, empty } = sizes;
    let row = |name: &str, size: &Size| format!("| {name} | {} | {} |\n", size.wasm, size.gzip);
    format!(
        "| module | bytes | gzip |\n|---|---:|---:|\n{}{}{}",
        row("ours, for sidecars", sidecar),
        row("ours, for edges: every role", whole),
        row("empty filter of the stock SDK", empty)
    )
}

pub(super) fn map(readings: &[Reading]) -> String {
    let mut table =
        "| requests | keys | bytes in Envoy | bytes in the VMs |\n|---:|---:|---:|---:|\n".to_owned();
    for Reading { requests, keys, bytes, vm_bytes } in readings {
        let _ = writeln!(table, "| {requests} | {keys} | {bytes} | {vm_bytes} |");
    }
    table
}

pub(super) fn room(room: &[Room]) -> String {
    let mut table = "| requests/s | ids without room |\n|---:|---:|\n".to_owned();
    for Room { rate, dropped } in room {
        let _ = writeln!(table, "| {rate} | {:.2} % |", dropped * 100.0);
    }
    table
}

impl Results {
    /// What one copy of a variant costs.
    pub(super) fn cost_us(&self, name: &str) -> Result<Sample> {
        self.measured.cost_us(self.variant(name)?)
    }

    /// How many times the cost of another variant one has.
    pub(super) fn ratio(&self, name: &str, other: &str) -> Result<Sample> {
        self.measured.ratio(self.variant(name)?, self.variant(other)?)
    }

    fn variant(&self, name: &str) -> Result<&Variant> {
        let variant = self.variants.iter().find(|variant| variant.name == name);
        variant.with_context(|| format!("no variant {name}"))
    }

    /// How many times the cost of an edge with one rule an edge with the most rules has.
    pub(super) fn growth(&self, who: &str) -> Result<f64> {
        let [one, .., most] = variants::RULES;
        let cost = |rules| Ok::<_, anyhow::Error>(self.cost_us(&names::edge(who, rules, true))?.median());
        Ok(cost(most)? / cost(one)?)
    }
}
