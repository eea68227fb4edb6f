//! The correlation map, shared by all workers of a proxy: what it tells, and what it does not get wrong.

use std::time::Duration;

use crate::support::{Sidecar, TRACEPARENT, ordinary};

/// A request that arrives, in a lane or in none.
fn arriving(lane: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let lane = lane.map(|lane| ("x-canary-lane", lane));
    ordinary(lane.into_iter().chain([("traceparent", TRACEPARENT)]))
}

/// A call of an application that forwards the trace id and nothing else.
fn of_app() -> Vec<(&'static str, &'static str)> {
    ordinary([("traceparent", TRACEPARENT)])
}

#[test]
fn a_flow_that_came_in_on_one_worker_is_known_on_all() {
    let sidecar = Sidecar::new(3);
    let _flow = sidecar.inbound.request(0, arriving(Some("gray")));
    for worker in 0..3 {
        assert_eq!(sidecar.tag_of(worker, of_app()).as_deref(), Some("gray"), "worker {worker}");
    }
}

#[test]
fn the_same_trace_id_by_another_name_is_the_same_flow() {
    let sidecar = Sidecar::new(1);
    let _flow = sidecar.inbound.request(0, arriving(Some("gray")));
    let b3 = ordinary([("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")]);
    assert_eq!(sidecar.tag_of(0, b3).as_deref(), Some("gray"));
}

/// The tag of an outbound call while flows of these lanes, in this order, are open under one id.
#[track_caller]
fn check_overlap(lanes: &[Option<&'static str>], expected: Option<&str>) {
    let sidecar = Sidecar::new(2);
    let flows: Vec<_> = lanes
        .iter()
        .enumerate()
        .map(|(index, lane)| sidecar.inbound.request(index % 2, arriving(*lane)))
        .collect();
    for worker in 0..2 {
        assert_eq!(sidecar.tag_of(worker, of_app()).as_deref(), expected);
    }
    drop(flows);
}

#[test]
fn flows_of_one_lane_agree() {
    check_overlap(&[Some("gray"), Some("gray")], Some("gray"));
}

#[test]
fn baseline_and_lane_are_ambiguous_whichever_came_first() {
    check_overlap(&[None, Some("gray")], None);
    check_overlap(&[Some("gray"), None], None);
}

#[test]
fn two_lanes_are_ambiguous() {
    check_overlap(&[Some("gray"), Some("blue")], None);
}

#[test]
fn three_flows_of_two_tags_stay_ambiguous() {
    check_overlap(&[Some("gray"), None, Some("gray")], None);
}

#[test]
fn ambiguity_is_counted() {
    let sidecar = Sidecar::new(1);
    let _flows = [None, Some("gray")].map(|lane| sidecar.inbound.request(0, arriving(lane)));
    sidecar.outbound.request(0, of_app()).end();
    sidecar.proxy.advance(Duration::from_secs(1));
    assert_eq!(sidecar.proxy.metric("canaryctl.ambiguous"), Some(1));
}

#[test]
fn an_application_that_calls_after_its_response_still_finds_the_tag() {
    let sidecar = Sidecar::new(1);
    let mut flow = sidecar.inbound.request(0, arriving(Some("gray")));
    flow.response([(":status", "200")]);
    flow.end();
    sidecar.proxy.advance(Duration::from_secs(20));
    assert_eq!(sidecar.tag_of(0, of_app()).as_deref(), Some("gray"));
}

#[test]
fn an_ended_flow_is_forgotten() {
    let sidecar = Sidecar::new(1);
    sidecar.inbound.request(0, arriving(Some("gray"))).end();
    sidecar.proxy.advance(Duration::from_secs(600));
    assert_eq!(sidecar.tag_of(0, of_app()), None);
    sidecar.proxy.advance(Duration::from_secs(1));
    assert_eq!(sidecar.proxy.metric("canaryctl.lost"), Some(1));
}

#[test]
fn an_open_flow_is_remembered_for_as_long_as_it_is_open() {
    let sidecar = Sidecar::new(2);
    let _websocket = sidecar.inbound.request(0, arriving(Some("gray")));
    sidecar.proxy.advance(Duration::from_secs(4 * 3600));
    assert_eq!(sidecar.tag_of(1, of_app()).as_deref(), Some("gray"));
}

#[test]
fn a_baseline_flow_is_no_longer_in_the_way_once_forgotten() {
    let sidecar = Sidecar::new(1);
    sidecar.inbound.request(0, arriving(None)).end();
    sidecar.proxy.advance(Duration::from_secs(600));
    let _flow = sidecar.inbound.request(0, arriving(Some("gray")));
    assert_eq!(sidecar.tag_of(0, of_app()).as_deref(), Some("gray"));
}

#[test]
fn a_write_that_another_worker_was_faster_with_is_tried_again() {
    let sidecar = Sidecar::new(1);
    sidecar.inbound.request(0, arriving(Some("gray"))).end();
    sidecar.proxy.change_shared_data(|shared| shared.contend(5));
    let _flow = sidecar.inbound.request(0, arriving(None));
    assert_eq!(sidecar.tag_of(0, of_app()), None, "the baseline flow was recorded too");
}

#[test]
fn endless_contention_ends_and_is_counted() {
    let sidecar = Sidecar::new(1);
    sidecar.inbound.request(0, arriving(None)).end();
    sidecar.proxy.change_shared_data(|shared| shared.contend(u32::MAX));
    let flow = sidecar.inbound.request(0, arriving(None));
    assert_eq!(flow.local_response(), None);
    drop(flow);
    sidecar.proxy.change_shared_data(|shared| shared.contend(0));
    sidecar.proxy.advance(Duration::from_secs(1));
    assert_eq!(sidecar.proxy.metric("canaryctl.map.cas_exhausted"), Some(1));
}

/// Every key of the map overwritten, by another plugin of the same `vm_id` or a future version.
#[track_caller]
fn check_foreign_bytes(bytes: &[u8]) {
    let sidecar = Sidecar::new(1);
    let _flow = sidecar.inbound.request(0, arriving(Some("gray")));
    let keys: Vec<Vec<u8>> = sidecar.proxy.shared_data().entries("").map(|(key, _)| key.to_vec()).collect();
    assert!(!keys.is_empty());
    sidecar.proxy.change_shared_data(|shared| keys.iter().for_each(|key| shared.overwrite("", key, bytes)));
    assert_ne!(sidecar.tag_of(0, of_app()).as_deref(), Some("blue"));
    sidecar.inbound.request(0, arriving(Some("gray"))).end();
    assert_eq!(sidecar.tag_of(0, of_app()).as_deref(), Some("gray"), "the map works on");
    sidecar.proxy.assert_sound();
}

#[test]
fn foreign_bytes_under_its_keys_do_no_harm() {
    for bytes in [&b""[..], b"\0", b"gray", &[0xff; 64], &[b'x'; 100_000]] {
        check_foreign_bytes(bytes);
    }
}
