//! A sidecar's inbound stream: read the tag, refuse a foreign one, record the flow's ids.

use std::rc::Rc;

use canary_rules::hop::{REFUSED_HEADER, Refusal};
use canary_rules::request::Headers;

use crate::host::{HeaderMap, Host};
use crate::leases::{Flow, LeaseKey};
use crate::metrics::{Direction, Event};
use crate::plugin::HopPlugin;
use crate::stream::{Next, apply, remove_unseen};
use crate::vm::Vm;

/// Status of a request that a pod of another lane refuses.
pub const REFUSED_STATUS: u32 = 503;

/// A stream to the application.
#[derive(Debug)]
pub struct Inbound<H> {
    host: H,
    vm: Rc<Vm>,
    plugin: Rc<HopPlugin>,
    lease: Option<LeaseKey>,
}

impl<H: Host> Inbound<H> {
    /// A stream that begins.
    pub fn new(host: H, vm: Rc<Vm>, plugin: Rc<HopPlugin>) -> Self {
        Self { host, vm, plugin, lease: None }
    }

    /// The request's headers are there.
    pub fn on_request_headers(&mut self) -> Next {
        let metrics = &self.vm.metrics;
        let Some(pairs) = self.host.headers(HeaderMap::Request) else {
            remove_unseen(&self.host, metrics, &self.plugin.carriers);
            return Next::Continue;
        };
        let lines = pairs.lines();
        let peer_is_member = || self.host.property(&["connection", "mtls"]).as_deref() == Some(&[1]);
        let decided = self.plugin.hop.inbound(&Headers::new(&lines), self.plugin.colour, peer_is_member);
        metrics.origin(Direction::Inbound, decided.origin);
        if decided.stripped {
            metrics.event(Event::Stripped);
        }
        if let Some(Refusal { lane }) = decided.refuse {
            metrics.event(Event::RefusedForeign);
            self.host.respond(REFUSED_STATUS, &[(REFUSED_HEADER, lane.as_bytes())]);
            return Next::Stop;
        }
        apply(&self.host, metrics, HeaderMap::Request, &decided.edits);
        if !decided.record.is_empty() {
            let flow = Flow { ids: decided.record, code: decided.tag, limits: self.plugin.limits };
            self.lease = self.vm.leases.begin(&self.host, metrics, flow, self.vm.clock.now_s());
        }
        Next::Continue
    }
}

impl<H> Drop for Inbound<H> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.vm.leases.end(lease);
        }
    }
}
