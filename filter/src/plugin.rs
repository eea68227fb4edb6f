//! A plugin's configuration, made ready: what its streams need, shared by all of them.

use std::rc::Rc;

use canary_rules::flows::Limits;
use canary_rules::hop::{self, Hop};
use canary_rules::name::LaneCode;
use canary_rules::wire::{self, Carriers, FilterConfig, WireError};

#[cfg(feature = "edge")]
use crate::edge::EdgePlugin;
use crate::flow_map;
use crate::host::Host;
use crate::metrics::Metrics;
use crate::traced::TracedPlugin;

/// The label of a pod that serves a lane.
pub const LANE_LABEL: &str = "canaryctl.io/lane";
/// A pod's annotation that lists the labels which the controller put on it, with commas.
const LABELLED_ANNOTATION: &str = "canaryctl.io/labelled";

/// What a plugin does with its streams.
#[derive(Debug, Clone, Default)]
pub enum Role {
    /// Nothing.
    #[default]
    Passthrough,
    /// At an edge, before authentication.
    #[cfg(feature = "edge")]
    EdgeGuard(Rc<EdgePlugin>),
    /// At an edge.
    #[cfg(feature = "edge")]
    Edge(Rc<EdgePlugin>),
    /// In a sidecar, to the application.
    Inbound(Rc<HopPlugin>),
    /// In a sidecar, from the application.
    Outbound(Rc<HopPlugin>),
    /// One of these that may be asked to tell of a request.
    Traced(Rc<TracedPlugin>),
}

/// A sidecar's configuration.
#[derive(Debug)]
pub struct HopPlugin {
    /// The lanes and their carriers.
    pub hop: Hop,
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

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No configuration that can be acted on.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A role that this build of the module leaves out.
    #[cfg(not(feature = "edge"))]
    #[error("this module is for sidecars and has no edge in it")]
    NoEdge,
}

impl Role {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read<H: Host>(json: &[u8], host: &H, metrics: &Metrics) -> Result<Self, ConfigError> {
        let config = FilterConfig::parse(json)?;
        let role = match config.role {
            #[cfg(feature = "edge")]
            wire::Role::EdgeGuard => Self::EdgeGuard(Rc::new(EdgePlugin::guard(&config)?)),
            #[cfg(feature = "edge")]
            wire::Role::Edge => Self::Edge(Rc::new(EdgePlugin::new(&config, host, metrics)?)),
            #[cfg(not(feature = "edge"))]
            wire::Role::EdgeGuard | wire::Role::Edge => {
                let _ = metrics;
                return Err(ConfigError::NoEdge);
            }
            wire::Role::Inbound | wire::Role::Outbound if config.lanes.is_empty() => Self::Passthrough,
            wire::Role::Inbound => Self::Inbound(Rc::new(HopPlugin::new(&config, host)?)),
            wire::Role::Outbound => Self::Outbound(Rc::new(HopPlugin::new(&config, host)?)),
        };
        Ok(match &config.trace {
            Some(tracing) if role.may_tell() => Self::Traced(Rc::new(TracedPlugin::new(role, tracing))),
            _ => role,
        })
    }

    /// Whether there is anything to tell of its streams.
    fn may_tell(&self) -> bool {
        match self {
            Self::Passthrough | Self::Traced(_) => false,
            #[cfg(feature = "edge")]
            Self::EdgeGuard(_) => false,
            #[cfg(feature = "edge")]
            Self::Edge(_) => true,
            Self::Inbound(_) | Self::Outbound(_) => true,
        }
    }

    /// The header that carries the tag; empty where the role knows none.
    pub(crate) fn tag_header(&self) -> &str {
        match self {
            #[cfg(feature = "edge")]
            Self::Edge(plugin) => plugin.shown_in.as_str(),
            Self::Inbound(plugin) | Self::Outbound(plugin) => plugin.hop.tag_header(),
            _ => "",
        }
    }
}

impl HopPlugin {
    fn new<H: Host>(config: &FilterConfig, host: &H) -> Result<Self, WireError> {
        let hop = Hop::new(config)?;
        let hop = match flow_map::id_key(host) {
            Some(key) => hop.with_flow_key(key),
            None => hop,
        };
        let limits = Limits { linger_s: hop.linger_s() };
        Ok(Self { hop, colour: colour(host), limits, carriers: TagHeaders::new(&config.carriers) })
    }
}

impl TagHeaders {
    /// Those of a configuration.
    pub fn new(carriers: &Carriers) -> Self {
        let own = core::iter::once(&carriers.header).chain(&carriers.aliases);
        let baggage = carriers.baggage.as_ref().map(|_| hop::BAGGAGE.to_owned());
        Self(own.map(|name| name.as_str().to_owned()).chain(baggage).collect())
    }

    /// Their names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The lane that this proxy's pod serves, by the label that its owner wrote. One that was put on it may go while
/// the pod stays, and a proxy reads its labels only once.
fn colour<H: Host>(host: &H) -> Option<LaneCode> {
    let label = metadata(host, "LABELS", LANE_LABEL)?;
    let labelled = metadata(host, "ANNOTATIONS", LABELLED_ANNOTATION).unwrap_or_default();
    if labelled.split(|byte| *byte == b',').any(|key| key == LANE_LABEL.as_bytes()) {
        return None;
    }
    hop::colour(&label)
}

/// An entry of the pod's metadata, as this proxy read it when it started.
fn metadata<H: Host>(host: &H, map: &str, key: &str) -> Option<Vec<u8>> {
    // Proxies before Envoy 1.33 have the node at the top.
    host.property(&["xds", "node", "metadata", map, key])
        .or_else(|| host.property(&["node", "metadata", map, key]))
}
