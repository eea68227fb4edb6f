//! One line per thing done: what, how it ended, and how long it took. Goes to standard error, so that a verb's
//! own output (a demo's JSON, say) stays clean.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A chore under way. Say how it ended with [`Step::done`]; dropped without that, it says nothing more.
pub(crate) struct Step {
    what: String,
    started: Instant,
}

impl Step {
    /// Announces `what` (one word) and what is being done about it.
    pub(crate) fn start(what: &str, doing: &str) -> Self {
        let mut stderr = std::io::stderr();
        // On a terminal the end overwrites the announcement; in a log both lines stay, since a log is what
        // people read to see where a run hangs.
        let end = if stderr.is_terminal() { "\r" } else { "\n" };
        let _ = write!(stderr, "{what:<10} {doing} …{end}");
        let _ = stderr.flush();
        Self { what: what.to_owned(), started: Instant::now() }
    }

    /// Prints the outcome: a word for the state and the details.
    pub(crate) fn done(self, state: &str, details: &str) {
        let line = format!("{:<10} {state:<9} {details}", self.what);
        eprintln!("{line:<88} {:>8}", seconds(self.started.elapsed()));
    }
}

/// A duration as people read it: `0.1 s`, `12 s`, `3 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    match s {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 99.5 => format!("{s:.0} s"),
        s => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
    }
}

/// A size in KB of 1,000 bytes, as the budgets are given.
pub(crate) fn kilobytes(bytes: usize) -> String {
    format!("{:.1} KB", bytes as f64 / 1000.0)
}
