//! What a verb tells people while it works: a line for each step that is done.

use std::time::Duration;

use crate::install;

/// Width of a step's name.
const NAME: usize = 10;
/// Width of what came of it.
const WHAT: usize = 72;

/// Prints steps to standard output.
#[derive(Debug, Default)]
pub struct Printed;

impl Printed {
    /// A step's line without a time.
    pub fn line(&mut self, step: &str, what: &str) {
        anstream::println!("  {step:<NAME$} {what}");
    }

    /// A step's line.
    pub fn timed(&mut self, step: &str, what: &str, took: Duration) {
        anstream::println!("  {step:<NAME$} {what:<WHAT$} {}", seconds(took));
    }
}

impl install::Progress for Printed {
    fn done(&mut self, step: &str, what: &str, took: Duration) {
        self.timed(step, what, took);
    }
}

/// A time as people read it: `0.8 s`.
#[must_use]
pub fn seconds(took: Duration) -> String {
    format!("{:>5.1} s", took.as_secs_f64())
}
