//! Subjects: which value of a request each test looks at.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::kit::{Message, edge_with, get, holds, settings};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[track_caller]
fn is(subject: &str, name: &str, value: &str, request: &Message, expected: bool) {
    holds(&format!("{{{subject}: {{name: '{name}', exact: '{value}'}}}}"), request, expected);
}

#[test]
fn the_first_of_repeated_cookies_counts() {
    let line = |text: &str| get("/").with("cookie", text);
    is("cookie", "a", "1", &line("a=1; a=2"), true);
    is("cookie", "a", "2", &line("a=1; a=2"), false);
    is("cookie", "a", "1", &line("b=2").with("cookie", "a=1"), true);
    is("cookie", "a", "2", &line("a=1").with("cookie", "a=2"), false);
}

#[test]
fn cookies_are_read_as_browsers_write_them() {
    let line = |text: &str| get("/").with("cookie", text);
    is("cookie", "a", "1", &line("b=2;a=1 ; c"), true);
    is("cookie", "a", "", &line("a="), true);
    is("cookie", "a", "1=2", &line("a=1=2"), true);
    is("cookie", "a", "\"1\"", &line("a=\"1\""), true);
    is("cookie", "a", "1", &line("a=\"1\""), false);
    is("cookie", "a", "1", &line("A=1"), false);
    is("cookie", "a", "1", &line("xa=1"), false);
    is("cookie", "a", "1", &get("/").with("cookie", b"x=\xff\xfe; a=1"), true);
}

#[test]
fn header_lines_are_one_value_joined_by_commas() {
    let lines = get("/").with("x", "a").with("y", "-").with("x", "b");
    is("header", "x", "a,b", &lines, true);
    is("header", "x", "a", &lines, false);
    is("header", "x", "b", &lines, false);
    is("header", "x", ",", &get("/").with("x", "").with("x", ""), true);
    holds("{header: {name: x, contains: b}}", &lines, true);
}

#[test]
fn header_names_know_no_case() {
    is("header", "X-Dev", "a", &get("/").with("x-dev", "a"), true);
}

#[test]
fn the_first_of_repeated_query_parameters_counts() {
    is("query", "a", "1", &get("/?a=1&a=2"), true);
    is("query", "a", "2", &get("/?a=1&a=2"), false);
    is("query", "a", "", &get("/?a&a=2"), true);
    is("query", "a", "", &get("/?a="), true);
}

#[test]
fn query_parameters_are_decoded() {
    is("query", "a b", "c+d", &get("/?a+b=c%2Bd"), true);
    is("query", "ä", "ö", &get("/?%C3%A4=%c3%b6"), true);
    is("query", "a", "%", &get("/?a=%"), true);
    is("query", "a", "%zz", &get("/?a=%zz"), true);
    is("query", "a", "%4", &get("/?a=%4"), true);
    is("query", "a", "1", &get("/?&&a=1&"), true);
    is("query", "a", "1=2", &get("/?a=1=2"), true);
    is("query", "a", "?", &get("/?a=?"), true);
    is("query", "a", "1", &get("/a=1"), false);
    holds("{query: {name: a, prefix: x}}", &get("/?a=x%ff"), true);
}

#[test]
fn the_path_ends_at_its_query_and_is_not_decoded() {
    holds("{path: {exact: /a%20b}}", &get("/a%20b?c"), true);
    holds("{path: {exact: /a}}", &get("/a?"), true);
    holds("{path: {exact: /a}}", &get("/a/"), false);
    holds("{path: {suffix: /c}}", &get("/a?b=/c"), false);
    holds("{path: {exact: '*'}}", &get("*"), true);
}

#[test]
fn the_method_is_compared_as_it_is() {
    holds("{method: {exact: GET}}", &get("/"), true);
    holds("{method: {in: [PUT, GET]}}", &get("/"), true);
    holds("{method: {exact: GET}}", &get("/").but(":method", "get"), false);
}

#[test]
fn the_host_has_no_port_and_no_case() {
    let host = |host: &str| get("/").but(":authority", host);
    holds("{host: {exact: shop.test}}", &host("shop.test"), true);
    holds("{host: {exact: shop.test}}", &host("Shop.TEST:8443"), true);
    holds("{host: {exact: SHOP.test}}", &host("shop.test"), true);
    holds("{host: {exact: shop.test}}", &host("xshop.test"), false);
    holds("{host: {suffix: .Shop.test}}", &host("a.shop.test:80"), true);
    holds("{host: {regex: 'SHOP\\..*'}}", &host("shop.test"), true);
    holds("{host: {exact: '[2001:db8::1]'}}", &host("[2001:DB8::1]:443"), true);
    holds("{host: {exact: '[2001:db8::1]'}}", &host("[2001:db8::1]"), true);
    holds("{host: {exact: shop.test}}", &host(""), false);
}

