use super::*;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn request(lines: &[(&'static str, &'static [u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).expect("value"));
    }
    headers
}

fn forwarded(names: &[&str], starts_trace: bool, received: &HeaderMap) -> HeaderMap {
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    let forward = Forward::new(&names, starts_trace).expect("names");
    forward.headers(received, forward.trace(received).as_ref())
}

#[test]
fn only_what_is_named_goes_on_every_line_and_byte_of_it() {
    let received = request(&[("baggage", b"a=1"), ("x-other", b"x"), ("baggage", b"caf\xe9=1")]);
    let sent = forwarded(&["baggage"], false, &received);
    assert_eq!(sent, request(&[("baggage", b"a=1"), ("baggage", b"caf\xe9=1")]));
}

#[test]
fn a_trace_goes_on_with_a_parent_of_its_own() {
    let sent = forwarded(&["traceparent"], false, &request(&[("traceparent", TRACE.as_bytes())]));
    let sent = sent["traceparent"].to_str().expect("text");
    assert_eq!((&sent[..36], &sent[52..]), (&TRACE[..36], &TRACE[52..]));
    assert_ne!(sent, TRACE);
}

#[test]
fn a_broken_trace_goes_on_as_it_is() {
    let sent = forwarded(&["traceparent"], false, &request(&[("traceparent", b"\xff")]));
    assert_eq!(sent["traceparent"].as_bytes(), b"\xff");
}

#[test]
fn a_trace_starts_where_none_is_brought_and_only_if_asked_to() {
    let none = HeaderMap::new();
    assert!(forwarded(&["traceparent"], false, &none).is_empty());
    assert_eq!(forwarded(&[], true, &none)["traceparent"].len(), TRACEPARENT_BYTES);
}

#[test]
fn calls_of_one_request_share_its_trace() {
    let forward = Forward::new(&[], true).expect("names");
    let trace = forward.trace(&HeaderMap::new());
    let ids = [1, 2].map(|_| {
        let headers = forward.headers(&HeaderMap::new(), trace.as_ref());
        headers["traceparent"].to_str().expect("text")[..35].to_owned()
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_request_may_say_what_goes_on() {
    let received =
        request(&[("b3", b"1-2"), ("baggage", b"a=1"), ("traceparent", TRACE.as_bytes()), ("x-other", b"x")]);
    let forward = Forward::new(&["traceparent".into()], true).expect("names");
    let sent = |query: Option<&str>| {
        let forward = forward.of_request(query);
        let headers = forward.headers(&received, forward.trace(&received).as_ref());
        headers.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(sent(None), ["traceparent"]);
    assert_eq!(sent(Some("x=1&forward=b3,baggage")), ["b3", "baggage"]);
    assert_eq!(sent(Some("forward=")), [""; 0]);
    assert_eq!(sent(Some("forward=no name,x-other")), ["x-other"]);
}
