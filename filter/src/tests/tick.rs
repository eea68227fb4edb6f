//! The tick: time, leases, counters, the heartbeat.

use canary_rules::correlation::FlowId;
use canary_rules::flows::{Limits, Lookup};
use canary_rules::name::LaneCode;

use super::*;
use crate::flow_map;
use crate::leases::{Flow, RENEWALS_PER_TICK_MAX};

#[test]
fn each_vm_beats_once_a_second_however_many_plugins_it_has() {
    let worker = Worker::new();
    let inbound = worker.plugin(&gray(Role::Inbound));
    let outbound = worker.plugin(&gray(Role::Outbound));
    for _ in 0..10 {
        worker.pause(1);
        inbound.on_tick();
        outbound.on_tick();
    }
    assert_eq!(worker.count("canaryctl.heartbeat"), 10);
}

#[test]
fn counters_are_handed_over_once() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Outbound));
    pass(&root, &worker.fake, &[(":path", "/")]);
    worker.wait(&root, 3);
    assert_eq!(worker.fake.world().counters["canaryctl.outbound.none"], 1);
}

#[test]
fn a_tick_without_events_makes_few_calls() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    worker.wait(&root, 2);
    worker.fake.world_mut().calls.clear();
    worker.wait(&root, 1);
    assert_eq!(worker.fake.world().calls, ["monotonic_ms", "unix_s", "count"]);
}

#[test]
fn requests_read_no_clock() {
    let worker = Worker::new();
    mesh_peer(&mut worker.fake.world_mut());
    for role in [Role::Inbound, Role::Outbound, Role::EdgeGuard] {
        let root = worker.plugin(&gray(role));
        let passed = pass(&root, &worker.fake, &[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
        assert!(!passed.calls.iter().any(|call| call.ends_with("_s") || call.ends_with("_ms")));
    }
}

fn flow(n: u64) -> Flow {
    Flow { ids: vec![FlowId(n)], code: LaneCode(7), limits: Limits { linger_s: 30 } }
}

#[test]
fn a_crowd_of_streams_renews_over_several_ticks_and_none_too_late() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    let crowd = 5 * RENEWALS_PER_TICK_MAX as u64;
    let now_s = worker.vm.clock.now_s();
    for n in 0..crowd {
        // Spread over the buckets, so that none is over-full.
        let _key = worker.vm.leases.begin(&worker.fake, &worker.vm.metrics, flow(n * 16 + n % 16), now_s);
    }
    for second in 0..60 {
        worker.fake.world_mut().calls.clear();
        worker.wait(&root, 1);
        let renewals = worker.fake.world().calls.iter().filter(|call| **call == "set_shared").count();
        assert!(renewals <= RENEWALS_PER_TICK_MAX, "{renewals} in second {second}");
    }
    let lost = (0..crowd)
        .filter(|n| {
            let id = FlowId(n * 16 + n % 16);
            flow_map::lookup(&worker.fake, id, worker.vm.clock.now_s()) == Lookup::Unknown
        })
        .count();
    assert_eq!(lost, 0, "of {crowd} open streams");
}

#[test]
fn a_stream_that_ended_is_not_renewed() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    let key = worker.vm.leases.begin(&worker.fake, &worker.vm.metrics, flow(1), worker.vm.clock.now_s());
    worker.vm.leases.end(key.expect("a lease"));
    worker.fake.world_mut().calls.clear();
    worker.wait(&root, 60);
    assert!(!worker.fake.world().calls.contains(&"set_shared"));
}