/// A request's client, past this many trusted proxies.
#[track_caller]
fn check_client(trusted_hops: u8, request: &Message, network: &str, expected: bool) {
    let mut settings = settings();
    settings.edge.trusted_hops = trusted_hops;
    let spec = format!("{{rules: [{{when: {{client: {{cidr: ['{network}']}}}}}}]}}");
    let edge = edge_with(&settings, &[("gray", &spec)]);
    assert_eq!(request.decide(&edge).lane.is_some(), expected, "{trusted_hops} {request:?} in {network}");
}

#[test]
fn the_client_is_found_past_trusted_proxies() {
    let request = get("/").with("x-forwarded-for", "1.1.1.1, 2.2.2.2").with("x-forwarded-for", "3.3.3.3");
    for (hops, client) in [(0, "3.3.3.3"), (1, "2.2.2.2"), (2, "1.1.1.1")] {
        check_client(hops, &request, client, true);
    }
    // More trusted proxies than have written: the request has come round them.
    check_client(3, &request, "3.3.3.3", true);
    check_client(255, &request, "3.3.3.3", true);
    check_client(3, &request, "1.1.1.1", false);
}

#[test]
fn the_client_is_the_peer_where_no_proxy_has_written() {
    check_client(0, &get("/").from("1.1.1.1:4711"), "1.1.1.1", true);
    check_client(0, &get("/").from("[2001:db8::1]:4711"), "2001:db8::1", true);
    check_client(2, &get("/").from("1.1.1.1"), "1.1.1.1", true);
    check_client(0, &get("/").from("1.1.1.1:1").with("x-forwarded-for", "2.2.2.2"), "2.2.2.2", true);
    check_client(0, &get("/").from("unix:/run/x"), "0.0.0.0/0", false);
    check_client(0, &get("/"), "0.0.0.0/0", false);
}

#[test]
fn what_is_no_address_is_no_client() {
    for value in ["", "unknown", "1.1.1", "1.1.1.1.1", "1.1.1.1,", "café", "[::1", "1.1.1.1 x"] {
        check_client(0, &get("/").with("x-forwarded-for", value), "0.0.0.0/0", false);
        check_client(0, &get("/").with("x-forwarded-for", value), "::/0", false);
    }
    check_client(0, &get("/").with("x-forwarded-for", b"\xff"), "0.0.0.0/0", false);
    for value in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", " 2001:db8::1 "] {
        check_client(0, &get("/").with("x-forwarded-for", value), "2001:db8::/32", true);
    }
}

