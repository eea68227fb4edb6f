//! What the filter counts: summed up in the VM, handed to the proxy on tick.
//!
//! Names are bounded: a fixed set, and one per lane up to [`LANES_MAX`]. Envoy shows a counter
//! `canaryctl.x.y` as `wasmcustom.canaryctl.x.y` in `/stats` and `canaryctl_x_y` in
//! `/stats/prometheus`.

use std::cell::{Cell, RefCell};

use canary_rules::hop::Origin;
use canary_rules::name::LaneName;

use crate::host::{CounterId, Host};

/// Most lanes that get a counter of their own in the life of a VM; further ones share one.
pub const LANES_MAX: usize = 512;

/// What is counted apart from lanes and origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// One per second and VM: a proxy has one VM per worker and one for the main thread, so a rate
    /// below `concurrency + 1` means that a worker's filter is dead.
    Heartbeat,
    /// A configuration was taken.
    ConfigOk,
    /// A configuration was refused; the one before stays, or nothing is done.
    ConfigRejected,
    /// Outbound: the request has ids, none is known. Its flow began in this pod, or its tag is lost.
    Lost,
    /// What a request carries contradicts itself, or its id is shared by flows of different tags, or was
    /// dropped for want of room: baseline.
    Ambiguous,
    /// Inbound: a tag was removed, because the peer is no mesh member.
    Stripped,
    /// Inbound: a tagged request was refused by a pod of another lane.
    RefusedForeign,
    /// Edge: a signature that does not verify.
    RejectedSignature,
    /// Edge: a request came with a tag that nobody here gave it.
    Forged,
    /// The map was full: an id lost its place and reads as ambiguous.
    MapEvicted,
    /// The map was full of longer lived ids: this one got no place and reads as ambiguous.
    MapRefused,
    /// A bucket changed under every attempt to write it: a flow is not in the map.
    MapCasExhausted,
    /// The proxy refused a call that it should not refuse, e.g. to show the headers.
    HostRefused,
}

impl Event {
    /// Every event, in declaration order.
    pub const ALL: [Self; 13] = [
        Self::Heartbeat,
        Self::ConfigOk,
        Self::ConfigRejected,
        Self::Lost,
        Self::Ambiguous,
        Self::Stripped,
        Self::RefusedForeign,
        Self::RejectedSignature,
        Self::Forged,
        Self::MapEvicted,
        Self::MapRefused,
        Self::MapCasExhausted,
        Self::HostRefused,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "canaryctl.heartbeat",
            Self::ConfigOk => "canaryctl.config.ok",
            Self::ConfigRejected => "canaryctl.config.rejected",
            Self::Lost => "canaryctl.lost",
            Self::Ambiguous => "canaryctl.ambiguous",
            Self::Stripped => "canaryctl.stripped",
            Self::RefusedForeign => "canaryctl.refused_foreign",
            Self::RejectedSignature => "canaryctl.rejected_signatures",
            Self::Forged => "canaryctl.forged",
            Self::MapEvicted => "canaryctl.map.evicted",
            Self::MapRefused => "canaryctl.map.refused",
            Self::MapCasExhausted => "canaryctl.map.cas_exhausted",
            Self::HostRefused => "canaryctl.host_refused",
        }
    }
}

/// Which way a sidecar passed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the application.
    Inbound,
    /// From the application.
    Outbound,
}

/// A lane's place among the lane counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSlot(usize);

impl LaneSlot {
    /// Requests in no lane.
    pub const BASELINE: Self = Self(0);
    /// Requests in lanes beyond [`LANES_MAX`].
    pub const OTHER: Self = Self(1);
}

/// All counters of a VM.
#[derive(Debug, Default)]
pub struct Metrics {
    events: [Counter; Event::ALL.len()],
    inbound: [Counter; Origin::ALL.len()],
    outbound: [Counter; Origin::ALL.len()],
    /// Requests that the application has open, counted where they may be told of.
    pub open: Gauge,
    /// By [`LaneSlot`].
    lanes: RefCell<Vec<LaneCounter>>,
}

#[derive(Debug, Default)]
struct Counter {
    pending: Cell<u32>,
    id: Cell<Option<CounterId>>,
}

/// A number that goes up and down, the proxy's own: all workers change the same one.
#[derive(Debug, Default)]
pub struct Gauge(Cell<Option<CounterId>>);

#[derive(Debug)]
struct LaneCounter {
    name: Box<str>,
    counter: Counter,
}

impl Metrics {
    /// Makes the fixed counters known to the proxy, so that they show as 0 from the start.
    pub fn define<H: Host>(&self, host: &H) {
        for (event, counter) in Event::ALL.into_iter().zip(&self.events) {
            counter.define(host, event.name());
        }
        for (counters, direction) in [(&self.inbound, "inbound"), (&self.outbound, "outbound")] {
            for (origin, counter) in Origin::ALL.into_iter().zip(counters) {
                counter.define(host, &format!("canaryctl.{direction}.{}", origin.name()));
            }
        }
    }

