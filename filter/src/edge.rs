//! An edge's streams: strip what comes from outside; decide, tag, and tell the browser.

mod plugin;

use std::rc::Rc;

use canary_rules::edge::{EdgeDecision, Guarded, ResponsePlan};
use canary_rules::request::Headers;
pub use plugin::EdgePlugin;

use crate::host::{HeaderMap, Host};
use crate::metrics::{Event, LaneSlot};
use crate::stream::{Next, apply, remove_unseen};
use crate::vm::Vm;

/// A stream at an edge's guard, before authentication.
#[derive(Debug)]
pub struct Guard<H> {
    host: H,
    vm: Rc<Vm>,
    plugin: Rc<EdgePlugin>,
}

impl<H: Host> Guard<H> {
    /// A stream that begins.
    pub fn new(host: H, vm: Rc<Vm>, plugin: Rc<EdgePlugin>) -> Self {
        Self { host, vm, plugin }
    }

    /// The request's headers are there.
    pub fn on_request_headers(&mut self) -> Next {
        let Vm { clock, metrics, .. } = &*self.vm;
        let Some(pairs) = self.host.headers(HeaderMap::Request) else {
            remove_unseen(&self.host, metrics, &self.plugin.carriers);
            return Next::Continue;
        };
        let lines = pairs.lines();
        let Guarded { edits, rejected_signatures } =
            self.plugin.edge.guard(&Headers::new(&lines), clock.unix_s());
        metrics.events_by(Event::RejectedSignature, rejected_signatures);
        if !edits.is_empty() {
            // The edge behind sees no trace of it any more, so it counts here.
            metrics.event(Event::Forged);
            apply(&self.host, metrics, HeaderMap::Request, &edits);
        }
        Next::Continue
    }
}

/// A stream at an edge.
#[derive(Debug)]
pub struct EdgeStream<H> {
    host: H,
    vm: Rc<Vm>,
    plugin: Rc<EdgePlugin>,
    answer: Option<Answer>,
}

/// What the response needs of the decision.
#[derive(Debug)]
struct Answer {
    cookies: Vec<Vec<u8>>,
    lane: Option<usize>,
    show: bool,
    vary: bool,
}

impl<H: Host> EdgeStream<H> {
    /// A stream that begins.
    pub fn new(host: H, vm: Rc<Vm>, plugin: Rc<EdgePlugin>) -> Self {
        Self { host, vm, plugin, answer: None }
    }

    /// The request's headers are there.
    pub fn on_request_headers(&mut self) -> Next {
        let Vm { clock, metrics, .. } = &*self.vm;
        let Some(pairs) = self.host.headers(HeaderMap::Request) else {
            remove_unseen(&self.host, metrics, &self.plugin.carriers);
            metrics.decision(LaneSlot::BASELINE);
            return Next::Continue;
        };
        let lines = pairs.lines();
        let client = self.plugin.asks_client.then(|| self.host.property(&["source", "address"])).flatten();
        let headers = Headers::new(&lines);
        let entropy = || self.host.entropy();
        let decided = self.plugin.edge.decide(&headers, client.as_deref(), clock.unix_s(), entropy);
        let EdgeDecision { lane, rejected_signatures, forged, edits, response, .. } = decided;
        let lane = lane.and_then(|lane| self.plugin.lane_index(lane));
        metrics.decision(self.plugin.slot(lane));
        metrics.events_by(Event::RejectedSignature, rejected_signatures);
        if forged {
            metrics.event(Event::Forged);
        }
        apply(&self.host, metrics, HeaderMap::Request, &edits);
        if !response.is_empty() {
            if let Some(vary) = response.vary {
                self.plugin.vary.get_or_init(|| vary.clone());
            }
            let (show, vary) = (response.show.is_some(), response.vary.is_some());
            self.answer = Some(Answer { cookies: response.cookies, lane, show, vary });
        }
        Next::Continue
    }

    /// The response's headers are there; also of an answer that the proxy gives itself.
    pub fn on_response_headers(&mut self) -> Next {
        let Some(Answer { cookies, lane, show, vary }) = self.answer.take() else { return Next::Continue };
        let metrics = &self.vm.metrics;
        let Some(pairs) = self.host.headers(HeaderMap::Response) else {
            metrics.event(Event::HostRefused);
            return Next::Continue;
        };
        let lines = pairs.lines();
        let plan = ResponsePlan {
            cookies,
            lane: lane.and_then(|lane| self.plugin.edge.lanes().nth(lane)),
            show: show.then_some(&self.plugin.shown_in),
            vary: self.plugin.vary.get().filter(|_| vary),
        };
        apply(&self.host, metrics, HeaderMap::Response, &plan.edits(&Headers::new(&lines)));
        Next::Continue
    }
}
