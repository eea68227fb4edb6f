//! A sidecar's outbound stream: find the tag the application dropped, and route by it.

use std::rc::Rc;

use canary_rules::flows::Lookup;
use canary_rules::request::Headers;

use crate::flow_map;
use crate::host::{HeaderMap, Host};
use crate::metrics::{Direction, Event};
use crate::plugin::HopPlugin;
use crate::stream::{Next, apply};
use crate::vm::Vm;

/// A stream from the application.
#[derive(Debug)]
pub struct Outbound<H> {
    host: H,
    vm: Rc<Vm>,
    plugin: Rc<HopPlugin>,
}

impl<H: Host> Outbound<H> {
    /// A stream that begins.
    pub fn new(host: H, vm: Rc<Vm>, plugin: Rc<HopPlugin>) -> Self {
        Self { host, vm, plugin }
    }

    /// The request's headers are there.
    pub fn on_request_headers(&mut self) -> Next {
        let Vm { clock, metrics, .. } = &*self.vm;
        let Some(pairs) = self.host.headers(HeaderMap::Request) else {
            // What the application wrote itself stays: it routes by the tag header as it is.
            metrics.event(Event::HostRefused);
            return Next::Continue;
        };
        let lines = pairs.lines();
        let lookup = |id| match flow_map::lookup(&self.host, id, clock.now_s()) {
            Lookup::Tag(_) if clock.is_settling() => Lookup::Ambiguous,
            known => known,
        };
        let decided = self.plugin.hop.outbound(&Headers::new(&lines), self.plugin.colour, lookup);
        metrics.origin(Direction::Outbound, decided.origin);
        if decided.ambiguous {
            metrics.event(Event::Ambiguous);
        }
        if decided.unknown_ids {
            metrics.event(Event::Lost);
        }
        apply(&self.host, metrics, HeaderMap::Request, &decided.edits);
        Next::Continue
    }
}
