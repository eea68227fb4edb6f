//! Each role does its part, and leaves everything else as it was.

use std::time::Duration;

use canary_e2e::wasm_host::{Property, Proxy};

use crate::support::{
    Build, Gateway, REQUEST_ID, Sidecar, TRACEPARENT, configuration, filter, lines_of, ordinary, plugin, tag,
    without_lanes,
};

#[test]
fn an_edge_tags_every_carrier_of_a_request_that_meets_a_rule() {
    let stream = Gateway::new().request(ordinary([("cookie", "gray=1"), ("x-request-id", REQUEST_ID)]));
    assert_eq!(tag(&stream), Some("gray".to_owned()));
    assert_eq!(stream.headers().all("baggage"), [b"canary-lane=gray"]);
    let minted = stream.headers().first("x-request-id").unwrap();
    assert_eq!(minted[..24], REQUEST_ID.as_bytes()[..24]);
    assert_ne!(minted, REQUEST_ID.as_bytes());
    assert!(stream.route_cache_clears() > 0, "the route must be chosen by the new tag");
}

#[test]
fn an_edge_leaves_other_requests_untagged_but_minted() {
    let stream = Gateway::new().request(ordinary([("x-request-id", REQUEST_ID)]));
    assert_eq!(tag(&stream), None);
    assert_eq!(stream.headers().first("baggage"), None);
    assert_ne!(stream.headers().first("x-request-id"), Some(REQUEST_ID.as_bytes()));
}

