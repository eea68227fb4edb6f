//! Judges every hop by the truth, and keeps count.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::soak::flow::{Flow, Handed, Key, Lane};

/// How long an id may be taken for shared after the last other flow with it was in the pod, in seconds: a lease,
/// its linger, and what a slow machine adds.
const SHARED_S_MAX: u64 = 45;
/// Wrong hops that are kept to be told.
const EXAMPLES_MAX: usize = 20;

/// What happened, while it happens.
#[derive(Default)]
pub struct Judge {
    /// Arrivals at an app.
    pub hops: Count,
    /// Hops in another lane than the flow's.
    pub wrong: Count,
    /// Hops of a tagged flow in the baseline and without its tag.
    pub lost: Count,
    /// Of these, flows that handed nothing on.
    pub lost_with_nothing: Count,
    /// Of these, flows whose ids no flow of another lane had.
    pub lost_unshared: Count,
    /// Of these, flows whose apps handed on what says the lane by itself.
    pub lost_though_said: Count,
    /// Hops served by the next in the fallback order, with the tag.
    pub fell_back: Count,
    /// Requests that the pod's app sent.
    pub sent: Count,
    /// Requests of flows whose tag only the map can tell.
    pub sent_by_map: Count,
    /// Exchanges that brought no success where one was due.
    pub failed: Count,
    /// Pairs of flows of different lanes and the same id that were in the pod at once.
    pub overlaps: Count,
    /// Of these, with the baseline's first.
    pub baseline_first: Count,
    inside: Mutex<Inside>,
    examples: Mutex<Vec<String>>,
}

/// A number that grows.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Flows in the pod.
#[derive(Default)]
struct Inside {
    flows: HashMap<u64, Arc<Flow>>,
    /// By id, the lane of each flow that has it.
    by_key: HashMap<Key, Vec<(u64, Lane)>>,
    /// By id and lane, when a flow was last seen.
    seen: HashMap<Key, [Option<Instant>; Lane::ALL.len()]>,
}

impl Inside {
    fn see(&mut self, flow: &Flow) {
        for key in &flow.keys {
            self.seen.entry(*key).or_default()[flow.lane as usize] = Some(Instant::now());
        }
    }
}

/// Where a request arrived, and with which tag.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// Whose instance it is.
    pub at: Lane,
    /// The tag header, first line.
    pub tag: Option<&'a [u8]>,
}

impl Judge {
    /// A flow is sent to the pod.
    pub fn begin(&self, flow: Arc<Flow>) {
        let mut inside = self.inside();
        // The filter may know of it before its app does.
        inside.see(&flow);
        inside.flows.insert(flow.number, flow);
    }

    /// A flow that was sent.
    pub fn flow(&self, number: u64) -> Option<Arc<Flow>> {
        self.inside().flows.get(&number).cloned()
    }

    /// A flow has arrived at the pod's app: from now on the map has to know it.
    pub fn enter(&self, flow: &Flow, tag: Option<&[u8]>) {
        self.hops.add();
        if tag != flow.lane.tag().map(str::as_bytes) {
            self.wrong(flow, &Arrival { at: Lane::Baseline, tag });
        }
        let mut inside = self.inside();
        for key in &flow.keys {
            let others = inside.by_key.entry(*key).or_default();
            let mut others_lanes: Vec<Lane> = others.iter().map(|(_, lane)| *lane).collect();
            others.push((flow.number, flow.lane));
            others_lanes.retain(|lane| *lane != flow.lane);
            for other in others_lanes {
                self.overlaps.add();
                if other == Lane::Baseline {
                    self.baseline_first.add();
                }
            }
        }
    }

    /// How many flows have not made their last call.
    pub fn inside_now(&self) -> usize {
        self.inside().flows.len()
    }

    /// A flow has made its last call.
    pub fn leave(&self, flow: &Flow) {
        let mut inside = self.inside();
        inside.flows.remove(&flow.number);
        for key in &flow.keys {
            let others = inside.by_key.entry(*key).or_default();
            others.retain(|(number, _)| *number != flow.number);
            if others.is_empty() {
                inside.by_key.remove(key);
            }
        }
        inside.see(flow);
    }

    /// A call of a flow has arrived at a service.
    pub fn arrive(&self, flow: &Flow, arrival: &Arrival<'_>, retried: bool) {
        self.hops.add();
        let home = flow.lane.served_by();
        let tag_is_right = arrival.tag == flow.lane.tag().map(str::as_bytes);
        if tag_is_right && arrival.at == home {
            return;
        }
        // With the tag on, what serves is the proxy's choice by who is there.
        if tag_is_right && arrival.at == Lane::Baseline && retried {
            self.fell_back.add();
            return;
        }
        if arrival.tag.is_none() && arrival.at == Lane::Baseline {
            self.lose(flow);
        } else {
            self.wrong(flow, arrival);
        }
    }

    /// A call was refused by a pod of another lane: it was on its way to a wrong one.
    pub fn refused(&self, flow: &Flow) {
        self.wrong.add();
        self.example(format!("refused as foreign: {flow:?}"));
    }

    /// An exchange failed.
    pub fn fail(&self, flow: &Flow, how: &str) {
        self.failed.add();
        self.example(format!("failed: {how}: {flow:?}"));
    }

    /// The first of what should not have happened.
    pub fn examples(&self) -> Vec<String> {
        self.examples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lose(&self, flow: &Flow) {
        self.lost.add();
        if flow.handed == Handed::Nothing {
            self.lost_with_nothing.add();
        } else if !flow.needs_map() {
            self.lost_though_said.add();
            self.example(format!("lost: {flow:?}"));
        } else if !self.is_shared(flow) {
            self.lost_unshared.add();
        }
    }

    fn wrong(&self, flow: &Flow, arrival: &Arrival<'_>) {
        self.wrong.add();
        let tag = arrival.tag.map(String::from_utf8_lossy);
        self.example(format!("at {:?} with tag {tag:?}: {flow:?}", arrival.at));
    }

    fn example(&self, text: String) {
        let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        if examples.len() < EXAMPLES_MAX {
            examples.push(text);
        }
    }

    /// Whether a flow of another lane had one of its ids while the map may still know of it.
    fn is_shared(&self, flow: &Flow) -> bool {
        let inside = self.inside();
        let recent = |seen: &Option<Instant>| {
            seen.is_some_and(|seen| seen.elapsed() < Duration::from_secs(SHARED_S_MAX))
        };
        flow.keys.iter().filter_map(|key| inside.seen.get(key)).any(|seen| {
            seen.iter().enumerate().any(|(lane, seen)| lane != flow.lane as usize && recent(seen))
        })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
