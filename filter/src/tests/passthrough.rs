//! A sidecar of a mesh without lanes does nothing, for nothing.

use super::*;

#[track_caller]
fn check(role: Role) {
    let worker = Worker::new();
    let root = worker.plugin(&config(role, &[]));
    let sent = [("x-canary-lane", "gray"), ("traceparent", TRACE), ("x-request-id", UUID)];
    let mut passed = pass(&root, &worker.fake, &sent);
    assert_eq!(passed.next, Next::Continue);
    assert_eq!(passed.calls, [""; 0], "host calls");
    assert_eq!(passed.tag(), ["gray"]);
    respond(&mut passed.stream, &worker.fake, &[(":status", "200")]);
    drop(passed);
    assert_eq!(worker.fake.world().calls, [""; 0], "host calls of response and end");
    assert!(worker.fake.world().shared.is_empty());
}

#[test]
fn without_lanes_an_inbound_pass_makes_no_host_call() {
    check(Role::Inbound);
}

#[test]
fn without_lanes_an_outbound_pass_makes_no_host_call() {
    check(Role::Outbound);
}

#[test]
fn a_passthrough_stream_holds_nothing() {
    let worker = Worker::new();
    let root = worker.plugin(&config(Role::Inbound, &[]));
    let holders = Rc::strong_count(&worker.vm);
    let stream = root.stream();
    assert!(matches!(stream, Stream::Passthrough));
    assert_eq!(Rc::strong_count(&worker.vm), holders);
}