#[test]
fn an_edge_adds_its_cookie_to_those_of_the_application() {
    let mut stream = Gateway::new().request(ordinary([("cookie", "gray=1")]));
    let response = stream.response([(":status", "200"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    let cookies = response.all("set-cookie");
    assert_eq!(cookies[..2], [b"a=1", b"b=2"]);
    assert!(cookies.len() == 3 && cookies[2].starts_with(b"canary-lane=gray~"), "{cookies:?}");
}

#[test]
fn the_cookie_brings_its_user_back_and_is_not_set_again() {
    let gateway = Gateway::new();
    let mut first = gateway.request(ordinary([("cookie", "gray=1")]));
    let response = first.response([(":status", "200")]);
    let cookie = String::from_utf8(response.first("set-cookie").unwrap().to_vec()).unwrap();
    let pair = cookie.split(';').next().unwrap();
    let mut second = gateway.request(ordinary([("cookie", pair)]));
    assert_eq!(tag(&second), Some("gray".to_owned()));
    assert_eq!(second.response([(":status", "200")]).first("set-cookie"), None);
}

#[test]
fn a_sidecar_of_a_mesh_without_lanes_changes_nothing() {
    for role in ["inbound", "outbound"] {
        let proxy = Proxy::load(filter(), 1);
        let lines =
            ordinary([("x-canary-lane", "gray"), ("traceparent", TRACEPARENT), ("x", "1"), ("x", "2")]);
        let stream = plugin(&proxy, &without_lanes(role)).request(0, lines.clone());
        assert_eq!(*stream.headers(), lines.into_iter().collect(), "{role}");
        assert_eq!(proxy.shared_data().keys(), 0);
    }
}

/// The tag that an outbound request gets, when the application forwards these lines of a gray request.
#[track_caller]
fn check_forwarded(forwarded: &[&str], expected: Option<&str>) {
    let sidecar = Sidecar::new(1);
    let edge = Gateway::new().request(ordinary([
        ("cookie", "gray=1"),
        ("x-request-id", REQUEST_ID),
        ("traceparent", TRACEPARENT),
        ("b3", "463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1"),
    ]));
    let inbound = sidecar.inbound.request(0, lines_of(edge.headers()));
    let kept =
        |(name, _): &(Vec<u8>, Vec<u8>)| forwarded.iter().any(|forwarded| forwarded.as_bytes() == name);
    let outbound: Vec<_> = lines_of(inbound.headers()).into_iter().filter(kept).collect();
    assert_eq!(sidecar.tag_of(0, outbound).as_deref(), expected);
}

#[test]
fn any_one_carrier_that_the_application_forwards_brings_the_tag_back() {
    for carrier in ["x-canary-lane", "baggage", "x-request-id", "traceparent", "b3"] {
        check_forwarded(&[carrier], Some("gray"));
    }
}

#[test]
fn an_application_that_forwards_nothing_loses_the_tag() {
    check_forwarded(&[], None);
}

#[test]
fn restoring_a_tag_chooses_the_route_anew() {
    let sidecar = Sidecar::new(1);
    let _inbound =
        sidecar.inbound.request(0, ordinary([("x-canary-lane", "gray"), ("traceparent", TRACEPARENT)]));
    let restored = sidecar.outbound.request(0, ordinary([("traceparent", TRACEPARENT)]));
    assert!(restored.route_cache_clears() > 0);
}

#[test]
fn a_stranger_s_tag_does_not_get_in() {
    let sidecar = Sidecar::new(1);
    let lines = ordinary([
        ("x-canary-lane", "gray"),
        ("baggage", "a=1,canary-lane=gray"),
        ("traceparent", TRACEPARENT),
    ]);
    let stream = sidecar.inbound.request_with(0, lines, [("connection.mtls", Property::Bool(false))]);
    assert_eq!(tag(&stream), None);
    assert_eq!(stream.headers().all("baggage"), [b"a=1"]);
    assert_eq!(sidecar.tag_of(0, ordinary([("traceparent", TRACEPARENT)])), None);
}

#[test]
fn a_pod_of_a_lane_refuses_another_lane() {
    let sidecar = Sidecar::coloured("gray");
    let stream = sidecar.inbound.request(0, ordinary([("x-canary-lane", "blue")]));
    let refusal = stream.local_response().expect("refused");
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.headers.first("x-canary-refused"), Some(&b"blue"[..]));
}

#[test]
fn a_pod_of_a_lane_serves_its_lane_and_the_baseline() {
    let sidecar = Sidecar::coloured("gray");
    for lines in [vec![("x-canary-lane", "gray")], vec![]] {
        assert_eq!(sidecar.inbound.request(0, ordinary(lines)).local_response(), None);
    }
}

#[test]
fn a_pod_of_a_lane_colours_the_flows_that_it_starts() {
    assert_eq!(Sidecar::coloured("gray").tag_of(0, ordinary([])).as_deref(), Some("gray"));
    assert_eq!(Sidecar::coloured("no-such-lane").tag_of(0, ordinary([])), None);
}

/// A sidecar's module that is handed to a gateway by mistake: nothing breaks, and it shows.
#[test]
fn a_build_for_sidecars_passes_through_at_an_edge_and_says_so() {
    let proxy = Proxy::load(Build::ForSidecars.module(), 1);
    let edge = plugin(&proxy, &configuration("edge"));
    assert!(edge.is_configured());
    let stream = edge.request(0, ordinary([("cookie", "gray=1")]));
    assert_eq!(*stream.headers(), ordinary([("cookie", "gray=1")]).into_iter().collect());
    proxy.advance(Duration::from_secs(1));
    assert_eq!(proxy.metric("canaryctl.config.rejected"), Some(2));
}

#[test]
fn what_was_counted_shows_after_a_tick() {
    let sidecar = Sidecar::new(1);
    sidecar.inbound.request(0, ordinary([("x-canary-lane", "gray")])).end();
    sidecar.outbound.request(0, ordinary([("x-canary-lane", "gray")])).end();
    let count = |name: &str| sidecar.proxy.metric(name);
    assert_eq!(count("canaryctl.inbound.header"), Some(0));
    sidecar.proxy.advance(Duration::from_secs(1));
    assert_eq!(count("canaryctl.inbound.header"), Some(1));
    assert_eq!(count("canaryctl.outbound.header"), Some(1));
}

#[test]
fn every_vm_shows_a_heartbeat_once_a_second() {
    let sidecar = Sidecar::new(2);
    sidecar.proxy.advance(Duration::from_secs(10));
    assert_eq!(sidecar.proxy.metric("canaryctl.heartbeat"), Some(10 * 3));
}

#[test]
fn a_request_is_never_logged() {
    let sidecar = Sidecar::new(1);
    let before = sidecar.proxy.log().len();
    let mut stream =
        sidecar.inbound.request(0, ordinary([("x-canary-lane", "gray"), ("traceparent", TRACEPARENT)]));
    stream.response([(":status", "200")]);
    stream.end();
    assert_eq!(sidecar.proxy.log().len(), before);
}
