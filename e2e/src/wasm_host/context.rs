//! What the host keeps of a plugin and of a stream inside one VM.

use std::rc::Rc;

use super::property::Properties;
use super::{HeaderMap, LocalResponse};

/// Contexts are numbered; the filter knows them by their number.
pub(super) type ContextId = u32;

#[derive(Debug)]
pub(super) enum Context {
    Plugin(PluginContext),
    Stream(Box<StreamContext>),
}

/// A root context.
#[derive(Debug)]
pub(super) struct PluginContext {
    /// In reach only while the plugin is being created or configured.
    pub(super) configuration: Option<Rc<[u8]>>,
    pub(super) name: Rc<str>,
    pub(super) tick: Option<Tick>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) period_ns: u64,
    pub(super) due_ns: u64,
}

/// An HTTP context. The maps are in reach only during the callback that is given them.
#[derive(Debug, Default)]
pub(super) struct StreamContext {
    pub(super) plugin: ContextId,
    pub(super) request: Option<HeaderMap>,
    pub(super) response: Option<HeaderMap>,
    pub(super) properties: Properties,
    pub(super) local_response: Option<LocalResponse>,
    pub(super) route_cache_clears: u32,
}
