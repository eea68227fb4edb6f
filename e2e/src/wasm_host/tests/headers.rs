//! Header maps as a filter sees and changes them.

use super::Wat;
use super::wat::{CONTINUE, LENGTH, POINTER, REQUEST, RESPONSE, RETURNED};
use crate::wasm_host::{HeaderMap, Proxy};

/// A filter that runs `body` on request headers.
fn on_request(wat: Wat, body: &str) -> Proxy {
    Proxy::load(&wat.on_returning("proxy_on_request_headers", 3, &format!("{body} {CONTINUE}")).compile(), 1)
}

#[test]
fn the_getter_shows_the_first_of_repeated_lines() {
    let mut wat = Wat::new();
    let (baggage, seen) = (wat.text("baggage"), wat.text("x-seen"));
    let body = format!(
        "(drop (call $get {REQUEST} {baggage} {POINTER} {LENGTH}))
         (drop (call $replace {REQUEST} {seen} {RETURNED}))"
    );
    let stream = on_request(wat, &body).plugin(b"").request(0, [("baggage", "a=1"), ("baggage", "canary=b")]);
    assert_eq!(stream.headers().all("x-seen"), [b"a=1"]);
    assert_eq!(stream.headers().all("baggage").len(), 2);
}

#[test]
fn a_missing_header_is_not_found() {
    let mut wat = Wat::new();
    let call = format!("(call $get {REQUEST} {} {POINTER} {LENGTH})", wat.text("x-missing"));
    let body = wat.report(REQUEST, "x-status", &call);
    let stream = on_request(wat, &body).plugin(b"").request(0, [(":path", "/")]);
    assert_eq!(stream.headers().first("x-status"), Some(&b"1"[..]));
}

#[test]
fn replacing_drops_every_other_line_and_adding_none() {
    let mut wat = Wat::new();
    let (a, b, value) = (wat.text("a"), wat.text("b"), wat.text("new"));
    let body = format!(
        "(drop (call $replace {REQUEST} {a} {value}))
         (drop (call $add {REQUEST} {b} {value}))"
    );
    let lines = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")];
    let stream = on_request(wat, &body).plugin(b"").request(0, lines);
    assert_eq!(stream.headers().all("a"), [b"new"]);
    assert_eq!(stream.headers().all("b"), [&b"1"[..], b"2", b"new"]);
}

#[test]
fn removing_takes_every_line_and_what_is_not_there_is_no_error() {
    let mut wat = Wat::new();
    let remove = format!("(call $remove {REQUEST} {})", wat.text("a"));
    let body = format!("(drop {remove}) {}", wat.report(REQUEST, "x-status", &remove));
    let stream = on_request(wat, &body).plugin(b"").request(0, [("a", "1"), ("A", "2")]);
    assert_eq!(stream.headers().lines(), [(b"x-status".to_vec(), b"0".to_vec())]);
}

#[test]
fn names_are_lower_case_whoever_writes_them() {
    let mut wat = Wat::new();
    let (name, value) = (wat.text("X-Written"), wat.text("1"));
    let body = format!("(drop (call $add {REQUEST} {name} {value}))");
    let stream = on_request(wat, &body).plugin(b"").request(0, [("X-Sent", "1")]);
    let names: Vec<_> = stream.headers().lines().iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [&b"x-sent"[..], b"x-written"]);
}

#[test]
fn values_are_bytes() {
    let mut wat = Wat::new();
    let (sent, seen) = (wat.text("x"), wat.text("x-seen"));
    let body = format!(
        "(drop (call $get {REQUEST} {sent} {POINTER} {LENGTH}))
         (drop (call $replace {REQUEST} {seen} {RETURNED}))"
    );
    let stream = on_request(wat, &body).plugin(b"").request(0, [("x", b"caf\xe9")]);
    assert_eq!(stream.headers().first("x-seen"), Some(&b"caf\xe9"[..]));
}

#[test]
fn the_whole_map_goes_in_and_out_unchanged() {
    let body = format!(
        "(drop (call $pairs {REQUEST} {POINTER} {LENGTH}))
         (drop (call $set_pairs {REQUEST} {RETURNED}))"
    );
    let lines = [(&b":path"[..], &b"/"[..]), (b"a", b"1"), (b"a", b""), (b"b", b"\xff")];
    let stream = on_request(Wat::new(), &body).plugin(b"").request(0, lines);
    assert_eq!(*stream.headers(), lines.into_iter().collect::<HeaderMap>());
}

#[test]
fn request_headers_are_out_of_reach_in_the_response() {
    let mut wat = Wat::new();
    let name = wat.text("a");
    let get = wat.report(RESPONSE, "x-get", &format!("(call $get {REQUEST} {name} {POINTER} {LENGTH})"));
    let set = wat.report(RESPONSE, "x-set", &format!("(call $replace {REQUEST} {name} {name})"));
    let module =
        wat.on_returning("proxy_on_response_headers", 3, &format!("{get} {set} {CONTINUE}")).compile();
    let mut stream = Proxy::load(&module, 1).plugin(b"").request(0, [("a", "1")]);
    let response = stream.response([(":status", "200")]);
    assert_eq!(response.first("x-get"), Some(&b"2"[..]));
    assert_eq!(response.first("x-set"), Some(&b"2"[..]));
}

#[test]
fn a_change_of_the_request_has_its_route_chosen_anew_and_one_of_the_response_does_not() {
    let mut wat = Wat::new();
    let name = wat.text("x");
    let body = format!(
        "(drop (call $add {REQUEST} {name} {name}))
         (drop (call $replace {REQUEST} {name} {name}))
         (drop (call $remove {REQUEST} {name}))"
    );
    let module = wat
        .on_returning("proxy_on_request_headers", 3, &format!("{body} {CONTINUE}"))
        .on_returning(
            "proxy_on_response_headers",
            3,
            &format!("(drop (call $add {RESPONSE} {name} {name})) {CONTINUE}"),
        )
        .compile();
    let mut stream = Proxy::load(&module, 1).plugin(b"").request(0, [("a", "1")]);
    stream.response([(":status", "200")]);
    assert_eq!(stream.route_cache_clears(), 3);
}

#[test]
fn a_line_that_would_break_the_message_ends_the_vm() {
    let mut wat = Wat::new();
    let (name, value) = (wat.text("x"), wat.text("1\r\ny: 2"));
    let body = format!("(drop (call $add {REQUEST} {name} {value}))");
    let proxy = on_request(wat, &body);
    let stream = proxy.plugin(b"").request(0, [(":path", "/")]);
    assert_eq!(stream.local_response().map(|response| response.status), Some(503));
    assert!(proxy.crashes()[0].message.contains("header x must not have the value"));
}

#[track_caller]
fn check_order(lines: &[(&str, &str)], expected: &[&str]) {
    let map: HeaderMap = lines.iter().copied().collect();
    let names: Vec<_> = map.lines().iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, expected);
}

#[test]
fn pseudo_headers_come_first_and_host_is_one() {
    check_order(&[("a", "1"), (":path", "/"), ("Host", "shop")], &[":path", ":authority", "a"]);
}

#[test]
fn malformed_pairs_are_refused() {
    let whole = [("a", "1"), ("bc", "")].into_iter().collect::<HeaderMap>().serialise();
    assert!(HeaderMap::parse(&whole).is_some());
    for length in 1..whole.len() {
        assert_eq!(HeaderMap::parse(&whole[..length]), None, "cut to {length} bytes");
    }
}
