//! Numbers to a verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{About, Checks, Side};
use crate::document::{Release, WorkloadRef};

/// What came of asking.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The moment that the answers are about, Unix, in seconds.
    pub at: i64,
    /// The step that they are about, counted from 0.
    pub step: usize,
    /// The numbers; a question with no answer had nothing to count. Or why there are none.
    pub answers: Result<BTreeMap<About, f64>, String>,
}

/// What measurements say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// All is within its bounds.
    Good,
    /// Something is not.
    Bad,
    /// There is too little to judge by.
    TooFew,
    /// Nobody answers.
    Unknown,
}

/// What the last measurement of a step came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisStatus {
    /// The step, counted from 0.
    pub step: usize,
    /// When it was, Unix, in seconds.
    pub at: i64,
    /// What it says.
    pub verdict: Verdict,
    /// Why, for people.
    pub message: String,
    /// How many times in a row it was good, until now.
    #[serde(default)]
    pub passes: u32,
    /// How many times in a row it was bad, until now.
    #[serde(default)]
    pub failures: u32,
    /// Whether it was bad so often that the release does not go on by itself.
    #[serde(default)]
    pub failed: bool,
    /// The quantile that latencies are of.
    pub quantile: f64,
    /// The workloads, in the order of the spec.
    #[serde(default)]
    pub workloads: Vec<Reading>,
    /// What one's own queries gave.
    #[serde(default)]
    pub figures: Vec<Figure>,
}

/// A workload's traffic in the window, the lane's beside the baseline's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The Deployment.
    pub deployment: WorkloadRef,
    /// The lane's.
    pub lane: Traffic,
    /// The baseline's.
    pub base: Traffic,
    /// What it says of this workload.
    pub verdict: Verdict,
}

/// Requests of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Traffic {
    /// How many there were; Prometheus reckons them from what it saw, so that they are no whole number.
    pub requests: f64,
    /// How many of them failed.
    pub failures: f64,
    /// The quantile of latencies, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// What a query of one's own gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// The number, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

impl Traffic {
    /// Failed requests in percent of all; none without requests.
    #[must_use]
    pub fn failed_percent(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.failures / self.requests * 100.0)
    }
}

/// Judges a measurement, after what the one before it said of the same step.
pub(crate) fn judge(
    release: &Release,
    checks: &Checks,
    measured: &Measured,
    before: Option<&AnalysisStatus>,
) -> AnalysisStatus {
    let none = BTreeMap::new();
    let answers = measured.answers.as_ref().unwrap_or(&none);
    let mut workloads = readings(release, answers);
    let figures = figures(checks, answers);
    let (verdict, message) = match &measured.answers {
        Err(why) => (Verdict::Unknown, why.clone()),
        Ok(_) => verdict(checks, &mut workloads, &figures),
    };
    let row = |so_far: fn(&AnalysisStatus) -> u32, goes_on: bool| match goes_on {
        true => before.map_or(0, so_far).saturating_add(1),
        false => 0,
    };
    let failures = row(|before| before.failures, verdict == Verdict::Bad);
    AnalysisStatus {
        step: measured.step,
        at: measured.at,
        verdict,
        message,
        passes: row(|before| before.passes, verdict == Verdict::Good),
        failures,
        failed: failures >= checks.failures && !checks.dry_run,
        quantile: checks.quantile,
        workloads,
        figures,
    }
}

fn readings(release: &Release, answers: &BTreeMap<About, f64>) -> Vec<Reading> {
    let number = |about| answers.get(&about).copied();
    let traffic = |at, side| Traffic {
        requests: rounded(number(About::Requests(at, side)).unwrap_or(0.0)),
        failures: rounded(number(About::Failures(at, side)).unwrap_or(0.0)),
        latency_ms: number(About::Latency(at, side)).map(rounded),
    };
    let specs = release.spec.workloads.iter().enumerate();
    let reading = |(at, spec): (usize, &crate::document::WorkloadSpec)| Reading {
        deployment: spec.deployment.clone(),
        lane: traffic(at, Side::Lane),
        base: traffic(at, Side::Base),
        verdict: Verdict::Unknown,
    };
    specs.map(reading).collect()
}

fn figures(checks: &Checks, answers: &BTreeMap<About, f64>) -> Vec<Figure> {
    let own = checks.own.iter().enumerate();
    own.map(|(at, own)| Figure { name: own.name.clone(), value: answers.get(&About::Own(at)).copied() })
        .collect()
}

