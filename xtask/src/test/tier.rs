//! What a tier is and how one can end.

use anyhow::Result;

use super::Shop;

/// A named group of checks that prove one thing.
pub(super) struct Tier {
    /// One word; what people type to run only this.
    pub(super) name: &'static str,
    /// Completes "this tier proves that …".
    pub(super) proves: &'static str,
    /// An error means that the tier could not be run to its end; failed checks are an [`Outcome`].
    pub(super) run: fn(&Shop) -> Result<Outcome>,
}

/// How a tier ended.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) passed: u32,
    pub(super) failed: u32,
    /// Why nothing, or not all, was run, or what failed, where the numbers alone do not say it.
    pub(super) remark: Option<String>,
    pub(super) skipped: bool,
}

impl Outcome {
    /// A check that either holds or makes its tier an error.
    pub(super) fn one_passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// Nothing could be run, for the reason given.
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: true, remark: Some(why.into()), ..Self::default() }
    }

    pub(super) fn broken(error: &anyhow::Error) -> Self {
        let message = error.to_string();
        let first_line = message.lines().next().unwrap_or_default().to_owned();
        Self { failed: 1, remark: Some(first_line), ..Self::default() }
    }

    /// Both outcomes as one.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            remark: self.remark.or(other.remark),
            skipped: self.skipped || other.skipped,
        }
    }
}
