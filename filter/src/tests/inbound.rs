//! Inbound: what the application sees, what is remembered, who is refused.

use super::*;

fn sidecar(worker: &Worker) -> Root<Fake> {
    mesh_peer(&mut worker.fake.world_mut());
    worker.plugin(&gray(Role::Inbound))
}

#[test]
fn an_untagged_request_is_recorded_as_baseline_in_three_calls() {
    let worker = Worker::new();
    let root = sidecar(&worker);
    let passed = pass(&root, &worker.fake, &[(":path", "/"), ("traceparent", TRACE)]);
    assert_eq!(passed.next, Next::Continue);
    assert_eq!(passed.calls, ["headers", "shared", "set_shared"]);
    assert_eq!(passed.tag(), [""; 0]);
    assert_eq!(worker.vm.leases.open(), 1);
    assert_eq!(worker.count("canaryctl.inbound.none"), 1);
}

#[test]
fn the_end_of_a_stream_makes_no_call_and_gives_its_place_back() {
    let worker = Worker::new();
    let root = sidecar(&worker);
    let passed = pass(&root, &worker.fake, &[("traceparent", TRACE)]);
    drop(passed);
    assert_eq!(worker.fake.world().calls, [""; 0]);
    assert_eq!(worker.vm.leases.open(), 0);
}

#[test]
fn a_request_without_ids_costs_the_header_map_and_is_not_recorded() {
    let worker = Worker::new();
    let root = sidecar(&worker);
    let passed = pass(&root, &worker.fake, &[(":path", "/")]);
    assert_eq!(passed.calls, ["headers"]);
    assert_eq!(worker.vm.leases.open(), 0);
}

#[test]
fn a_tag_from_a_mesh_member_stays_and_fills_the_other_carriers() {
    let worker = Worker::new();
    let root = sidecar(&worker);
    let sent = [("x-canary-lane", "gray"), ("traceparent", TRACE), ("x-request-id", UUID)];
    let passed = pass(&root, &worker.fake, &sent);
    assert_eq!(passed.tag(), ["gray"]);
    assert_eq!(passed.lines("baggage"), ["canary-lane=gray"]);
    assert_eq!(&passed.lines("x-request-id")[0][..23], &UUID[..23]);
    assert_ne!(passed.lines("x-request-id"), [UUID]);
    assert!(passed.calls.len() <= 6, "{:?}", passed.calls);
    assert_eq!(worker.count("canaryctl.inbound.header"), 1);
}

#[test]
fn a_request_whose_carriers_agree_changes_nothing() {
    let worker = Worker::new();
    let root = sidecar(&worker);
    let first = pass(&root, &worker.fake, &[("x-canary-lane", "gray"), ("x-request-id", UUID)]);
    let minted = first.lines("x-request-id");
    let agreed = [("x-canary-lane", "gray"), ("baggage", "canary-lane=gray"), ("x-request-id", &minted[0])];
    let passed = pass(&root, &worker.fake, &agreed);
    assert_eq!(passed.calls, ["headers", "property"]);
}

#[test]
fn a_tag_from_a_stranger_is_stripped_from_every_carrier() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    let sent = [
        ("x-canary-lane", "gray"),
        ("x-canary-lane", "gray"),
        ("baggage", "a=1,canary-lane=gray,b=2"),
        ("traceparent", TRACE),
    ];
    let passed = pass(&root, &worker.fake, &sent);
    assert_eq!(passed.tag(), [""; 0]);
    assert_eq!(passed.lines("baggage"), ["a=1,b=2"]);
    assert_eq!(worker.count("canaryctl.stripped"), 1);
}

#[test]
fn an_untagged_request_does_not_ask_who_the_peer_is() {
    let worker = Worker::new();
    let root = worker.plugin(&gray(Role::Inbound));
    let passed = pass(&root, &worker.fake, &[("traceparent", TRACE)]);
    assert!(!passed.calls.contains(&"property"));
}

#[test]
fn a_pod_of_another_lane_refuses_and_records_nothing() {
    let worker = Worker::new();
    colour(&mut worker.fake.world_mut(), "blue");
    let root = sidecar(&worker);
    let passed = pass(&root, &worker.fake, &[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    assert_eq!(passed.next, Next::Stop);
    let answer = (503, vec![("x-canary-refused".to_owned(), b"gray".to_vec())]);
    assert_eq!(worker.fake.world().answers, [answer]);
    assert!(!passed.calls.contains(&"set_shared"), "{:?}", passed.calls);
    assert_eq!(worker.vm.leases.open(), 0);
    assert_eq!(worker.count("canaryctl.refused_foreign"), 1);
}

#[test]
fn a_pod_of_the_lane_takes_its_requests_and_the_baselines() {
    let worker = Worker::new();
    colour(&mut worker.fake.world_mut(), "gray");
    let root = sidecar(&worker);
    for headers in [vec![("x-canary-lane", "gray")], vec![]] {
        assert_eq!(pass(&root, &worker.fake, &headers).next, Next::Continue);
    }
    assert_eq!(worker.fake.world().answers, []);
}

#[test]
fn a_label_that_was_put_on_a_pod_is_no_colour() {
    for (labelled, refuses) in [
        ("canaryctl.io/lane,lane.canaryctl.io/blue", false),
        ("lane.canaryctl.io/blue,canaryctl.io/lane", false),
        // Beside one that the pod's owner wrote.
        ("lane.canaryctl.io/blue", true),
        ("", true),
    ] {
        let worker = Worker::new();
        colour(&mut worker.fake.world_mut(), "blue");
        let path = "xds/node/metadata/ANNOTATIONS/canaryctl.io/labelled".to_owned();
        worker.fake.world_mut().properties.insert(path, labelled.as_bytes().to_vec());
        let root = sidecar(&worker);
        let passed = pass(&root, &worker.fake, &[("x-canary-lane", "gray")]);
        assert_eq!(passed.next == Next::Stop, refuses, "{labelled}");
    }
}

#[test]
fn a_node_at_the_top_tells_the_colour_too() {
    let worker = Worker::new();
    let path = "node/metadata/LABELS/canaryctl.io/lane".to_owned();
    worker.fake.world_mut().properties.insert(path, b"blue".to_vec());
    let root = sidecar(&worker);
    assert_eq!(pass(&root, &worker.fake, &[("x-canary-lane", "gray")]).next, Next::Stop);
}

#[test]
fn bytes_that_are_no_text_pass_unharmed() {
    let worker = Worker::new();
    let root = sidecar(&worker);
    let noise: &[u8] = b"caf\xe9\xff\xfe";
    let sent = ["x-noise", "x-canary-lane", "baggage", "cookie", "x-request-id", "traceparent", "b3", "sw8"];
    let passed = pass(&root, &worker.fake, &sent.map(|name| (name, noise)));
    assert_eq!(passed.next, Next::Continue);
    assert!(passed.request.iter().any(|(name, value)| name == "x-noise" && value == noise));
}

#[test]
fn where_headers_are_not_shown_whatever_may_be_a_tag_goes() {
    let worker = Worker::new();
    let root = sidecar(&worker);
    worker.fake.world_mut().hides_headers = true;
    let sent = [("x-canary-lane", "gray"), ("baggage", "canary-lane=gray"), ("x-other", "1")];
    let passed = pass(&root, &worker.fake, &sent);
    assert_eq!(passed.next, Next::Continue);
    assert_eq!(passed.request, [("x-other".to_owned(), b"1".to_vec())]);
    assert_eq!(worker.count("canaryctl.host_refused"), 1);
}
