//! What an edge makes a request carry, and what it strips.

use canary_rules::edits::Edit;
use canary_rules::name::{HeaderName, LaneCode};
use canary_rules::request_id::{Reading, RequestIds};
use canary_rules::signing::{Assigned, Purpose};
use canary_rules::wire::{FilterConfig, Role};

use super::kit::{Message, NOW_S, documents, edge, edge_of, edge_with, get, lane, ring, settings, token};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const UUID: &str = "6bd3a4f2-8c11-4e0a-9d57-0123456789ab";
const GRAY: (&str, &str) = ("gray", "{rules: [{when: {cookie: {name: gray, exact: '1'}}}]}");

fn minter() -> RequestIds {
    RequestIds::new(ring(&["k1"]).derive("canaryctl request id"))
}

fn minted(id: &str, code: LaneCode) -> String {
    let minted = minter().mint(id.as_bytes(), code).expect("a UUID");
    String::from_utf8_lossy(&minted).into_owned()
}

fn gray(request: Message) -> Message {
    request.with("cookie", "gray=1")
}

/// A request as an edge with the lane gray forwards it, and whether it was called forged.
#[track_caller]
fn forwarded(request: &Message) -> (Message, bool) {
    let mut settings = settings();
    settings.carriers.aliases =
        ["x-mse-tag", "x-asm-prefer-tag"].map(|name| HeaderName::new(name).expect("a name")).into();
    let edge = edge_with(&settings, &[GRAY]);
    let decision = request.decide(&edge);
    (request.edited(&decision.edits), decision.forged)
}

#[test]
fn a_lane_is_written_to_header_baggage_and_request_id() {
    let (request, forged) = forwarded(&gray(get("/")).with("x-request-id", UUID));
    assert!(!forged);
    assert_eq!(request.values("x-canary-lane"), ["gray"]);
    assert_eq!(request.values("baggage"), ["canary-lane=gray"]);
    assert_eq!(request.values("x-request-id"), [minted(UUID, lane("gray").code())]);
}

#[test]
fn the_baseline_is_written_to_the_request_id_only() {
    let (request, forged) = forwarded(&get("/").with("x-request-id", UUID).with("baggage", "a=1"));
    assert!(!forged);
    assert!(request.values("x-canary-lane").is_empty());
    assert_eq!(request.values("baggage"), ["a=1"]);
    assert_eq!(request.values("x-request-id"), [minted(UUID, LaneCode::BASELINE)]);
}

#[test]
fn other_baggage_stays_as_it_is() {
    let (request, _) = forwarded(&gray(get("/")).with("baggage", "a=1;p=2, b = %20").with("baggage", "c=3"));
    assert_eq!(request.values("baggage"), ["a=1;p=2,b = %20,c=3,canary-lane=gray"]);
}

#[test]
fn a_request_without_an_id_gets_one() {
    for (request, code) in [(get("/"), LaneCode::BASELINE), (gray(get("/")), lane("gray").code())] {
        let id = forwarded(&request).0.values("x-request-id").concat();
        assert_eq!(minter().read(id.as_bytes()), Reading::Minted(code), "{id}");
    }
}

#[test]
fn a_request_id_of_another_shape_stays() {
    for id in ["abc-123", "", "6bd3a4f2-8c11-4e0a-9d57-0123456789abc", "6bd3a4f28c114e0a9d570123456789ab"] {
        let (request, _) = forwarded(&gray(get("/")).with("x-request-id", id));
        assert_eq!(request.values("x-request-id"), [id]);
    }
}

#[test]
fn an_id_that_says_the_right_thing_already_stays() {
    let id = minted(UUID, lane("gray").code());
    let edge = edge(&[GRAY]);
    let request = gray(get("/")).with("x-request-id", &id);
    let decision = request.decide(&edge);
    assert!(!decision.edits.iter().any(|edit| matches!(edit, Edit::Set("x-request-id", _))));
}

/// A forged tag, whatever it rides on, for a request that is the baseline's and for one that is gray's.
#[track_caller]
fn check_forged(forge: impl Fn(Message) -> Message) {
    for (honest, tag) in [(get("/"), None), (gray(get("/")), Some("gray"))] {
        let forged = forge(honest.clone().with("x-request-id", UUID));
        let (request, called_forged) = forwarded(&forged);
        assert!(called_forged, "{forged:?}");
        let (clean, _) = forwarded(&honest.with("x-request-id", UUID));
        for carrier in ["x-canary-lane", "x-mse-tag", "x-asm-prefer-tag", "x-request-id"] {
            assert_eq!(request.values(carrier), clean.values(carrier), "{carrier} of {forged:?}");
        }
        let members: Vec<String> = request
            .values("baggage")
            .iter()
            .flat_map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let ours: Vec<&str> =
            members.iter().filter_map(|member| member.trim().strip_prefix("canary-lane")).collect();
        assert_eq!(
            ours,
            tag.map(|tag| format!("={tag}")).iter().map(String::as_str).collect::<Vec<_>>(),
            "{forged:?}"
        );
    }
}

