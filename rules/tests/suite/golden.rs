//! What two versions of us must agree on, as it was when it first was: `golden/*.json` are configurations that version
//! 1 of the wire format wrote. They are never changed. Whoever breaks a test here needs a new
//! [`canary_rules::wire::VERSION`], which older filters refuse as a whole.

use canary_rules::edge::Reason;
use canary_rules::flows::Lookup;
use canary_rules::hop::Origin;
use canary_rules::wire::{Filter, FilterConfig, Role};
use serde_json::{Value, json};

use super::inbound::code;
use super::kit::{Message, check, documents, get, lane_of, settings};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const EDGE: &str = include_str!("golden/edge.json");
const SIDECAR: &str = include_str!("golden/inbound.json");

/// The lanes that they were written for.
const LANES: [(&str, &str); 2] = [
    (
        "gray",
        "{priority: 3, parent: blue, expires: '2030-01-01T00:00:00Z', key: [{cookie: user}], \
         cookie: {maxAgeSeconds: 600, attributes: {domain: shop.test, secure: true}}, rules: [\
         {name: testers, when: {any: [{cookie: {name: gray, exact: '1'}}, {query: {name: preview, prefix: gr}}]}}, \
         {when: {not: {method: {in: [POST]}}, claim: {name: groups, in: [beta], ignoreCase: true}}, sticky: false}, \
         {percent: 20}]}",
    ),
    (
        "blue",
        "{rules: [{name: office, when: {client: {cidr: [10.0.0.0/8]}, path: {glob: '/a/**'}}}, \
         {when: {header: {name: x-age, range: {min: 18, max: 65}}}}]}",
    ),
];

/// A browser's cookie and a request id, as a gateway of the first version gave them out.
const COOKIE: &str = "canary-lane=gray~0~r~1800000600~k1~zc-I6A5B6gQQ9z1RYNG4_w";
const REQUEST_ID: &str = "6bd3a4f2-8c11-4e0a-9d57-f1718534d473";

fn filter(text: &str) -> Filter {
    let config = FilterConfig::parse(text.as_bytes()).expect("what was written once is read");
    Filter::try_from(config).expect("a valid configuration")
}

#[test]
fn an_edge_decides_as_it_did() {
    let Filter::Edge(edge) = filter(EDGE) else { panic!("no edge") };
    let gray = |reason| (Some("gray"), reason);
    let blue = |reason| (Some("blue"), reason);
    // {"groups":["Beta"]}, without a signature.
    let bearer = "Bearer e30.eyJncm91cHMiOlsiQmV0YSJdfQ.";
    // A user whom the percentage leaves out.
    let user = || get("/").with("cookie", "user=u0");
    for (request, (lane, reason)) in [
        (get("/").with("cookie", "gray=1"), gray(Reason::Rule(0))),
        (get("/?preview=green"), gray(Reason::Rule(0))),
        (get("/").with("authorization", bearer), gray(Reason::Rule(1))),
        (user().but(":method", "POST").with("authorization", bearer), (None, Reason::Nothing)),
        (get("/a/b").from("10.1.2.3:4000"), blue(Reason::Rule(0))),
        (user().but(":path", "/b").from("10.1.2.3:4000"), (None, Reason::Nothing)),
        (get("/").with("x-age", "65"), blue(Reason::Rule(1))),
        (user().with("x-age", "66"), (None, Reason::Nothing)),
        (get("/").with("cookie", COOKIE), gray(Reason::Assigned)),
        (user().with("x-canary-lane", "gray"), (None, Reason::Nothing)),
    ] {
        check(&edge, &request, lane, reason);
    }
}

/// A version that told users apart differently would move them between lanes.
#[test]
fn users_stay_where_they_were() {
    let Filter::Edge(edge) = filter(EDGE) else { panic!("no edge") };
    let in_lane =
        |user: &u32| lane_of(&get("/").with("cookie", format!("user=u{user}")).decide(&edge)).is_some();
    let chosen: Vec<u32> = (0..40).filter(in_lane).collect();
    assert_eq!(chosen, [6, 17, 22, 23, 26, 37]);
}

#[test]
fn a_sidecar_reads_tags_as_it_did() {
    let Filter::Inbound(hop) = filter(SIDECAR) else { panic!("no sidecar") };
    let read = |request: &Message| {
        let inbound = request.ask(|headers| {
            let inbound = hop.inbound(headers, None, || true);
            (inbound.tag, inbound.origin)
        });
        let outbound = request.ask(|headers| {
            let outbound = hop.outbound(headers, None, |_| Lookup::Unknown);
            (outbound.tag, outbound.origin)
        });
        assert_eq!(inbound, outbound, "{request:?}");
        inbound
    };
    let gray = code("gray");
    assert_eq!(read(&get("/").with("x-canary-lane", "gray")), (gray, Origin::Header));
    assert_eq!(read(&get("/").with("baggage", "a=1,canary-lane=gray;p")), (gray, Origin::Baggage));
    assert_eq!(read(&get("/").with("x-request-id", REQUEST_ID)), (gray, Origin::RequestId));
    assert_eq!(read(&get("/").with("x-canary-lane", "green")).0, code("baseline"));
}

/// Whether all of the first is in the second, fields in objects and entries of lists in their order.
fn is_within(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.iter().all(|(key, value)| new.get(key).is_some_and(|new| is_within(value, new)))
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_within(old, new))
        }
        _ => old == new,
    }
}

/// What the first version looks for is written as long as the version says that it can read it.
#[test]
fn what_is_written_only_grows() {
    for (text, role) in [(EDGE, Role::Edge), (SIDECAR, Role::Inbound)] {
        let old: Value = serde_json::from_str(text).expect("JSON");
        let new = settings().config(role, &documents(&LANES).compiled).to_json();
        let new: Value = serde_json::from_str(&new).expect("JSON");
        assert!(is_within(&old, &new), "{new}");
    }
}

/// What a filter does not understand it must not half do: the configuration before stays in force.
#[test]
fn a_condition_of_a_newer_writer_is_refused_with_the_whole() {
    for (at, value) in [
        ("/role", json!("judge")),
        ("/lanes/0/rules/0/when", json!({"most": []})),
        ("/lanes/0/rules/0/when/any/0/test/of", json!("body")),
        ("/lanes/0/rules/0/when/any/0/test/op", json!("soundsLike")),
    ] {
        let mut config: Value = serde_json::from_str(EDGE).expect("JSON");
        *config.pointer_mut(at).unwrap_or_else(|| panic!("nothing at {at}")) = value;
        assert!(FilterConfig::parse(config.to_string().as_bytes()).is_err(), "{at}");
    }
}
