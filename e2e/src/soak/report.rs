//! What came of a run: told as a table, and judged.

use std::fmt;
use std::time::Duration;

use crate::soak::Options;
use crate::soak::drive::Counted;
use crate::soak::judge::Judge;
use crate::soak::scene::POD;

/// Fewer overlaps prove nothing.
pub const OVERLAPS_MIN: u64 = 1_000;
/// Most calls that a flow makes with its ids, retries included.
const CALLS_MAX: u64 = 10;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many hops were wanted.
    pub wanted: u64,
    /// What the judge counted.
    pub hops: u64,
    /// Hops in another lane than the flow's.
    pub wrong: u64,
    /// Tagged hops in the baseline.
    pub lost: u64,
    /// Of these, of flows that hand on nothing.
    pub lost_with_nothing: u64,
    /// Of these, of flows whose ids nobody shared.
    pub lost_unshared: u64,
    /// Of these, of flows that hand on what says the lane by itself.
    pub lost_though_said: u64,
    /// Hops served further down the fallback order.
    pub fell_back: u64,
    /// Requests that the pod's app sent.
    pub sent: u64,
    /// Of these, those whose tag only the map can tell.
    pub sent_by_map: u64,
    /// Exchanges that failed.
    pub failed: u64,
    /// Pairs of flows of different lanes with one id, in the pod at once.
    pub overlaps: u64,
    /// Of these, with the baseline's first.
    pub baseline_first: u64,
    /// What the filters counted.
    pub counted: Counted,
    /// The first of what should not have happened.
    pub examples: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// One line on how far a run is.
pub fn progress(options: &Options, judge: &Judge, took: Duration) -> String {
    format!(
        "{:>4.0} s  {:>9} of {} hops  {:>6.0} hops/s  {:>8} overlaps  {} wrong  {} lost  {} failed",
        took.as_secs_f64(),
        judge.hops.get(),
        options.hops,
        per_second(judge.hops.get(), took),
        judge.overlaps.get(),
        judge.wrong.get(),
        judge.lost.get(),
        judge.failed.get(),
    )
}

impl Report {
    pub(super) fn new(options: &Options, judge: &Judge, counted: Counted, took: Duration) -> Self {
        Self {
            wanted: options.hops,
            hops: judge.hops.get(),
            wrong: judge.wrong.get(),
            lost: judge.lost.get(),
            lost_with_nothing: judge.lost_with_nothing.get(),
            lost_unshared: judge.lost_unshared.get(),
            lost_though_said: judge.lost_though_said.get(),
            fell_back: judge.fell_back.get(),
            sent: judge.sent.get(),
            sent_by_map: judge.sent_by_map.get(),
            failed: judge.failed.get(),
            overlaps: judge.overlaps.get(),
            baseline_first: judge.baseline_first.get(),
            counted,
            examples: judge.examples(),
            took,
        }
    }

    /// A counter of the pod's filter.
    #[must_use]
    pub fn pod(&self, counter: &str) -> u64 {
        self.counted.get(POD).and_then(|pod| pod.get(counter)).copied().unwrap_or_default()
    }

    /// A counter of all filters together.
    #[must_use]
    pub fn all(&self, counter: &str) -> u64 {
        self.counted.values().filter_map(|proxy| proxy.get(counter)).sum()
    }

    /// What is wrong with the run; nothing if all is as it must be.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        must(self.wrong == 0, format!("{} hops in a wrong lane", self.wrong));
        must(self.lost_though_said == 0, format!("{} hops lost that need no map", self.lost_though_said));
        must(self.failed == 0, format!("{} exchanges failed", self.failed));
        must(self.hops >= self.wanted, format!("only {} of {} hops in time", self.hops, self.wanted));
        for (kind, seen) in
            [("overlaps", self.overlaps), ("overlaps with the baseline first", self.baseline_first)]
        {
            must(
                seen >= OVERLAPS_MIN,
                format!("only {seen} {kind}: fewer than {OVERLAPS_MIN} prove nothing"),
            );
        }
        let passed: u64 = ORIGINS.iter().map(|origin| self.pod(&format!("outbound.{origin}"))).sum();
        must(passed == self.sent, format!("the pod's filter counts {passed} requests out of {}", self.sent));
        // Every loss has a name: handed on nothing, or an id that was shared, or one that had no room.
        let lost_by_map = self.lost - self.lost_with_nothing;
        let ambiguous = self.pod("ambiguous");
        must(lost_by_map <= ambiguous, format!("{lost_by_map} hops lost, {ambiguous} counted as ambiguous"));
        let no_room = CALLS_MAX * (self.pod("map.evicted") + self.pod("map.refused"));
        must(
            self.lost_unshared <= no_room,
            format!(
                "{} hops lost whose ids nobody shared, room was short for at most {no_room}",
                self.lost_unshared
            ),
        );
        must(2 * lost_by_map < self.sent_by_map, format!("{lost_by_map} of {} lost", self.sent_by_map));
        for counter in ["lost", "map.cas_exhausted", "host_refused", "refused_foreign", "config.rejected"] {
            must(self.all(counter) == 0, format!("{counter} is {}", self.all(counter)));
        }
        faults
    }
}

const ORIGINS: [&str; 6] = ["header", "baggage", "request_id", "correlation", "colour", "none"];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let rate = per_second(self.hops, self.took);
        let mut row = |what: &str, count: u64, note: &str| writeln!(f, "{what:<34} {count:>10}  {note}");
        row("hops judged", self.hops, &format!("in {seconds:.0} s, {rate:.0} a second"))?;
        row("in a wrong lane", self.wrong, "")?;
        row("failed", self.failed, "")?;
        row("overlaps", self.overlaps, "flows of two lanes with one id in the pod at once")?;
        row("  with the baseline's first", self.baseline_first, "")?;
        row("lost to the baseline", self.lost, "")?;
        row("  the app hands on nothing", self.lost_with_nothing, "")?;
        row("  an id that lanes shared", self.lost - self.lost_with_nothing - self.lost_unshared, "")?;
        row("  an id without room in the map", self.lost_unshared, "")?;
        row("fell back, tag kept", self.fell_back, "the proxy tried elsewhere")?;
        row("requests out of the pod", self.sent, "")?;
        row("  only the map can tell their tag", self.sent_by_map, "")?;
        for origin in ORIGINS {
            row(&format!("  tag found: {origin}"), self.pod(&format!("outbound.{origin}")), "")?;
        }
        for counter in
            ["ambiguous", "lost", "map.evicted", "map.refused", "map.cas_exhausted", "host_refused"]
        {
            row(&format!("counter {counter}"), self.pod(counter), "")?;
        }
        for example in &self.examples {
            writeln!(f, "  {example}")?;
        }
        Ok(())
    }
}

fn per_second(count: u64, took: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let count = count as f64;
    count / took.as_secs_f64().max(0.001)
}
