//! Streams of a plugin that may be asked to tell of a request: one around each ordinary stream.
//!
//! Decides nothing, and looks at what the stream inside does from outside: the headers before and after it, and what
//! it counted. A plugin that is not told of traces has no such streams, and pays nothing for there being any.

use std::rc::Rc;

use canary_rules::flows::{Lookup, RENEWAL_SLACK_S};
use canary_rules::hop::Hop;
use canary_rules::name::LaneCode;
use canary_rules::request::Headers;
use canary_rules::trace::line::{self, Line};
use canary_rules::trace::open::{Causes, OpenSpans};
use canary_rules::trace::{Mark, TRACE_HEADER, TraceKey, Tracing};

use crate::flow_map;
use crate::host::{HeaderMap, Host};
use crate::plugin::Role;
use crate::root::Stream;
#[cfg(feature = "edge")]
use crate::samples::Samples;
use crate::spans;
use crate::stream::Next;
use crate::vm::Vm;

/// The trace of a request that nobody marked; no trace has this number.
#[cfg(feature = "edge")]
const UNMARKED: u64 = 0;

/// A plugin that may be asked to tell of a request.
#[derive(Debug)]
pub struct TracedPlugin {
    /// What it does.
    pub role: Role,
    /// Makes and proves marks.
    pub key: TraceKey,
    /// From this second on it tells nothing.
    pub expires_unix_s: u64,
    /// Who asks the edge itself.
    #[cfg(feature = "edge")]
    pub samples: Samples,
}

impl TracedPlugin {
    /// With what it is told.
    pub fn new(role: Role, tracing: &Tracing) -> Self {
        Self {
            role,
            key: tracing.key,
            expires_unix_s: tracing.expires_unix_s,
            #[cfg(feature = "edge")]
            samples: Samples::new(&tracing.samples),
        }
    }
}

/// A stream of such a plugin.
#[derive(Debug)]
pub struct Traced<H: Host> {
    host: H,
    vm: Rc<Vm>,
    plugin: Rc<TracedPlugin>,
    inner: Stream<H>,
    telling: Option<Telling>,
    /// The request that the application has, where it is to be told of.
    open: Option<Mark>,
}

/// What is told of a stream, until its response is there.
#[derive(Debug)]
struct Telling {
    line: Line,
    mark: Mark,
    began_us: u64,
}

impl<H: Host> Traced<H> {
    /// A stream that begins.
    pub fn new(host: H, vm: Rc<Vm>, plugin: Rc<TracedPlugin>, inner: Stream<H>) -> Self {
        let stream = Self { host, vm, plugin, inner, telling: None, open: None };
        if stream.is_inbound() {
            stream.vm.metrics.open.change(&stream.host, 1);
        }
        stream
    }

    /// The request's headers are there.
    pub fn on_request_headers(&mut self) -> Next {
        let Some(mut telling) = self.begin() else { return self.inner.on_request_headers() };
        let Vm { metrics, .. } = &*self.vm;
        let before = metrics.pending();
        let next = self.inner.on_request_headers();
        #[cfg(feature = "edge")]
        if telling.mark.trace == UNMARKED && !self.is_sampled(&mut telling.mark) {
            return next;
        }
        metrics.since(&before, &mut |name| telling.line.field(line::COUNTED, name.as_bytes()));
        if next == Next::Continue {
            self.goes_on(&mut telling);
        }
        self.telling = Some(telling);
        next
    }

    /// The response's headers are there; also of an answer that the proxy gives itself.
    pub fn on_response_headers(&mut self) -> Next {
        let next = self.inner.on_response_headers();
        let Some(mut telling) = self.telling.take() else { return next };
        if let Some(pairs) = self.host.headers(HeaderMap::Response) {
            telling.header(line::STATUS, &Headers::new(&pairs.lines()), ":status");
        }
        for (key, path) in [
            (line::UPSTREAM, ["upstream", "address"]),
            (line::CLUSTER, ["xds", "cluster_name"]),
            (line::ROUTE, ["xds", "route_name"]),
        ] {
            if let Some(value) = self.host.property(&path) {
                telling.line.field(key, &value);
            }
        }
        telling.tell(&self.host);
        next
    }

    fn is_inbound(&self) -> bool {
        matches!(self.plugin.role, Role::Inbound(_))
    }

    /// The sidecar's part, where this is one.
    fn hop(&self) -> Option<&Hop> {
        match &self.plugin.role {
            Role::Inbound(plugin) | Role::Outbound(plugin) => Some(&plugin.hop),
            _ => None,
        }
    }

    /// Looks whether this request is to be told of.
    fn begin(&self) -> Option<Telling> {
        let TracedPlugin { key, expires_unix_s, .. } = &*self.plugin;
        if self.vm.clock.unix_s() >= *expires_unix_s {
            return None;
        }
        let is_call = matches!(self.plugin.role, Role::Outbound(_));
        // Of all calls only those are looked at that are made while the application has something marked.
        let open = match is_call {
            true => Some(spans::read(&self.host).filter(|open| open.any(self.vm.clock.now_s()))?),
            false => None,
        };
        let pairs = self.host.headers(HeaderMap::Request)?;
        let lines = pairs.lines();
        let headers = Headers::new(&lines);
        let mut line = Line::default();
        let mark = match &open {
            Some(open) => self.call(open, &headers, &mut line)?,
            None => match headers.first(TRACE_HEADER).and_then(|value| key.verify(value)) {
                Some(mark) => mark,
                #[cfg(feature = "edge")]
                None if self.plugin.samples.are_due(self.vm.clock.unix_s()) => {
                    Mark { trace: UNMARKED, span: 0 }
                }
                None => return None,
            },
        };
        let (place, mark) = match &self.plugin.role {
            Role::Inbound(_) => (&b"inbound"[..], mark),
            Role::Outbound(_) => (&b"outbound"[..], mark),
            _ => {
                line.number(line::CAUSE, mark.span);
                (&b"edge"[..], self.next_span(mark.trace))
            }
        };
        line.field(line::PLACE, place);
        let began_us = self.host.unix_us();
        line.number(line::AT, began_us);
        let mut telling = Telling { line, mark, began_us };
        for (key, name) in [("method", ":method"), ("authority", ":authority")] {
            telling.header(key, &headers, name);
        }
        let path = headers.first(":path").and_then(|path| path.split(|byte| *byte == b'?').next());
        telling.line.field("path", path.unwrap_or_default());
        if let Some(hop) = self.hop() {
            telling.header(line::TAG_IN, &headers, hop.tag_header());
            if is_call {
                telling.carriers(hop, &headers);
            }
        }
        Some(telling)
    }