/// To thousandths: a journal is read by people.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// What is bad is bad whatever else is not known yet.
fn verdict(checks: &Checks, workloads: &mut [Reading], figures: &[Figure]) -> (Verdict, String) {
    let mut bad = Vec::new();
    let mut few = Vec::new();
    for reading in workloads {
        let (mut its_bad, mut its_few) = (Vec::new(), Vec::new());
        errors(checks, reading, &mut its_bad, &mut its_few);
        latency(checks, reading, &mut its_bad, &mut its_few);
        its_few.dedup();
        reading.verdict = of(&its_bad, &its_few);
        bad.append(&mut its_bad);
        few.append(&mut its_few);
    }
    for (own, figure) in checks.own.iter().zip(figures) {
        let name = &own.name;
        match figure.value {
            None => few.push(format!("{name}: the query gives no number")),
            Some(value) if own.min.is_some_and(|min| value < min) => {
                bad.push(format!("{name} is {}, less than {}", rounded(value), own.min.unwrap_or_default()));
            }
            Some(value) if own.max.is_some_and(|max| value > max) => {
                bad.push(format!("{name} is {}, more than {}", rounded(value), own.max.unwrap_or_default()));
            }
            Some(_) => {}
        }
    }
    match of(&bad, &few) {
        Verdict::Bad => (Verdict::Bad, bad.join("; ")),
        Verdict::Good => (Verdict::Good, "all is within its bounds".into()),
        open => (open, few.join("; ")),
    }
}

fn of(bad: &[String], few: &[String]) -> Verdict {
    match (bad, few) {
        ([], []) => Verdict::Good,
        ([], _) => Verdict::TooFew,
        _ => Verdict::Bad,
    }
}

/// Whether there is too little traffic to say anything; told once.
fn lacks(checks: &Checks, reading: &Reading, compares: bool, few: &mut Vec<String>) -> bool {
    let least = checks.min_samples;
    let sides = [("lane", &reading.lane, true), ("baseline", &reading.base, compares)];
    let lacking =
        sides.into_iter().find(|(_, traffic, counts)| *counts && traffic.requests < f64::from(least));
    let Some((side, traffic, _)) = lacking else { return false };
    few.push(format!("{}: {:.0} of {least} requests in the {side}", reading.deployment, traffic.requests));
    true
}

fn errors(checks: &Checks, reading: &Reading, bad: &mut Vec<String>, few: &mut Vec<String>) {
    let Some(bounds) = &checks.success_rate else { return };
    if lacks(checks, reading, false, few) {
        return;
    }
    let name = &reading.deployment;
    let failed = reading.lane.failed_percent().unwrap_or(0.0);
    if let Some(min) = bounds.min.filter(|min| 100.0 - failed < *min) {
        bad.push(format!("{name}: {:.2} % of requests succeed, less than {min}", 100.0 - failed));
        return;
    }
    let Some(drop) = bounds.max_drop else { return };
    if lacks(checks, reading, true, few) {
        return;
    }
    let base = reading.base.failed_percent().unwrap_or(0.0);
    // What is decimal in the document is not in memory.
    if failed - base > drop + 1e-9 {
        bad.push(format!(
            "{name}: {failed:.2} % of requests fail (base {base:.2}), more than {drop} points above"
        ));
    }
}

fn latency(checks: &Checks, reading: &Reading, bad: &mut Vec<String>, few: &mut Vec<String>) {
    let Some(bounds) = &checks.latency else { return };
    if lacks(checks, reading, false, few) {
        return;
    }
    let name = &reading.deployment;
    let what = quantile(checks.quantile);
    let Some(lane) = reading.lane.latency_ms else {
        // Nobody called: where that is enough to be judged, it is not slow.
        if reading.lane.requests > 0.0 {
            few.push(format!("{name}: no latencies of the lane"));
        }
        return;
    };
    if let Some(max) = bounds.max_ms.filter(|max| lane > *max) {
        bad.push(format!("{name}: {what} is {lane:.0} ms, more than {max}"));
        return;
    }
    let Some(rise) = bounds.max_rise else { return };
    if lacks(checks, reading, true, few) {
        return;
    }
    match reading.base.latency_ms {
        None => few.push(format!("{name}: no latencies of the baseline")),
        Some(base) if lane > base * (1.0 + rise / 100.0) => {
            bad.push(format!("{name}: {what} is {lane:.0} ms (base {base:.0}), more than {rise} % above"));
        }
        Some(_) => {}
    }
}

impl AnalysisStatus {
    /// The quantile as people call it: `p95`.
    #[must_use]
    pub fn quantile_name(&self) -> String {
        quantile(self.quantile)
    }
}

fn quantile(quantile: f64) -> String {
    format!("p{}", rounded(quantile * 100.0))
}

#[cfg(test)]
mod tests;
