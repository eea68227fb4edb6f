//! A tag from outside is believed in no carrier: not at the edge, and not behind it.

use std::time::Duration;

use crate::support::{Gateway, REQUEST_ID, Sidecar, lines_of, ordinary, tag};

/// Sends forged lines through a gateway, then through a pod whose application forwards everything.
#[track_caller]
fn check(forged: &[(&str, &str)]) {
    let gateway = Gateway::new();
    let edge = gateway.request(ordinary(forged.iter().copied()));
    assert_eq!(tag(&edge), None, "behind the edge");
    for name in ["x-canary-lane", "x-mse-tag", "baggage"] {
        let lines = edge.headers().all(name);
        let speaks = |line: &&[u8]| line.windows(4).any(|window| window == b"gray");
        assert!(!lines.iter().any(speaks), "{name}: {lines:?}");
    }
    let sidecar = Sidecar::new(1);
    let inbound = sidecar.inbound.request(0, lines_of(edge.headers()));
    assert_eq!(tag(&inbound), None, "in the pod");
    assert_eq!(sidecar.tag_of(0, lines_of(inbound.headers())), None, "out of the pod");
    gateway.proxy.assert_sound();
    sidecar.proxy.assert_sound();
}

#[test]
fn in_the_header() {
    check(&[("x-canary-lane", "gray")]);
}

#[test]
fn in_the_header_by_another_case() {
    check(&[("X-Canary-Lane", "gray")]);
}

#[test]
fn in_a_second_header_line() {
    check(&[("x-canary-lane", "none"), ("x-canary-lane", "gray")]);
}

#[test]
fn in_a_header_line_that_is_a_list() {
    check(&[("x-canary-lane", "none, gray")]);
}

#[test]
fn in_an_alias() {
    check(&[("x-mse-tag", "gray")]);
}

#[test]
fn in_baggage() {
    check(&[("baggage", "canary-lane=gray")]);
}

#[test]
fn in_a_later_baggage_line() {
    check(&[("baggage", "a=1"), ("baggage", "b=2, canary-lane=gray;p=1 ,c=3")]);
}

#[test]
fn in_baggage_with_odd_spaces() {
    check(&[("baggage", " a=1 ,\t canary-lane \t=\t gray ; p , b=2")]);
}

#[test]
fn in_percent_encoded_baggage() {
    check(&[("baggage", "canary-lane=%67ray")]);
}

#[test]
fn twice_in_baggage() {
    check(&[("baggage", "canary-lane=blue,canary-lane=gray")]);
}

#[test]
fn in_the_lane_cookie() {
    check(&[("cookie", "canary-lane=gray~0~r~9999999999~k1~AAAAAAAAAAAAAAAAAAAAAA")]);
}

#[test]
fn in_a_signed_link() {
    check(&[(":path", "/?canary-lane=gray~0~r~9999999999~k1~AAAAAAAAAAAAAAAAAAAAAA")]);
}

#[test]
fn in_a_header_that_looks_signed() {
    check(&[("x-canary-lane", "gray~0~r~9999999999~k1~AAAAAAAAAAAAAAAAAAAAAA")]);
}

/// A request id that says gray by its code, with every MAC an attacker could hope for.
#[test]
fn in_the_request_id() {
    let gray = {
        let edge = Gateway::new().request(ordinary([("cookie", "gray=1"), ("x-request-id", REQUEST_ID)]));
        String::from_utf8(edge.headers().first("x-request-id").unwrap().to_vec()).unwrap()
    };
    // Another head under the tail that was minted for this one.
    let (_, tail) = gray.split_at(24);
    check(&[("x-request-id", &format!("00000000-0000-4000-8000-{tail}"))]);
    for digit in 0..16 {
        check(&[("x-request-id", &format!("{}{digit:x}", &gray[..35]))]);
    }
}

/// Even a genuine one, replayed: who it was minted for has no say in who sends it now.
#[test]
fn in_a_replayed_request_id() {
    let edge = Gateway::new().request(ordinary([("cookie", "gray=1"), ("x-request-id", REQUEST_ID)]));
    let genuine = String::from_utf8(edge.headers().first("x-request-id").unwrap().to_vec()).unwrap();
    check(&[("x-request-id", &genuine)]);
}

#[test]
fn a_cookie_of_one_purpose_is_worth_nothing_for_another() {
    let mut stream = Gateway::new().request(ordinary([("cookie", "gray=1")]));
    let response = stream.response([(":status", "200")]);
    let cookie = String::from_utf8(response.first("set-cookie").unwrap().to_vec()).unwrap();
    let token = cookie.trim_start_matches("canary-lane=").split(';').next().unwrap();
    check(&[("x-canary-lane", token)]);
    check(&[(":path", &format!("/?canary-lane={token}"))]);
}

#[test]
fn forgeries_are_counted() {
    let gateway = Gateway::new();
    gateway
        .request(ordinary([("cookie", "canary-lane=gray~0~r~9999999999~k1~AAAAAAAAAAAAAAAAAAAAAA")]))
        .end();
    gateway.proxy.advance(Duration::from_secs(1));
    assert_eq!(gateway.proxy.metric("canaryctl.rejected_signatures"), Some(1));
}
