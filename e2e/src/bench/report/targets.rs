//! What the filter is meant to keep to, and whether it does.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::Results;
use crate::bench::map::MAP_BYTES_MAX;
use crate::bench::plans::{LANES, Planning, RELEASED};
use crate::bench::variants::{RULES, names};

/// Of the module as Envoy loads it, in bytes.
const WASM_BYTES_MAX: usize = 180_000;
/// Of the module as registries carry it, in bytes.
const GZIP_BYTES_MAX: usize = 70_000;

/// Of a plan for the largest mesh, and of one for a release, in milliseconds.
const MESH_MS_MAX: f64 = 100.0;
const RELEASE_MS_MAX: f64 = 50.0;

/// One line of the table.
struct Target {
    target: String,
    measured: String,
    verdict: Verdict,
}

/// Whether a target is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// The measurement does not tell.
    Draw,
}

impl Verdict {
    /// Of a count or a size.
    fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }

    /// Of a ratio that is to be below 1, by the interval that it lies in.
    fn of_ratio(interval: Option<(f64, f64)>) -> Self {
        match interval {
            Some((_, high)) if high < 1.0 => Self::Met,
            Some((low, _)) if low > 1.0 => Self::Missed,
            _ => Self::Draw,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::Missed => "**no**",
            Self::Draw => "draw",
        }
    }
}

pub(super) fn table(results: &Results) -> Result<String> {
    let mut targets = host_calls(results)?;
    targets.extend(times(results)?);
    targets.extend(sizes(results)?);
    targets.extend(plans(&results.planning)?);
    let mut table = "| target | measured | met |\n|---|---|---|\n".to_owned();
    for Target { target, measured, verdict } in targets {
        let _ = writeln!(table, "| {target} | {measured} | {} |", verdict.text());
    }
    Ok(table)
}

fn host_calls(results: &Results) -> Result<Vec<Target>> {
    let calls = |name: &str| {
        let pass = results.counted.iter().find(|pass| pass.name == name);
        pass.with_context(|| format!("{name} was not counted"))
    };
    let most = |target: &str, passes: &[&str]| {
        let passes = passes.iter().map(|name| calls(name)).collect::<Result<Vec<_>>>()?;
        let most = passes.iter().map(|pass| pass.cost.host_calls()).max().unwrap_or_default();
        let verdict = Verdict::of(passes.iter().all(|pass| pass.is_within_budget()));
        Ok::<_, anyhow::Error>(Target { target: target.to_owned(), measured: most.to_string(), verdict })
    };
    Ok(vec![
        most("no lane: at most 1 host call per sidecar pass", &[names::NO_LANE])?,
        most("untagged pass: at most 4", &[names::IN_UNTAGGED, names::OUT_UNTAGGED])?,
        most("tagged pass: at most 5", &[names::IN_TAGGED, names::OUT_RESTORED, names::OUT_TAGGED])?,
    ])
}

fn times(results: &Results) -> Result<Vec<Target>> {
    let cheaper = |target: &str, ours: &str, other: &str| {
        let ratio = results.ratio(ours, other)?;
        let (ours, other) = (results.cost_us(ours)?.median(), results.cost_us(other)?.median());
        let interval = ratio.median_interval();
        let within = interval.map(|(low, high)| format!(", {low:.2} – {high:.2}")).unwrap_or_default();
        let measured = format!("{ours:.2} µs against {other:.2} µs (× {:.2}{within})", ratio.median());
        let verdict = Verdict::of_ratio(interval);
        Ok::<_, anyhow::Error>(Target { target: target.to_owned(), measured, verdict })
    };
    let mut times = vec![
        cheaper("no lane: no dearer than the stock SDK's empty filter", names::NO_LANE, names::EMPTY)?,
        cheaper("untagged inbound: cheaper than in Lua", names::IN_UNTAGGED, names::LUA_UNTAGGED)?,
        cheaper("untagged outbound: cheaper than in Lua", names::OUT_UNTAGGED, names::LUA_UNTAGGED)?,
    ];
    for rules in RULES {
        for hit in [true, false] {
            let [ours, lua] = ["ours", "Lua"].map(|who| names::edge(who, rules, hit));
            times.push(cheaper(
                &format!("{}: cheaper than in Lua", names::edge("", rules, hit)),
                &ours,
                &lua,
            )?);
        }
    }
    let [one, .., most] = RULES;
    let (ours, lua) = (results.growth("ours")?, results.growth("Lua")?);
    times.push(Target {
        target: format!("edge: grows less than the rules do, {one} to {most}"),
        measured: format!("× {ours:.1} (Lua × {lua:.1})"),
        verdict: Verdict::of(ours < (most / one) as f64),
    });
    Ok(times)
}

fn sizes(results: &Results) -> Result<Vec<Target>> {
    let sidecar = results.sizes.sidecar;
    let size = |target: &str, bytes: usize, max: usize| Target {
        target: target.to_owned(),
        measured: format!("{:.1} KB", bytes as f64 / 1e3),
        verdict: Verdict::of(bytes <= max),
    };
    let last = results.map.readings.last().context("the map was not measured")?;
    let readings = &results.map.readings;
    let flat = readings.get(readings.len() / 2).is_some_and(|middle| middle.bytes == last.bytes);
    Ok(vec![
        size("module for sidecars: at most 180 KB", sidecar.wasm, WASM_BYTES_MAX),
        size("module for sidecars with gzip: at most 70 KB", sidecar.gzip, GZIP_BYTES_MAX),
        Target {
            target: format!("correlation map: at most 8 MB, flat over {} requests", last.requests),
            measured: format!("{:.2} MB, {}", last.bytes as f64 / 1e6, if flat { "flat" } else { "grows" }),
            verdict: Verdict::of(flat && last.bytes <= MAP_BYTES_MAX),
        },
    ])
}

fn plans(planning: &Planning) -> Result<Vec<Target>> {
    let [smallest, .., largest] = planning.meshes.as_slice() else { bail!("plans of one mesh do not grow") };
    let (first, release) = (largest.first_ms.median(), planning.release_ms.median());
    let growth = first / smallest.first_ms.median();
    let services = largest.services as f64 / smallest.services as f64;
    Ok(vec![
        Target {
            target: format!(
                "plan for {} services and {LANES} lanes: at most {MESH_MS_MAX} ms",
                largest.services
            ),
            measured: format!("{first:.1} ms"),
            verdict: Verdict::of(first <= MESH_MS_MAX),
        },
        Target {
            target: format!("… growing no more than services do, × {services:.0}"),
            measured: format!("× {growth:.1}"),
            verdict: Verdict::of(growth <= services),
        },
        Target {
            target: format!("plan for a release of {RELEASED} Deployments: at most {RELEASE_MS_MAX} ms"),
            measured: format!("{release:.1} ms"),
            verdict: Verdict::of(release <= RELEASE_MS_MAX),
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interval_on_one_side_of_1_decides() {
        assert_eq!(Verdict::of_ratio(Some((0.69, 0.98))), Verdict::Met);
        assert_eq!(Verdict::of_ratio(Some((1.02, f64::INFINITY))), Verdict::Missed);
        assert_eq!(Verdict::of_ratio(Some((0.69, 1.34))), Verdict::Draw);
        assert_eq!(Verdict::of_ratio(Some((0.0, 1.0))), Verdict::Draw);
        assert_eq!(Verdict::of_ratio(None), Verdict::Draw);
    }
}
