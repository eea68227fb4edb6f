//! Progress on standard error, one line per thing.

use std::time::Duration;

use crate::progress::Progress;

/// Prints what is going on; standard output stays clean for what people pipe.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

impl Progress for Console {
    fn doing(&self, what: &str, details: &str) {
        eprintln!("{what:<20} {details} …");
    }

    fn done(&self, what: &str, details: &str, took: Duration) {
        let line = format!("{what:<20} {details}");
        eprintln!("{line:<88} {:>8}", seconds(took));
    }
}

/// `0.1 s`, `12 s`, `3 min 05 s`.
fn seconds(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 99.5 => format!("{s:.0} s"),
        s => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
    }
}
