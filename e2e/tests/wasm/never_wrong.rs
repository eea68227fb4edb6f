//! The one promise above all: no request lands in a lane that is not its flow's.
//!
//! Random flows of three tags on several workers, with ids from a pool so small that they overlap. What the
//! filter may do with a call of a flow is keep its lane or lose it; a lane of another flow is the failure.

use std::time::Duration;

use canary_e2e::wasm_host::Stream;
use fastrand::Rng;

use crate::support::{Build, Sidecar, ordinary};

const WORKERS: usize = 3;
const STEPS: usize = 30_000;
/// How long after its response an application may still call, in seconds: less than the linger it was promised.
const CALLS_AFTER_S_MAX: u64 = 25;
/// Few enough that baseline and lane often share one.
const IDS: u64 = 48;
const FLOWS_MAX: usize = 40;
const OVERLAPS_MIN: usize = 1_000;

struct Flow {
    id: u64,
    lane: Option<&'static str>,
    /// None once the application has responded.
    stream: Option<Stream>,
    responded_s: u64,
}

impl Flow {
    fn may_call(&self, now_s: u64) -> bool {
        self.stream.is_some() || now_s - self.responded_s < CALLS_AFTER_S_MAX
    }
}

fn traceparent(id: u64) -> String {
    format!("00-4bf92f3577b34da6a3ce929d{id:08x}-00f067aa0ba902b7-01")
}

#[derive(Debug, Default)]
struct Seen {
    kept: usize,
    lost: usize,
    overlaps: usize,
}

fn run(build: Build, seed: u64) -> Seen {
    let mut rng = Rng::with_seed(seed);
    let sidecar = Sidecar::with(build, WORKERS);
    let mut flows: Vec<Flow> = Vec::new();
    let mut seen = Seen::default();
    for step in 0..STEPS {
        match rng.u32(..100) {
            0..25 if flows.len() < FLOWS_MAX => {
                let (id, lane) =
                    (rng.u64(..IDS), *rng.choice(&[None, None, Some("gray"), Some("blue")]).unwrap_or(&None));
                let trace = traceparent(id);
                let lane_line = lane.map(|lane| ("x-canary-lane", lane));
                let lines = ordinary(lane_line.into_iter().chain([("traceparent", trace.as_str())]));
                let stream = sidecar.inbound.request(rng.usize(..WORKERS), lines);
                flows.push(Flow { id, lane, stream: Some(stream), responded_s: 0 });
            }
            25..80 if !flows.is_empty() => {
                let flow = &flows[rng.usize(..flows.len())];
                let trace = traceparent(flow.id);
                let tag = sidecar.tag_of(rng.usize(..WORKERS), ordinary([("traceparent", trace.as_str())]));
                let is_shared = flows.iter().any(|other| other.id == flow.id && other.lane != flow.lane);
                seen.overlaps += usize::from(is_shared);
                match (tag.as_deref(), flow.lane) {
                    (None, Some(_)) => seen.lost += 1,
                    (tag, lane) if tag == lane => seen.kept += 1,
                    (tag, lane) => panic!("seed {seed}, step {step}: a flow of {lane:?} was sent to {tag:?}"),
                }
            }
            80..90 if !flows.is_empty() => {
                let index = rng.usize(..flows.len());
                if flows[index].stream.take().is_some() {
                    flows[index].responded_s = sidecar.proxy.now_s();
                }
            }
            90..98 if !flows.is_empty() => {
                // Gone for good: what it left in the map must not reach the next flow with its id wrongly.
                flows.swap_remove(rng.usize(..flows.len()));
            }
            98..100 => {
                sidecar.proxy.advance(Duration::from_millis(rng.u64(100..5_000)));
                flows.retain(|flow| flow.may_call(sidecar.proxy.now_s()));
            }
            _ => {}
        }
    }
    sidecar.proxy.assert_sound();
    seen
}

#[test]
fn a_flow_keeps_its_lane_or_loses_it() {
    let mut overlaps = 0;
    for (seed, build) in [Build::ForSidecars, Build::Whole, Build::ForSidecars].into_iter().enumerate() {
        let seen = run(build, seed as u64);
        assert!(seen.kept > seen.lost / 10, "the map must be of use: {seen:?}");
        overlaps += seen.overlaps;
    }
    assert!(overlaps >= OVERLAPS_MIN, "only {overlaps} calls were made under an id of two lanes");
}