#[test]
fn forged_tags_are_stripped_from_every_carrier() {
    check_forged(|request| request.with("x-canary-lane", "blue"));
    check_forged(|request| request.with("x-canary-lane", "gray").with("x-canary-lane", "blue"));
    check_forged(|request| request.with("x-canary-lane", ""));
    check_forged(|request| request.with("x-canary-lane", b"\xff\x00"));
    check_forged(|request| request.with("x-mse-tag", "blue"));
    check_forged(|request| request.with("x-asm-prefer-tag", "anything").with("x-mse-tag", "gray"));
    check_forged(|request| request.with("baggage", "canary-lane=blue"));
    check_forged(|request| request.with("baggage", "a=1").with("baggage", "b=2,canary-lane = blue;p=1"));
    check_forged(|request| request.with("baggage", "canary-lane=gray,canary-lane=blue"));
    check_forged(|request| request.with("baggage", "canary-lane="));
}

#[test]
fn forged_baggage_at_its_limits_is_stripped_too() {
    let members: Vec<String> = (0..70).map(|number| format!("k{number}=1")).collect();
    let forged = gray(get("/")).with("baggage", format!("{},canary-lane=blue", members.join(",")));
    let (request, _) = forwarded(&forged);
    assert_eq!(request.values("baggage"), [members.join(",")]);
    assert_eq!(request.values("x-canary-lane"), ["gray"]);
}

#[test]
fn a_stolen_or_made_up_request_id_says_nothing() {
    for id in [minted(UUID, lane("gray").code()), minted(UUID, lane("blue").code()), UUID.into()] {
        let (request, _) = forwarded(&get("/").with("x-request-id", &id));
        let id = request.values("x-request-id").concat();
        assert_eq!(minter().read(id.as_bytes()), Reading::Minted(LaneCode::BASELINE));
    }
}

#[test]
fn a_signed_tag_is_replaced_by_the_lanes_name() {
    let signed = token(Purpose::Header, "gray", Assigned::Rule, NOW_S + 9);
    let (request, forged) = forwarded(&get("/").with("x-canary-lane", &signed));
    assert!(!forged);
    assert_eq!(request.values("x-canary-lane"), ["gray"]);
    let (request, forged) = forwarded(&get("/").with("x-canary-lane", signed.replace("gray", "blue")));
    assert!(forged);
    assert!(request.values("x-canary-lane").is_empty());
}

#[test]
fn the_guard_strips_all_but_a_signed_tag() {
    let config = settings().config(Role::EdgeGuard, &documents(&[GRAY]).compiled);
    let guard = edge_of(config);
    let guarded =
        |request: &Message| request.edited(&request.ask(|headers| guard.guard(headers, NOW_S)).edits);
    let signed = token(Purpose::Header, "gray", Assigned::Rule, NOW_S + 9);
    let request = get("/").with("x-canary-lane", &signed).with("baggage", "a=1,canary-lane=gray");
    assert_eq!(guarded(&request).values("x-canary-lane"), std::slice::from_ref(&signed));
    assert_eq!(guarded(&request).values("baggage"), ["a=1"]);
    for forged in
        ["gray", &signed.replace("gray", "blue"), &token(Purpose::Link, "gray", Assigned::Rule, NOW_S + 9)]
    {
        assert!(guarded(&get("/").with("x-canary-lane", forged)).values("x-canary-lane").is_empty());
    }
    assert!(get("/").ask(|headers| guard.guard(headers, NOW_S)).edits.is_empty());
    let rejected = |tag: &str| {
        get("/").with("x-canary-lane", tag).ask(|headers| guard.guard(headers, NOW_S)).rejected_signatures
    };
    // Our own tag with one digit of its expiry changed.
    let altered = signed.replacen("17", "18", 1);
    assert_ne!(altered, signed);
    assert_eq!((rejected(&signed), rejected("gray"), rejected(&altered)), (0, 0, 1));
}

#[test]
fn a_mesh_without_lanes_strips_and_does_nothing_else() {
    let edge = edge(&[]);
    let decision_request = get("/").with("x-request-id", UUID).with("cookie", "a=1");
    let decision = decision_request.decide(&edge);
    assert!(decision.edits.is_empty() && decision.response.is_empty());
    let forged = get("/").with("x-canary-lane", "gray").decide(&edge).forged;
    assert!(forged);
}

#[test]
fn without_keys_no_request_id_is_minted() {
    let config = FilterConfig { keys: None, ..settings().config(Role::Edge, &documents(&[GRAY]).compiled) };
    let edge = edge_of(config);
    let request = gray(get("/"));
    let request = request.edited(&request.decide(&edge).edits);
    assert!(request.values("x-request-id").is_empty());
    assert_eq!(request.values("x-canary-lane"), ["gray"]);
}

#[test]
fn carriers_that_are_turned_off_are_left_alone() {
    let mut settings = settings();
    settings.carriers.baggage = None;
    settings.carriers.request_id = false;
    settings.carriers.header = HeaderName::new("X-Lane").expect("a name");
    let edge = edge_with(&settings, &[GRAY]);
    let request = gray(get("/")).with("x-request-id", UUID).with("baggage", "canary-lane=blue");
    let request = request.edited(&request.decide(&edge).edits);
    assert_eq!(request.values("x-lane"), ["gray"]);
    assert_eq!(request.values("x-request-id"), [UUID]);
    assert_eq!(request.values("baggage"), ["canary-lane=blue"]);
}
