//! An edge's configuration, made ready.

use std::cell::OnceCell;

use canary_rules::edge::Edge;
use canary_rules::name::{HeaderName, LaneName};
use canary_rules::wire::{FilterConfig, Subject, WireCondition, WireError};

use crate::host::Host;
use crate::metrics::{LaneSlot, Metrics};
use crate::plugin::TagHeaders;

/// What an edge's streams need, shared by all of them.
#[derive(Debug)]
pub struct EdgePlugin {
    /// The rules.
    pub edge: Edge,
    /// Whether a rule asks for the client's address, which is a host call.
    pub asks_client: bool,
    /// The header that names the lane in responses.
    pub shown_in: HeaderName,
    /// What responses list in `vary`.
    pub vary: OnceCell<String>,
    /// Headers that may carry a tag.
    pub carriers: TagHeaders,
    slots: Vec<LaneSlot>,
}

impl EdgePlugin {
    /// For an edge's guard, which decides nothing and so counts no lanes.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn guard(config: &FilterConfig) -> Result<Self, WireError> {
        Ok(Self {
            edge: Edge::new(config)?,
            asks_client: asks_client(config),
            shown_in: config.carriers.header.clone(),
            vary: OnceCell::new(),
            carriers: TagHeaders::new(&config.carriers),
            slots: Vec::new(),
        })
    }

    /// For an edge.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn new<H: Host>(config: &FilterConfig, host: &H, metrics: &Metrics) -> Result<Self, WireError> {
        let mut plugin = Self::guard(config)?;
        metrics.define_edge(host);
        plugin.slots = plugin.edge.lanes().map(|lane| metrics.lane(host, lane)).collect();
        Ok(plugin)
    }

    /// The lane's place among the edge's lanes.
    pub fn lane_index(&self, lane: &LaneName) -> Option<usize> {
        self.edge.lanes().position(|known| known == lane)
    }

    /// The counter of a lane's decisions, or of the baseline's.
    pub fn slot(&self, lane: Option<usize>) -> LaneSlot {
        lane.map_or(LaneSlot::BASELINE, |lane| self.slots.get(lane).copied().unwrap_or(LaneSlot::OTHER))
    }
}

fn asks_client(config: &FilterConfig) -> bool {
    fn within(condition: &WireCondition) -> bool {
        match condition {
            WireCondition::All(parts) | WireCondition::Any(parts) => parts.iter().any(within),
            WireCondition::Not(part) => within(part),
            WireCondition::Test(test) => test.subject == Subject::Client,
        }
    }
    let rules = config.lanes.iter().flat_map(|lane| &lane.rules);
    rules.filter_map(|rule| rule.when.as_ref()).any(within)
}
