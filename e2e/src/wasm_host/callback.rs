//! The entries into a filter, by name.

use std::fmt;

/// A function of the filter that the host calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callback {
    /// `_initialize`: constructors.
    Initialize,
    /// `proxy_on_context_create`, of a plugin or of a stream.
    ContextCreate,
    /// `proxy_on_vm_start`
    VmStart,
    /// `proxy_on_configure`
    Configure,
    /// `proxy_on_tick`
    Tick,
    /// `proxy_on_request_headers`
    RequestHeaders,
    /// `proxy_on_response_headers`
    ResponseHeaders,
    /// `proxy_on_done`
    Done,
    /// `proxy_on_log`
    Log,
    /// `proxy_on_delete`
    Delete,
}

impl Callback {
    /// The name that a module exports it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Initialize => "_initialize",
            Self::ContextCreate => "proxy_on_context_create",
            Self::VmStart => "proxy_on_vm_start",
            Self::Configure => "proxy_on_configure",
            Self::Tick => "proxy_on_tick",
            Self::RequestHeaders => "proxy_on_request_headers",
            Self::ResponseHeaders => "proxy_on_response_headers",
            Self::Done => "proxy_on_done",
            Self::Log => "proxy_on_log",
            Self::Delete => "proxy_on_delete",
        }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
