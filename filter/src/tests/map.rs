//! The map under contention and in bad company.

use canary_rules::correlation::FlowId;
use canary_rules::flows::Lookup;
use canary_rules::name::LaneCode;

use super::*;
use crate::flow_map::{self, BUCKETS, CAS_ATTEMPTS_MAX, Hold};
use crate::host::Host;

const GRAY: LaneCode = LaneCode(7);
const NOW_S: u32 = 100;

fn hold(worker: &Worker, id: u64) {
    let hold = Hold { id: FlowId(id), code: GRAY, until_s: NOW_S + 30 };
    flow_map::hold(&worker.fake, &worker.vm.metrics, hold, NOW_S);
}

#[track_caller]
fn check(worker: &Worker, id: u64, expected: Lookup) {
    assert_eq!(flow_map::lookup(&worker.fake, FlowId(id), NOW_S), expected);
}

fn ready() -> Worker {
    let worker = Worker::new();
    worker.vm.metrics.define(&worker.fake);
    worker
}

#[test]
fn a_new_bucket_does_not_overwrite_one_that_another_worker_made_meanwhile() {
    let worker = ready();
    hold(&worker, 1);
    let others = worker.fake.world().shared.clone();
    worker.fake.world_mut().shared.clear();
    worker.fake.world_mut().contended = 1;
    // The key appears between reading and writing.
    hold(&worker, 1 + BUCKETS);
    check(&worker, 1 + BUCKETS, Lookup::Tag(GRAY));
    assert_eq!(worker.fake.world().shared.len(), others.len());
    assert_eq!(worker.fake.world().calls.iter().filter(|call| **call == "set_shared").count(), 3);
}

#[test]
fn a_write_that_comes_too_late_is_made_again_on_what_is_there_now() {
    let worker = ready();
    hold(&worker, 1);
    worker.fake.world_mut().contended = CAS_ATTEMPTS_MAX - 1;
    hold(&worker, 1 + BUCKETS);
    check(&worker, 1, Lookup::Tag(GRAY));
    check(&worker, 1 + BUCKETS, Lookup::Tag(GRAY));
    assert_eq!(worker.count("canaryctl.map.cas_exhausted"), 0);
}

#[test]
fn attempts_end_and_are_counted() {
    let worker = ready();
    hold(&worker, 1);
    worker.fake.world_mut().contended = CAS_ATTEMPTS_MAX;
    hold(&worker, 1 + BUCKETS);
    check(&worker, 1 + BUCKETS, Lookup::Unknown);
    assert_eq!(worker.count("canaryctl.map.cas_exhausted"), 1);
}

#[test]
fn a_key_that_someone_removed_is_an_empty_bucket() {
    let worker = ready();
    hold(&worker, 1);
    let key = worker.fake.world().shared.keys().next().expect("a key").clone();
    worker.fake.set_shared(&key, b"", 0).expect("unconditional");
    check(&worker, 1, Lookup::Unknown);
    hold(&worker, 1);
    check(&worker, 1, Lookup::Tag(GRAY));
}

#[test]
fn the_keys_are_a_fixed_set_whatever_the_traffic() {
    let worker = ready();
    for n in 0..3 * BUCKETS {
        hold(&worker, n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
    let world = worker.fake.world();
    assert!(world.shared.len() as u64 <= BUCKETS);
    assert!(world.shared.keys().all(|key| key.len() == 5 && key.starts_with(b"cl1")));
}

#[test]
fn the_full_map_stays_under_eight_megabytes() {
    // What Envoy's map needs beside the value: a hash node with key and value strings, a version, and
    // the allocator's rounding. (Source: proxy-wasm-cpp-host, shared_data.h; libstdc++.)
    const NODE_BYTES: u64 = 8 + 32 + 32 + 8 + 8 + 2 * 16 + 8;
    let bytes = BUCKETS * (canary_rules::flows::BUCKET_BYTES as u64 + NODE_BYTES);
    assert!(bytes <= 8_000_000, "{bytes} bytes");
}

#[test]
fn evictions_and_refusals_are_counted() {
    let worker = ready();
    let bucket = |n: u64| n * BUCKETS;
    for n in 0..9 {
        hold(&worker, bucket(n));
    }
    assert_eq!(worker.count("canaryctl.map.evicted"), 1);
    let long = Hold { id: FlowId(0), code: GRAY, until_s: NOW_S + 300 };
    for n in 20..28 {
        flow_map::hold(&worker.fake, &worker.vm.metrics, Hold { id: FlowId(bucket(n)), ..long }, NOW_S);
    }
    hold(&worker, bucket(40));
    assert_eq!(worker.count("canaryctl.map.refused"), 1);
}
