//! What a mesh decides once, for all its lanes; with the lanes it makes every role's configuration.

use alloc::vec::Vec;

use crate::lane::Compiled;
use crate::signing::KeyRing;
use crate::trace::Tracing;
use crate::wire::{Carriers, EdgeSettings, FilterConfig, LINGER_S_DEFAULT, Peers, Role};

/// A mesh's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshSettings {
    /// Where tags ride.
    pub carriers: Carriers,
    /// Signing keys.
    pub keys: KeyRing,
    /// Whose tags an inbound sidecar believes.
    pub peers: Peers,
    /// Life of a flow's correlation ids beyond its response, in seconds.
    pub linger_s: u32,
    /// What edges need beyond that; its layers come from the lanes.
    pub edge: EdgeSettings,
    /// Whether requests may ask to be told of.
    pub trace: Option<Tracing>,
}

impl MeshSettings {
    /// The defaults, with these keys.
    #[must_use]
    pub fn new(keys: KeyRing) -> Self {
        Self {
            carriers: Carriers::default(),
            keys,
            peers: Peers::default(),
            linger_s: LINGER_S_DEFAULT,
            edge: EdgeSettings::default(),
            trace: None,
        }
    }

    /// What a filter in this role is told: an edge the rules, a sidecar names and parents only.
    #[must_use]
    pub fn config(&self, role: Role, lanes: &Compiled) -> FilterConfig {
        let trace = self.trace.clone();
        let (lanes, edge, trace) = match role {
            Role::Edge => {
                let edge = EdgeSettings { layers: lanes.layers.clone(), ..self.edge.clone() };
                (lanes.lanes.clone(), Some(edge), trace)
            }
            Role::EdgeGuard | Role::Inbound | Role::Outbound => {
                let trace = trace.map(|tracing| Tracing { samples: Vec::new(), ..tracing });
                (lanes.without_rules(), None, trace)
            }
        };
        FilterConfig {
            lanes,
            carriers: self.carriers.clone(),
            keys: Some(self.keys.clone()),
            peers: self.peers,
            linger_s: self.linger_s,
            edge,
            trace,
            ..FilterConfig::new(role)
        }
    }
}
