//! A plugin's root: takes configurations, ticks, makes streams.

use std::rc::Rc;

use canary_rules::wire::WireError;

use crate::clock::TICK_MS;
#[cfg(feature = "edge")]
use crate::edge::{EdgeStream, Guard};
use crate::host::Host;
use crate::inbound::Inbound;
use crate::metrics::Event;
use crate::outbound::Outbound;
use crate::plugin::{ConfigError, Role};
use crate::stream::Next;
use crate::traced::Traced;
use crate::vm::Vm;

/// A plugin's root context.
#[derive(Debug)]
pub struct Root<H> {
    host: H,
    vm: Rc<Vm>,
    role: Role,
}

/// A stream, by what is done with it.
#[derive(Debug)]
pub enum Stream<H: Host> {
    /// Nothing.
    Passthrough,
    /// An edge's guard.
    #[cfg(feature = "edge")]
    Guard(Guard<H>),
    /// An edge.
    #[cfg(feature = "edge")]
    Edge(EdgeStream<H>),
    /// To the application.
    Inbound(Inbound<H>),
    /// From the application.
    Outbound(Outbound<H>),
    /// One of these that may be told of.
    Traced(Box<Traced<H>>),
}

impl<H: Host> Stream<H> {
    /// The request's headers are there.
    pub fn on_request_headers(&mut self) -> Next {
        match self {
            Self::Passthrough => Next::Continue,
            #[cfg(feature = "edge")]
            Self::Guard(stream) => stream.on_request_headers(),
            #[cfg(feature = "edge")]
            Self::Edge(stream) => stream.on_request_headers(),
            Self::Inbound(stream) => stream.on_request_headers(),
            Self::Outbound(stream) => stream.on_request_headers(),
            Self::Traced(stream) => stream.on_request_headers(),
        }
    }

    /// The response's headers are there; also of an answer that the proxy gives itself.
    pub fn on_response_headers(&mut self) -> Next {
        match self {
            #[cfg(feature = "edge")]
            Self::Edge(stream) => stream.on_response_headers(),
            Self::Traced(stream) => stream.on_response_headers(),
            _ => Next::Continue,
        }
    }
}

impl<H: Host + Clone> Root<H> {
    /// A plugin before its configuration.
    pub fn new(host: H, vm: Rc<Vm>) -> Self {
        Self { host, vm, role: Role::Passthrough }
    }

    /// Takes the configuration. A bad one is counted, and the plugin goes on with its last good one of
    /// this VM, or does nothing: refusing it would fail every request of a proxy that starts.
    pub fn on_configure(&mut self) {
        let Vm { clock, metrics, .. } = &*self.vm;
        metrics.define(&self.host);
        clock.read(&self.host);
        self.host.tick_every_ms(TICK_MS);
        let name = self.name();
        self.role = match Role::read(&self.host.configuration(), &self.host, metrics) {
            Ok(role) => {
                metrics.event(Event::ConfigOk);
                self.vm.remember(name, role.clone());
                role
            }
            Err(error) => {
                metrics.event(Event::ConfigRejected);
                self.host.warn(&describe(&error));
                self.vm.recall(&name).unwrap_or_default()
            }
        };
    }

    /// About once a second.
    pub fn on_tick(&self) {
        self.vm.tick(&self.host);
    }

    /// A stream begins.
    pub fn stream(&self) -> Stream<H> {
        self.stream_of(&self.role)
    }

    fn stream_of(&self, role: &Role) -> Stream<H> {
        let host = || self.host.clone();
        let vm = || Rc::clone(&self.vm);
        match role {
            Role::Passthrough => Stream::Passthrough,
            #[cfg(feature = "edge")]
            Role::EdgeGuard(plugin) => Stream::Guard(Guard::new(host(), vm(), Rc::clone(plugin))),
            #[cfg(feature = "edge")]
            Role::Edge(plugin) => Stream::Edge(EdgeStream::new(host(), vm(), Rc::clone(plugin))),
            Role::Inbound(plugin) => Stream::Inbound(Inbound::new(host(), vm(), Rc::clone(plugin))),
            Role::Outbound(plugin) => Stream::Outbound(Outbound::new(host(), vm(), Rc::clone(plugin))),
            Role::Traced(plugin) => {
                let inner = self.stream_of(&plugin.role);
                Stream::Traced(Box::new(Traced::new(host(), vm(), Rc::clone(plugin), inner)))
            }
        }
    }

    /// What the proxy calls this plugin, the same before and after a change of configuration.
    fn name(&self) -> Vec<u8> {
        let mut name = self.host.property(&["plugin_name"]).unwrap_or_default();
        name.push(0);
        name.extend(self.host.property(&["plugin_root_id"]).unwrap_or_default());
        name
    }
}

/// What is wrong and why, once, in one line.
///
/// Without `dyn Error`: its `Debug` would bring the debug form of every error into the module.
fn describe(error: &ConfigError) -> String {
    let what = format!("canaryctl: configuration refused: {error}");
    match error {
        ConfigError::Wire(WireError::Shape(why)) => format!("{what}: {why}"),
        _ => what,
    }
}
