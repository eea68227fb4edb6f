//! What the streams of every role have in common.

use canary_rules::edits::Edit;

use crate::host::{HeaderMap, Host};
use crate::metrics::{Event, Metrics};
use crate::plugin::TagHeaders;

/// Whether the proxy goes on with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// To the next filter.
    Continue,
    /// No further: it has been answered.
    Stop,
}

/// Makes the changes that a decision wants.
pub(crate) fn apply<H: Host>(host: &H, metrics: &Metrics, map: HeaderMap, edits: &[Edit<'_>]) {
    for edit in edits {
        let done = match edit {
            Edit::Set(name, value) => host.set_header(map, name, value),
            Edit::Add(name, value) => host.add_header(map, name, value),
            Edit::Remove(name) => host.remove_header(map, name),
        };
        if !done {
            metrics.event(Event::HostRefused);
        }
    }
}

/// The proxy does not show the request's headers: whatever may be a tag goes, unseen, and the baseline
/// serves.
pub(crate) fn remove_unseen<H: Host>(host: &H, metrics: &Metrics, carriers: &TagHeaders) {
    metrics.event(Event::HostRefused);
    for name in carriers.iter() {
        host.remove_header(HeaderMap::Request, name);
    }
}
