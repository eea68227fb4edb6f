//! What the streams of every role have in common.

use canary_rules::edits::Edit;
use canary_rules::hop::REQUEST_ID;

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

/// Makes a request's changes, and has its route chosen anew where it may depend on them. No route of a lane
/// looks at the request id, and a user's route that does is to see the one that came.
pub(crate) fn change_request<H: Host>(host: &H, metrics: &Metrics, edits: &[Edit<'_>]) {
    apply(host, metrics, HeaderMap::Request, edits);
    if edits.iter().any(|edit| edit.name() != REQUEST_ID) {
        host.clear_route_cache();
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
