//! What a run watches: some of a lane's flows.

use std::fmt;

use canary_rules::name::LaneName;

/// A lane, and how often one of its flows is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The lane.
    pub lane: LaneName,
    /// At most one flow in so many seconds, of each worker of each gateway.
    pub every_s: u32,
}

impl Watch {
    /// Reads what its `Display` writes; none where it is something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (lane, every_s) = text.split_once(' ')?;
        let every_s = every_s.parse().ok().filter(|every_s| *every_s > 0)?;
        Some(Self { lane: LaneName::new(lane).ok()?, every_s })
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lane, self.every_s)
    }
}
