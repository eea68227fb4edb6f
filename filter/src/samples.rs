//! Whose requests an edge marks by itself, and when the next one is due.

use std::cell::Cell;

use canary_rules::trace::Sample;

/// What an edge is asked to mark.
#[derive(Debug)]
pub struct Samples(Vec<Watched>);

/// A lane that somebody watches.
#[derive(Debug)]
struct Watched {
    sample: Sample,
    /// From this second on one is due (Unix).
    due_unix_s: Cell<u64>,
}

impl Samples {
    /// The first of each is due at once; what is none is let pass.
    pub fn new(samples: &[String]) -> Self {
        let samples = samples.iter().filter_map(|text| Sample::read(text));
        Self(samples.map(|sample| Watched { sample, due_unix_s: Cell::default() }).collect())
    }

    /// Whether any lane's is due.
    pub fn are_due(&self, now_unix_s: u64) -> bool {
        self.0.iter().any(|watched| watched.due_unix_s.get() <= now_unix_s)
    }

    /// The trace of a request that goes on with this tag, where it is one that is due. Of several who watch a lane
    /// one has it.
    pub fn take(&self, tag: &[u8], now_unix_s: u64, drawn: u32) -> Option<u64> {
        let is_due = |watched: &&Watched| {
            watched.sample.lane.as_bytes() == tag && watched.due_unix_s.get() <= now_unix_s
        };
        let Watched { sample, due_unix_s } = self.0.iter().find(is_due)?;
        due_unix_s.set(now_unix_s.saturating_add(sample.every_s.into()));
        Some(sample.trace(drawn))
    }
}