#[test]
fn networks_hold_what_is_within_them() {
    let from = |client: &str| get("/").with("x-forwarded-for", client);
    for (network, client, expected) in [
        ("10.0.0.0/8", "10.255.255.255", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3/32", "10.1.2.4", false),
        ("10.0.0.0/31", "10.0.0.1", true),
        ("0.0.0.0/0", "255.255.255.255", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "10.0.0.1", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("::/0", "::ffff:10.1.2.3", false),
        ("::ffff:10.0.0.0/104", "10.1.2.3", true),
        ("::ffff:0.0.0.0/96", "10.1.2.3", true),
        ("::1", "::1", true),
    ] {
        check_client(0, &from(client), network, expected);
    }
}

fn jwt(payload: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(payload), "c2ln")
}

fn bearing(payload: &str) -> Message {
    get("/").with("authorization", format!("Bearer {}", jwt(payload)))
}

#[test]
fn claims_are_text_numbers_and_truth_values() {
    is("claim", "sub", "alice", &bearing(r#"{"sub":"alice"}"#), true);
    is("claim", "sub", "bob", &bearing(r#"{"sub":"alice"}"#), false);
    is("claim", "age", "42", &bearing(r#"{"age":42}"#), true);
    holds("{claim: {name: age, range: {min: -1, max: -1}}}", &bearing(r#"{"age":-1}"#), true);
    is("claim", "beta", "true", &bearing(r#"{"beta":true}"#), true);
    is("claim", "sub", "é", &bearing(r#"{"sub":"\u00e9"}"#), true);
}

#[test]
fn one_entry_of_a_listed_claim_must_pass() {
    let request = bearing(r#"{"roles":["a","b",3,null,{"c":1}],"none":[]}"#);
    is("claim", "roles", "b", &request, true);
    is("claim", "roles", "3", &request, true);
    is("claim", "roles", "c", &request, false);
    is("claim", "roles", "a,b", &request, false);
    holds("{claim: {name: roles, prefix: a}}", &request, true);
    holds("{claim: {name: roles, exists: true}}", &request, true);
    holds("{claim: {name: none, exists: true}}", &request, false);
    holds("{claim: {name: none, exists: false}}", &request, true);
    holds("{not: {claim: {name: roles, exact: b}}}", &request, false);
    holds("{not: {claim: {name: roles, exact: z}}}", &request, true);
}

#[test]
fn null_and_objects_are_no_values_of_claims() {
    for payload in [r#"{"x":null}"#, r#"{"x":{"y":1}}"#] {
        holds("{claim: {name: x, exists: false}}", &bearing(payload), true);
        holds("{claim: {name: x, exists: true}}", &bearing(payload), false);
    }
}

#[test]
fn claims_are_found_by_their_whole_name_or_by_steps() {
    is("claim", "realm.team", "a", &bearing(r#"{"realm":{"team":"a"}}"#), true);
    is("claim", "realm.team", "a", &bearing(r#"{"realm.team":"a","realm":{"team":"b"}}"#), true);
    is("claim", "a.b.c", "1", &bearing(r#"{"a":{"b":{"c":1}}}"#), true);
    is("claim", "https://shop.test/plan", "pro", &bearing(r#"{"https://shop.test/plan":"pro"}"#), true);
    let nested = bearing(r#"{"https://shop.test/app":{"plan":"pro"}}"#);
    is("claim", "https://shop.test/app.plan", "pro", &nested, true);
    is("claim", "realm.team", "a", &bearing(r#"{"realm":"team"}"#), false);
    is("claim", "realm.", "a", &bearing(r#"{"realm":{"":"a"}}"#), true);
}

#[test]
fn what_is_no_token_has_no_claims() {
    let good = jwt(r#"{"sub":"alice"}"#);
    let payload = good.split('.').nth(1).expect("three parts").to_string();
    for value in [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        "Bearer x".into(),
        "Bearer ..".into(),
        format!("Bearer x.{payload}"),
        format!("Bearer {good}.more"),
        format!("Bearer x.{}.y", URL_SAFE_NO_PAD.encode("[1,2]")),
        format!("Bearer x.{}.y", URL_SAFE_NO_PAD.encode("\"sub\"")),
        format!("Bearer x.{}.y", URL_SAFE_NO_PAD.encode("{\"sub\":\"alice\"")),
        format!("Bearer x.{}.y", URL_SAFE_NO_PAD.encode("{\"sub\":\"alice\"} x")),
        "Bearer x.!!!!.y".into(),
        format!("Bearer x.{}.y", URL_SAFE_NO_PAD.encode("[".repeat(5000))),
    ] {
        is("claim", "sub", "alice", &get("/").with("authorization", &value), false);
        holds("{claim: {name: sub, exists: false}}", &get("/").with("authorization", &value), true);
    }
    is("claim", "sub", "alice", &get("/").with("authorization", b"Bearer x.\xff.y"), false);
}

#[test]
fn only_what_the_mesh_verifies_is_a_token() {
    let token = jwt(r#"{"sub":"alice"}"#);
    let with = |value: String| get("/").with("authorization", value);
    is("claim", "sub", "alice", &with(format!("Bearer {token}")), true);
    is("claim", "sub", "alice", &with(token.clone()), false);
    is("claim", "sub", "alice", &with(format!("bearer {token}")), false);
    is("claim", "sub", "alice", &with(format!("Basic {token}")), false);
    is(
        "claim",
        "sub",
        "alice",
        &with("Basic eA==".into()).with("authorization", format!("Bearer {token}")),
        false,
    );
    is("claim", "sub", "alice", &with(format!("Bearer {token}")).with("authorization", "Basic eA=="), false);
}

#[test]
fn tokens_are_found_where_the_rule_says() {
    let token = jwt(r#"{"sub":"alice"}"#);
    let in_header = "{claim: {name: sub, from: {header: X-Token}, exact: alice}}";
    holds(in_header, &get("/").with("x-token", &token), true);
    holds(in_header, &get("/").with("x-token", format!("Bearer {token}")), true);
    holds(in_header, &get("/").with("x-token", &token).with("x-token", &token), false);
    holds(in_header, &get("/").with("authorization", format!("Bearer {token}")), false);
    let in_cookie = "{claim: {name: sub, from: {cookie: session}, exact: alice}}";
    holds(in_cookie, &get("/").with("cookie", format!("a=1; session={token}")), true);
    holds(in_cookie, &get("/").with("x-token", &token), false);
}

#[test]
fn a_padded_payload_is_read_and_one_too_long_is_not() {
    let padded = |size: usize| {
        let payload = format!(r#"{{"sub":"alice","x":"{}"}}"#, "x".repeat(size));
        let encoded = base64::engine::general_purpose::URL_SAFE.encode(payload);
        get("/").with("authorization", format!("Bearer x.{encoded}.y"))
    };
    for size in 0..3 {
        is("claim", "sub", "alice", &padded(size), true);
    }
    is("claim", "sub", "alice", &padded(12_000), true);
    is("claim", "sub", "alice", &padded(16 * 1024), false);
}
