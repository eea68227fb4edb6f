//! Host calls per pass. Each is a tenth to one microsecond of every request of every proxy of a mesh.

use canary_e2e::wasm_host::{Cost, HostCall, Plugin, Proxy};

use crate::support::{
    Build, Gateway, REQUEST_ID, Sidecar, TRACEPARENT, configuration, filter, lines_of, ordinary, plugin,
    without_lanes,
};

/// Of a sidecar's pass while the mesh has no lane.
const NO_LANE_CALLS_MAX: u64 = 1;
/// Of a pass of a request in no lane.
const UNTAGGED_CALLS_MAX: u64 = 4;
/// Of a pass of a request in a lane.
const TAGGED_CALLS_MAX: u64 = 5;

/// Of an edge's pass of a request in no lane: it sees the headers and mints the id.
const EDGE_UNTAGGED_CALLS: u64 = 2;
/// Of an edge's pass of a request in a lane: it sees the headers, writes tag, baggage and id; it sees the response's,
/// adds the cookie, and makes it private.
const EDGE_TAGGED_CALLS: u64 = 7;

/// Request, response and end.
fn pass(plugin: &Plugin, lines: &[(Vec<u8>, Vec<u8>)]) -> Cost {
    let mut stream = plugin.request(0, lines.to_vec());
    stream.response([(":status", "200"), ("content-type", "text/html")]);
    stream.end()
}

#[track_caller]
fn check(cost: &Cost, max: u64) {
    assert!(cost.host_calls() <= max, "at most {max}, but there were {cost}");
}

/// What arrives at the first service behind the edge.
fn behind_the_edge(cookie: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let lines = [("cookie", cookie), ("x-request-id", REQUEST_ID), ("traceparent", TRACEPARENT)];
    lines_of(Gateway::new().request(ordinary(lines)).headers())
}

/// Of those lines, what an ordinary application forwards with its calls.
fn forwarded(lines: &[(Vec<u8>, Vec<u8>)], names: &[&str]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_forwarded =
        |name: &[u8]| name.starts_with(b":") || names.iter().any(|kept| kept.as_bytes() == name);
    lines.iter().filter(|(name, _)| is_forwarded(name)).cloned().collect()
}

#[test]
fn a_mesh_without_lanes() {
    for build in Build::ALL {
        let proxy = Proxy::load(build.module(), 1);
        for role in ["inbound", "outbound"] {
            let plugin = plugin(&proxy, &without_lanes(role));
            check(&pass(&plugin, &behind_the_edge("a=1")), NO_LANE_CALLS_MAX);
        }
    }
}

#[test]
fn an_untagged_pass_inbound() {
    for build in Build::ALL {
        let cost = pass(&Sidecar::with(build, 1).inbound, &behind_the_edge("a=1"));
        check(&cost, UNTAGGED_CALLS_MAX);
        assert_eq!(cost.calls_of(HostCall::SetSharedData), 1, "baseline flows are recorded too");
    }
}

#[test]
fn an_untagged_pass_inbound_that_the_edge_never_saw() {
    let lines = lines_of(
        &ordinary([("x-request-id", REQUEST_ID), ("traceparent", TRACEPARENT)]).into_iter().collect(),
    );
    check(&pass(&Sidecar::new(1).inbound, &lines), UNTAGGED_CALLS_MAX);
}

#[test]
fn an_untagged_pass_outbound() {
    let sidecar = Sidecar::new(1);
    let arrived = behind_the_edge("a=1");
    let _open = sidecar.inbound.request(0, arrived.clone());
    for names in [&["traceparent"][..], &["x-request-id"], &["traceparent", "x-request-id"], &[]] {
        check(&pass(&sidecar.outbound, &forwarded(&arrived, names)), UNTAGGED_CALLS_MAX);
    }
}

#[test]
fn a_tagged_pass_inbound() {
    for build in Build::ALL {
        check(&pass(&Sidecar::with(build, 1).inbound, &behind_the_edge("gray=1")), TAGGED_CALLS_MAX);
    }
}

#[test]
fn a_tagged_pass_outbound_wherever_the_tag_comes_from() {
    Build::ALL.into_iter().for_each(check_tagged_outbound);
}

#[track_caller]
fn check_tagged_outbound(build: Build) {
    let sidecar = Sidecar::with(build, 1);
    let arrived = behind_the_edge("gray=1");
    let _open = sidecar.inbound.request(0, arrived.clone());
    let all = ["x-canary-lane", "baggage", "x-request-id", "traceparent"];
    for names in
        [&all[..], &["baggage"], &["x-request-id"], &["traceparent"], &["x-request-id", "traceparent"]]
    {
        let cost = pass(&sidecar.outbound, &forwarded(&arrived, names));
        check(&cost, TAGGED_CALLS_MAX);
    }
}

#[test]
fn an_edge_s_passes() {
    let gateway = Gateway::new();
    for (cookie, calls) in [("a=1", EDGE_UNTAGGED_CALLS), ("gray=1", EDGE_TAGGED_CALLS)] {
        let lines = ordinary([("cookie", cookie), ("x-request-id", REQUEST_ID)]);
        let lines = lines_of(&lines.into_iter().collect());
        let cost = pass(&gateway.edge, &lines);
        assert_eq!(cost.host_calls(), calls, "{cost}");
        let guard = pass(&gateway.guard, &lines);
        assert_eq!(guard.host_calls(), 1, "{guard}");
    }
}

#[test]
fn a_hundred_passes_cost_what_the_first_did() {
    let sidecar = Sidecar::new(1);
    let arrived = behind_the_edge("gray=1");
    let first = pass(&sidecar.inbound, &arrived);
    for _ in 0..100 {
        assert_eq!(pass(&sidecar.inbound, &arrived), first);
    }
}

#[test]
fn nothing_is_asked_of_the_response_of_a_sidecar() {
    let proxy = Proxy::load(filter(), 1);
    for role in ["inbound", "outbound"] {
        let plugin = plugin(&proxy, &configuration(role));
        let mut stream = plugin.request(0, behind_the_edge("gray=1"));
        let before = stream.cost();
        stream.response([(":status", "200")]);
        check(&(stream.end() - before), 0);
    }
}