    /// Finds what a call of the application is caused by, of what it has open.
    fn call(&self, open: &OpenSpans, headers: &Headers<'_>, line: &mut Line) -> Option<Mark> {
        let Vm { clock, metrics, .. } = &*self.vm;
        let (hop, now_s) = (self.hop()?, clock.now_s());
        let identity = hop.identity(headers);
        let causes = match open.causes(&identity.ids, now_s) {
            Some(causes) => causes,
            None => {
                let is_known = |id| flow_map::lookup(&self.host, id, now_s) != Lookup::Unknown;
                if identity.minted || identity.ids.into_iter().any(is_known) {
                    return None;
                }
                let causes = self.guess(hop.tagged(headers))?;
                let open = metrics.open.value(&self.host);
                line.number(line::OTHERS, open.saturating_sub(causes.open));
                causes
            }
        };
        for span in &causes.spans {
            line.number(line::CAUSE, *span);
        }
        Some(self.next_span(causes.trace))
    }

    fn guess(&self, code: LaneCode) -> Option<Causes> {
        let mut causes = None;
        let now_s = self.vm.clock.now_s();
        spans::change(&self.host, &mut |spans| causes = spans.guess(code, now_s));
        causes
    }

    /// Whether a request without a mark is one that somebody waits for, now that its lane is known; it has one then.
    #[cfg(feature = "edge")]
    fn is_sampled(&self, mark: &mut Mark) -> bool {
        let TracedPlugin { role, samples, .. } = &*self.plugin;
        let Some(pairs) = self.host.headers(HeaderMap::Request) else { return false };
        let lines = pairs.lines();
        let tag = Headers::new(&lines).first(role.tag_header());
        let drawn = u32::try_from(mark.span & u64::from(u32::MAX)).unwrap_or_default();
        let trace = tag.and_then(|tag| samples.take(tag, self.vm.clock.unix_s(), drawn));
        mark.trace = trace.unwrap_or(UNMARKED);
        trace.is_some()
    }

    fn next_span(&self, trace: u64) -> Mark {
        let entropy = self.host.entropy();
        Mark { trace, span: entropy.first_chunk().copied().map_or(trace, u64::from_le_bytes) }
    }

    /// What the stream inside made of the request goes on.
    fn goes_on(&mut self, telling: &mut Telling) {
        let mark = telling.mark;
        if !self.is_inbound() {
            let value = self.plugin.key.sign(mark);
            self.host.set_header(HeaderMap::Request, TRACE_HEADER, &value);
        }
        let Some(pairs) = self.host.headers(HeaderMap::Request) else { return };
        let lines = pairs.lines();
        let headers = Headers::new(&lines);
        telling.header(line::TAG_OUT, &headers, self.plugin.role.tag_header());
        let Role::Inbound(plugin) = &self.plugin.role else { return };
        // The application is to see no more of it than of any other request.
        self.host.remove_header(HeaderMap::Request, TRACE_HEADER);
        telling.carriers(&plugin.hop, &headers);
        let (code, ids) = (plugin.hop.tagged(&headers), plugin.hop.identity(&headers).ids);
        let now_s = self.vm.clock.now_s();
        spans::change(&self.host, &mut |spans| spans.begin(mark, code, &ids, now_s));
        self.open = Some(mark);
    }
}

impl Telling {
    fn header(&mut self, key: &str, headers: &Headers<'_>, name: &str) {
        if let Some(value) = headers.first(name) {
            self.line.field(key, value);
        }
    }

    /// What carries the tag between proxy and application. Of baggage only that there is some: it is others' as well.
    fn carriers(&mut self, hop: &Hop, headers: &Headers<'_>) {
        for (name, value) in headers.all().iter().filter(|(name, _)| hop.is_carrier(name)) {
            let value = if *name == b"baggage" { &[][..] } else { value };
            self.line.carrier(line::CARRIER, core::str::from_utf8(name).unwrap_or_default(), value);
        }
    }

    fn tell<H: Host>(mut self, host: &H) {
        self.line.number(line::TRACE, self.mark.trace);
        self.line.number(line::SPAN, self.mark.span);
        self.line.number(line::TOOK, host.unix_us().saturating_sub(self.began_us));
        host.warn(&self.line.end());
    }
}

impl<H: Host> Drop for Traced<H> {
    fn drop(&mut self) {
        if let Some(telling) = self.telling.take() {
            telling.tell(&self.host);
        }
        let Role::Inbound(plugin) = &self.plugin.role else { return };
        self.vm.metrics.open.change(&self.host, -1);
        if let Some(mark) = self.open.take() {
            let linger_s = plugin.limits.linger_s.max(RENEWAL_SLACK_S);
            let until_s = self.vm.clock.now_s().saturating_add(linger_s);
            spans::change(&self.host, &mut |spans| spans.end(mark, until_s));
        }
    }
}
