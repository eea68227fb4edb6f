//! The table at the end of a run, and whether the run counts as a success.

use std::time::Duration;

use super::Outcome;
use crate::step::seconds;

/// Tiers in the order they ran.
pub(super) struct Report {
    rows: Vec<Row>,
    /// With `CI` set, what could not be run has failed: nobody reads why.
    strict: bool,
}

struct Row {
    tier: &'static str,
    outcome: Outcome,
    took: Duration,
}

impl Report {
    pub(super) fn new() -> Self {
        let ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
        Self { rows: Vec::new(), strict: ci }
    }

    pub(super) fn add(&mut self, tier: &'static str, outcome: Outcome, took: Duration) {
        self.rows.push(Row { tier, outcome, took });
    }

    pub(super) fn is_success(&self) -> bool {
        self.failed() == 0
    }

    /// Prints the table; its last line is `N passed, N failed`, alone, for programs to read.
    pub(super) fn print(&self) {
        println!("\n{:<12} {:<8} {:>7} {:>7} {:>13}", "tier", "result", "passed", "failed", "time");
        for row in &self.rows {
            let Outcome { passed, failed, .. } = row.outcome;
            let took = seconds(row.took);
            let line = format!("{:<12} {:<8} {passed:>7} {failed:>7} {took:>13}", row.tier, self.result(row));
            match &row.outcome.remark {
                Some(remark) => println!("{line}  {remark}"),
                None => println!("{line}"),
            }
        }
        let passed: u32 = self.rows.iter().map(|row| row.outcome.passed).sum();
        println!("\n{passed} passed, {} failed", self.failed());
    }

    fn result(&self, row: &Row) -> &'static str {
        match row.outcome {
            Outcome { failed: 1.., .. } => "FAILED",
            Outcome { skipped: true, .. } if self.strict => "NOT RUN",
            Outcome { skipped: true, .. } => "skipped",
            _ => "ok",
        }
    }

    fn failed(&self) -> u32 {
        let not_run = |row: &Row| u32::from(self.strict && row.outcome.skipped);
        self.rows.iter().map(|row| row.outcome.failed + not_run(row)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(strict: bool, outcome: Outcome) -> Report {
        let row = Row { tier: "envoy", outcome, took: Duration::ZERO };
        Report { rows: vec![row], strict }
    }

    #[test]
    fn a_skipped_tier_fails_only_where_nobody_reads_why() {
        assert!(report(false, Outcome::skipped("no Envoy")).is_success());
        assert!(!report(true, Outcome::skipped("no Envoy")).is_success());
    }

    #[test]
    fn one_failed_check_fails_the_run() {
        let outcome = Outcome { passed: 7, failed: 1, ..Outcome::default() };
        assert!(!report(false, outcome).is_success());
    }
}
