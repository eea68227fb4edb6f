//! A plugin's configuration, made ready: what its streams need, shared by all of them.

use std::cell::OnceCell;
use std::rc::Rc;

use canary_rules::edge::Edge;
use canary_rules::flows::Limits;
use canary_rules::hop::{self, Hop};
use canary_rules::name::{HeaderName, LaneCode, LaneName};
use canary_rules::wire::{Carriers, Filter, FilterConfig, Subject, WireCondition, WireError};

use crate::host::Host;
use crate::metrics::{LaneSlot, Metrics};

/// The label of a pod that serves a lane.
pub const LANE_LABEL: &str = "canaryctl.io/lane";

/// What a plugin does with its streams.
#[derive(Debug, Clone, Default)]
pub enum Role {
    /// Nothing.
    #[default]
    Passthrough,
    /// At an edge, before authentication.
    EdgeGuard(Rc<EdgePlugin>),
    /// At an edge.
    Edge(Rc<EdgePlugin>),
    /// In a sidecar, to the application.
    Inbound(Rc<HopPlugin>),
    /// In a sidecar, from the application.
    Outbound(Rc<HopPlugin>),
}

/// An edge's configuration.
#[derive(Debug)]
pub struct EdgePlugin {
    /// The rules.
    pub edge: Box<Edge>,
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

/// A sidecar's configuration.
#[derive(Debug)]
pub struct HopPlugin {
    /// The lanes and their carriers.
    pub hop: Box<Hop>,
    /// The pod's own lane.
    pub colour: Option<LaneCode>,
    /// How long ids are held.
    pub limits: Limits,
    /// Headers that may carry a tag.
    pub carriers: TagHeaders,
}

/// Headers that may carry a tag: removed unseen where the proxy does not show a request's headers.
#[derive(Debug)]
pub struct TagHeaders(Vec<String>);

impl Role {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn read<H: Host>(json: &[u8], host: &H, metrics: &Metrics) -> Result<Self, WireError> {
        let config = FilterConfig::parse(json)?;
        let aside = Aside {
            asks_client: asks_client(&config),
            shown_in: config.carriers.header.clone(),
            carriers: TagHeaders::new(&config.carriers),
        };
        Ok(match Filter::try_from(config)? {
            Filter::Passthrough => Self::Passthrough,
            Filter::EdgeGuard(edge) => Self::EdgeGuard(Rc::new(EdgePlugin::new(edge, aside, Vec::new()))),
            Filter::Edge(edge) => {
                metrics.define_edge(host);
                let slots = edge.lanes().map(|lane| metrics.lane(host, lane)).collect();
                Self::Edge(Rc::new(EdgePlugin::new(edge, aside, slots)))
            }
            Filter::Inbound(hop) => Self::Inbound(Rc::new(HopPlugin::new(hop, aside, colour(host)))),
            Filter::Outbound(hop) => Self::Outbound(Rc::new(HopPlugin::new(hop, aside, colour(host)))),
        })
    }
}

/// What the filter itself has to know of a configuration.
struct Aside {
    asks_client: bool,
    shown_in: HeaderName,
    carriers: TagHeaders,
}

impl HopPlugin {
    fn new(hop: Box<Hop>, aside: Aside, colour: Option<LaneCode>) -> Self {
        let limits = Limits { linger_s: hop.linger_s() };
        Self { hop, colour, limits, carriers: aside.carriers }
    }
}

impl EdgePlugin {
    fn new(edge: Box<Edge>, aside: Aside, slots: Vec<LaneSlot>) -> Self {
        let Aside { asks_client, shown_in, carriers } = aside;
        Self { edge, asks_client, shown_in, vary: OnceCell::new(), carriers, slots }
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

impl TagHeaders {
    fn new(carriers: &Carriers) -> Self {
        let own = core::iter::once(&carriers.header).chain(&carriers.aliases);
        let baggage = carriers.baggage.as_ref().map(|_| hop::BAGGAGE.to_owned());
        Self(own.map(|name| name.as_str().to_owned()).chain(baggage).collect())
    }

    /// Their names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The lane that this proxy's pod serves, by its label.
fn colour<H: Host>(host: &H) -> Option<LaneCode> {
    const LABEL: [&str; 4] = ["node", "metadata", "LABELS", LANE_LABEL];
    let label = match host.property(&["xds", "node", "metadata", "LABELS", LANE_LABEL]) {
        Some(label) => Some(label),
        // Proxies before Envoy 1.33 have the node at the top.
        None => host.property(&LABEL),
    };
    label.and_then(|label| hop::colour(&label))
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
