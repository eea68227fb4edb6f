//! Runs `cargo test` and counts what libtest says of each test binary.

use std::process::Command;

use anyhow::Result;

use super::Outcome;
use crate::process;

/// Runs a `cargo test` command and sums up its binaries' results.
///
/// No test run at all is a failure, since then a pattern or a feature no longer matches anything; so is an
/// ignored test, since nothing would ever run it.
pub(super) fn run(cargo: &mut Command) -> Result<Outcome> {
    run_with_prefix(cargo, "")
}

/// The same, each line of what is printed behind a prefix: several are run at once.
pub(super) fn run_with_prefix(cargo: &mut Command, prefix: &str) -> Result<Outcome> {
    let mut count = Count::default();
    let success = process::watch(cargo.arg("--no-fail-fast"), prefix, |line| count.see(line))?;
    Ok(count.outcome(success))
}

#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Count {
    /// Reads lines such as `test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; …`.
    fn see(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        let mut words = result.split([' ', ';']).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let Ok(number) = word.parse::<u32>() else { continue };
            match words.peek() {
                Some(&"passed") => self.passed += number,
                Some(&"failed") => self.failed += number,
                Some(&"ignored") => self.ignored += number,
                _ => {}
            }
        }
    }

    fn outcome(self, success: bool) -> Outcome {
        let Self { passed, failed, ignored } = self;
        let remark = match (success, passed, failed, ignored) {
            (false, _, 0, _) => Some("did not build, or a test binary was killed".to_owned()),
            (_, 0, 0, _) => Some("ran no test".to_owned()),
            (_, _, _, 1..) => Some(format!("{ignored} ignored tests: nothing runs them")),
            _ => None,
        };
        let failed = failed.max(u32::from(remark.is_some()));
        Outcome { passed, failed, remark, skipped: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(success: bool, lines: &[&str], passed: u32, failed: u32) {
        let mut count = Count::default();
        lines.iter().for_each(|line| count.see(line));
        let outcome = count.outcome(success);
        assert_eq!((outcome.passed, outcome.failed), (passed, failed), "{:?}", outcome.remark);
    }

    #[test]
    fn results_of_several_binaries_add_up() {
        check(
            true,
            &[
                "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
                "test a ... ok",
                "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.01s",
            ],
            15,
            0,
        );
    }

    #[test]
    fn failures_are_counted() {
        check(
            false,
            &["test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out"],
            12,
            2,
        );
    }

    #[test]
    fn a_killed_binary_is_a_failure() {
        check(false, &["test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"], 12, 1);
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        check(true, &["test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out"], 0, 1);
    }

    #[test]
    fn an_ignored_test_is_a_failure() {
        check(true, &["test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out"], 5, 1);
    }
}
