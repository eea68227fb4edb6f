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
    assert_eq!(worker.fake.world().calls, ["monotonic_ms", "unix_us", "count"]);
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

fn flow(n: u64, linger_s: u32) -> Flow {
    Flow { ids: vec![FlowId(n)], code: LaneCode(7), limits: Limits { linger_s } }
}

/// Streams that begin at once, their ids spread over the buckets so that none is over-full.
struct Crowd(u64);

impl Crowd {
    fn ids(&self) -> impl Iterator<Item = u64> {
        (0..self.0).map(|n| n * 16 + n % 16)
    }

    fn begin(&self, worker: &Worker, linger_s: u32) {
        let now_s = worker.vm.clock.now_s();
        for id in self.ids() {
            let _key = worker.vm.leases.begin(&worker.fake, &worker.vm.metrics, flow(id, linger_s), now_s);
        }
    }

    /// A second passes; how many renewed in it.
    #[track_caller]
    fn tick(&self, worker: &Worker, root: &Root<Fake>) -> usize {
        worker.fake.world_mut().calls.clear();
        worker.wait(root, 1);
        let renewals = worker.fake.world().calls.iter().filter(|call| **call == "set_shared").count();
        let now_s = worker.vm.clock.now_s();
        let is_lost = |id: &u64| flow_map::lookup(&worker.fake, FlowId(*id), now_s) == Lookup::Unknown;
        assert_eq!(self.ids().filter(is_lost).count(), 0, "lost of {} open streams", self.0);
        renewals
    }
}

#[test]
fn a_crowd_of_streams_renews_over_several_ticks_and_none_too_late() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    let crowd = Crowd(5 * RENEWALS_PER_TICK_MAX as u64);
    crowd.begin(&worker, 30);
    for second in 0..60 {
        let renewals = crowd.tick(&worker, &root);
        assert!(renewals <= RENEWALS_PER_TICK_MAX, "{renewals} in second {second}");
    }
}

#[test]
fn a_lease_about_to_end_is_renewed_however_many_there_are() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    let crowd = Crowd(8 * RENEWALS_PER_TICK_MAX as u64);
    crowd.begin(&worker, 0);
    let most = (0..15).map(|_| crowd.tick(&worker, &root)).max();
    assert!(most > Some(RENEWALS_PER_TICK_MAX), "{most:?}");
}

#[test]
fn a_stream_that_ended_is_not_renewed() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    let key = worker.vm.leases.begin(&worker.fake, &worker.vm.metrics, flow(1, 30), worker.vm.clock.now_s());
    worker.vm.leases.end(key.expect("a lease"));
    worker.fake.world_mut().calls.clear();
    worker.wait(&root, 60);
    assert!(!worker.fake.world().calls.contains(&"set_shared"));
}
