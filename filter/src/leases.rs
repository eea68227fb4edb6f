//! The leases of streams that are open: renewed on tick, dropped without a word when a stream ends.

use std::cell::RefCell;

use canary_rules::correlation::FlowId;
use canary_rules::flows::{Lease, Limits, RENEWAL_SLACK_S};
use canary_rules::name::LaneCode;
use slab::Slab;

use crate::flow_map::{self, Hold};
use crate::host::Host;
use crate::metrics::Metrics;

/// Most renewals in one tick, about 10 ms of a worker's time; more wait for the next ticks, unless
/// their lease is about to end.
pub const RENEWALS_PER_TICK_MAX: usize = 4_000;

/// Every open stream of this VM that holds ids. Grows with the streams that are open at once.
#[derive(Debug, Default)]
pub struct Leases {
    open: RefCell<Slab<Open>>,
}

/// A stream's place among the open ones.
#[derive(Debug, PartialEq, Eq)]
pub struct LeaseKey(usize);

#[derive(Debug)]
struct Open {
    ids: Box<[FlowId]>,
    code: LaneCode,
    limits: Limits,
    began_s: u32,
    lease: Lease,
}

/// A flow that begins.
#[derive(Debug)]
pub struct Flow {
    /// Its ids.
    pub ids: Vec<FlowId>,
    /// Its tag.
    pub code: LaneCode,
    /// How long it counts as live.
    pub limits: Limits,
}

impl Leases {
    /// Records a flow under its ids, for as long as its stream is open and a linger more.
    pub fn begin<H: Host>(&self, host: &H, metrics: &Metrics, flow: Flow, now_s: u32) -> Option<LeaseKey> {
        let Flow { ids, code, limits } = flow;
        let lease = limits.lease(now_s, now_s);
        let open = Open { ids: ids.into(), code, limits, began_s: now_s, lease };
        open.hold(host, metrics, now_s);
        self.open.try_borrow_mut().ok().map(|mut streams| LeaseKey(streams.insert(open)))
    }

    /// The stream has ended: its ids live until the lease does.
    pub fn end(&self, LeaseKey(key): LeaseKey) {
        if let Ok(mut open) = self.open.try_borrow_mut() {
            open.try_remove(key);
        }
    }

    /// Renews what is due.
    pub fn renew<H: Host>(&self, host: &H, metrics: &Metrics, now_s: u32) {
        let Ok(mut open) = self.open.try_borrow_mut() else { return };
        let mut renewed = 0_usize;
        for (_, stream) in open.iter_mut() {
            let urgent = now_s.saturating_add(RENEWAL_SLACK_S) > stream.lease.until_s;
            if now_s >= stream.lease.renew_s && (urgent || renewed < RENEWALS_PER_TICK_MAX) {
                stream.lease = stream.limits.lease(stream.began_s, now_s);
                stream.hold(host, metrics, now_s);
                renewed = renewed.saturating_add(1);
            }
        }
    }

    /// How many streams hold ids.
    pub fn open(&self) -> usize {
        self.open.try_borrow().map_or(0, |open| open.len())
    }
}

impl Open {
    fn hold<H: Host>(&self, host: &H, metrics: &Metrics, now_s: u32) {
        for id in &self.ids {
            let hold = Hold { id: *id, code: self.code, until_s: self.lease.until_s };
            flow_map::hold(host, metrics, hold, now_s);
        }
    }
}