    /// The counter of a lane's decisions at this edge.
    pub fn lane<H: Host>(&self, host: &H, lane: &LaneName) -> LaneSlot {
        // A dot would read as a level of the name, and `a.b` and `a-b` would be one in Prometheus.
        self.slot(host, &lane.as_str().replace('.', "__")).unwrap_or(LaneSlot::OTHER)
    }

    /// Makes the counters known that every edge has.
    pub fn define_edge<H: Host>(&self, host: &H) {
        // No lane is called that: a lane's name has no underscore, and `baseline` is refused.
        for name in ["baseline", "_other"] {
            self.slot(host, name);
        }
    }

    fn slot<H: Host>(&self, host: &H, name: &str) -> Option<LaneSlot> {
        let mut lanes = self.lanes.try_borrow_mut().ok()?;
        if let Some(known) = lanes.iter().position(|lane| *lane.name == *name) {
            return Some(LaneSlot(known));
        }
        if lanes.len() >= LANES_MAX {
            return None;
        }
        let counter = Counter::default();
        counter.define(host, &format!("canaryctl.lane.{name}.edge"));
        lanes.push(LaneCounter { name: name.into(), counter });
        lanes.len().checked_sub(1).map(LaneSlot)
    }

    /// Counts an event.
    pub fn event(&self, event: Event) {
        self.events_by(event, 1);
    }

    /// Counts an event a number of times.
    pub fn events_by(&self, event: Event, by: u32) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.add(by);
        }
    }

    /// Counts a request under where its tag came from.
    pub fn origin(&self, direction: Direction, origin: Origin) {
        let counters = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        if let Some(counter) = counters.get(origin.index()) {
            counter.add(1);
        }
    }

    /// Counts an edge's decision.
    pub fn decision(&self, LaneSlot(slot): LaneSlot) {
        if let Some(lane) = self.lanes.try_borrow().ok().as_ref().and_then(|lanes| lanes.get(slot)) {
            lane.counter.add(1);
        }
    }

    /// What has been counted and not handed over, of everything but lanes.
    pub fn pending(&self) -> Vec<u32> {
        let mut pending = Vec::new();
        self.each_fixed(&mut |counter, _| pending.push(counter.pending.get()));
        pending
    }

    /// Names what was counted since then, of everything but lanes: of an origin its own name.
    pub fn since(&self, before: &[u32], name: &mut dyn FnMut(&str)) {
        let mut before = before.iter();
        self.each_fixed(&mut |counter, counted| {
            if before.next().is_some_and(|before| *before != counter.pending.get()) {
                name(counted);
            }
        });
    }

    fn each_fixed(&self, visit: &mut dyn FnMut(&Counter, &str)) {
        for (event, counter) in Event::ALL.into_iter().zip(&self.events) {
            visit(counter, event.name());
        }
        for counters in [&self.inbound, &self.outbound] {
            for (origin, counter) in Origin::ALL.into_iter().zip(counters) {
                visit(counter, origin.name());
            }
        }
    }

    /// Hands over what has been counted since the last time.
    pub fn flush<H: Host>(&self, host: &H) {
        self.each_fixed(&mut |counter, _| counter.flush(host));
        if let Ok(lanes) = self.lanes.try_borrow() {
            lanes.iter().for_each(|lane| lane.counter.flush(host));
        }
    }
}

impl Counter {
    fn define<H: Host>(&self, host: &H, name: &str) {
        if self.id.get().is_none() {
            self.id.set(host.define_counter(name));
        }
    }

    fn add(&self, by: u32) {
        self.pending.set(self.pending.get().saturating_add(by));
    }

    fn flush<H: Host>(&self, host: &H) {
        if let Some(id) = self.id.get()
            && self.pending.get() > 0
        {
            host.count(id, i64::from(self.pending.take()));
        }
    }
}

impl Gauge {
    /// Adds to it, or takes from it.
    pub fn change<H: Host>(&self, host: &H, by: i64) {
        if let Some(id) = self.id(host) {
            host.count(id, by);
        }
    }

    /// What it has come to; most where the proxy does not say.
    pub fn value<H: Host>(&self, host: &H) -> u64 {
        self.id(host).and_then(|id| host.value(id)).unwrap_or(u64::MAX)
    }

    /// Made known to the proxy when it is first needed.
    fn id<H: Host>(&self, host: &H) -> Option<CounterId> {
        if self.0.get().is_none() {
            self.0.set(host.define_gauge("canaryctl.open"));
        }
        self.0.get()
    }
}
