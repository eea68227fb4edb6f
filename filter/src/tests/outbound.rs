//! Outbound: the application's own calls find their flow's tag again.

use super::*;

#[test]
fn a_call_with_the_flows_trace_finds_the_tag_that_the_application_dropped() {
    let pod = Pod::new();
    let _flow = pod.receives(&[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    let child = TRACE.replace("00f067aa0ba902b7", "1111111111111111");
    let passed = pod.sends(&[(":path", "/"), ("traceparent", &child)]);
    assert_eq!(passed.tag(), ["gray"]);
    assert_eq!(passed.lines("baggage"), ["canary-lane=gray"]);
    assert_eq!(passed.calls, ["headers", "shared", "set_header", "set_header"]);
    assert_eq!(pod.worker.count("canaryctl.outbound.correlation"), 1);
}

#[test]
fn a_call_of_a_baseline_flow_stays_as_it_is_in_two_host_calls() {
    let pod = Pod::new();
    let _flow = pod.receives(&[("traceparent", TRACE)]);
    let passed = pod.sends(&[("traceparent", TRACE)]);
    assert_eq!(passed.tag(), [""; 0]);
    assert_eq!(passed.calls, ["headers", "shared"]);
    assert_eq!(pod.worker.count("canaryctl.lost"), 0);
}

#[test]
fn a_call_after_the_response_finds_the_tag_while_the_flow_lingers() {
    let pod = Pod::new();
    drop(pod.receives(&[("x-canary-lane", "gray"), ("traceparent", TRACE)]));
    pod.worker.wait(&pod.inbound, 29);
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), ["gray"]);
    pod.worker.wait(&pod.inbound, 6);
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), [""; 0]);
    assert_eq!(pod.worker.count("canaryctl.lost"), 1);
}

#[test]
fn an_id_that_two_flows_share_is_ambiguous_and_so_baseline() {
    let pod = Pod::new();
    let _baseline = pod.receives(&[("traceparent", TRACE)]);
    let _gray = pod.receives(&[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    let passed = pod.sends(&[("traceparent", TRACE)]);
    assert_eq!(passed.tag(), [""; 0]);
    assert_eq!(pod.worker.count("canaryctl.ambiguous"), 1);
}

#[test]
fn a_flow_of_another_worker_is_found() {
    let pod = Pod::new();
    let other = Pod::on(Worker::of(&pod.worker.fake));
    let _flow = other.receives(&[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), ["gray"]);
}

#[test]
fn a_stream_that_stays_open_for_hours_keeps_its_tag() {
    let pod = Pod::new();
    let flow = pod.receives(&[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    for _ in 0..36 {
        pod.worker.wait(&pod.inbound, 100);
        assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), ["gray"]);
    }
    drop(flow);
    pod.worker.wait(&pod.inbound, 29);
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), ["gray"], "it lingers");
    pod.worker.wait(&pod.inbound, 631);
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), [""; 0], "and goes");
}

#[test]
fn the_requests_own_tag_needs_no_map() {
    let pod = Pod::new();
    let sent = [("x-canary-lane", "gray"), ("baggage", "canary-lane=gray"), ("traceparent", TRACE)];
    let passed = pod.sends(&sent);
    assert_eq!(passed.calls, ["headers"]);
    assert_eq!(pod.worker.count("canaryctl.outbound.header"), 1);
}

#[test]
fn a_minted_request_id_needs_no_map() {
    let pod = Pod::new();
    let flow = pod.receives(&[("x-canary-lane", "gray"), ("x-request-id", UUID)]);
    let minted = flow.lines("x-request-id");
    let passed = pod.sends(&[("x-request-id", &minted[0])]);
    assert_eq!(passed.tag(), ["gray"]);
    assert!(!passed.calls.contains(&"shared"));
    assert_eq!(pod.worker.count("canaryctl.outbound.request_id"), 1);
}

#[test]
fn a_pods_colour_tags_the_flows_it_starts_and_no_others() {
    let worker = Worker::new();
    colour(&mut worker.fake.world_mut(), "gray");
    let pod = Pod::on(worker);
    assert_eq!(pod.sends(&[(":path", "/")]).tag(), ["gray"]);
    assert_eq!(pod.worker.count("canaryctl.outbound.colour"), 1);
    let _baseline = pod.receives(&[("traceparent", TRACE)]);
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), [""; 0], "a baseline flow in a gray pod");
}

#[test]
fn after_the_proxy_stood_still_a_single_tag_proves_nothing_for_a_moment() {
    let pod = Pod::new();
    let _flow = pod.receives(&[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    pod.worker.pause(10);
    pod.outbound.on_tick();
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), [""; 0]);
    assert_eq!(pod.worker.count("canaryctl.ambiguous"), 1);
    pod.worker.wait(&pod.outbound, 3);
    assert_eq!(pod.sends(&[("traceparent", TRACE)]).tag(), ["gray"]);
}

#[test]
fn where_headers_are_not_shown_the_request_passes_as_it_is() {
    let pod = Pod::new();
    pod.worker.fake.world_mut().hides_headers = true;
    let passed = pod.sends(&[("x-canary-lane", "gray")]);
    assert_eq!(passed.tag(), ["gray"]);
    assert_eq!(pod.worker.count("canaryctl.host_refused"), 1);
}

#[test]
fn an_id_unknown_to_the_map_is_counted_as_lost() {
    let pod = Pod::new();
    pod.sends(&[("traceparent", OTHER_TRACE)]);
    assert_eq!(pod.worker.count("canaryctl.lost"), 1);
    assert_eq!(pod.worker.count("canaryctl.outbound.none"), 1);
}
