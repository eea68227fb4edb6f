//! What a sidecar does with a request from its application.

use canary_rules::correlation::FlowId;
use canary_rules::flows::Lookup;
use canary_rules::hop::{Hop, Origin, Outbound};
use canary_rules::name::LaneCode;

use super::inbound::{code, flow, hop, minted, says};
use super::kit::{Message, get};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const UUID: &str = "6bd3a4f2-8c11-4e0a-9d57-0123456789ab";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const B3: &str = "5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";

/// A decision with a map that knows these ids.
fn outbound<'h>(
    hop: &'h Hop,
    request: &Message,
    colour: Option<&str>,
    map: &[(FlowId, Lookup)],
) -> Outbound<'h> {
    let lookup =
        |id| map.iter().find(|(known, _)| *known == id).map_or(Lookup::Unknown, |(_, lookup)| *lookup);
    request.ask(|headers| hop.outbound(headers, colour.map(code), lookup))
}

fn tag(name: &str) -> Lookup {
    Lookup::Tag(code(name))
}

#[track_caller]
fn check(request: &Message, colour: Option<&str>, map: &[(FlowId, Lookup)], expected: (&str, Origin)) {
    let hop = hop();
    let decided = outbound(&hop, request, colour, map);
    assert_eq!((decided.tag, decided.origin), (code(expected.0), expected.1), "{request:?} {map:?}");
    let header = request.edited(&decided.edits).values("x-canary-lane");
    match expected.0 {
        "baseline" => assert!(header.iter().all(|name| name == "new"), "{header:?}"),
        name => assert_eq!(header, [name]),
    }
}

#[test]
fn each_origin_alone_says_the_lane() {
    let traced = get("/").with("traceparent", TRACE);
    let trace = flow("traceparent", TRACE);
    check(&get("/"), None, &[], ("baseline", Origin::None));
    check(&get("/").with("x-canary-lane", "gray"), None, &[], ("gray", Origin::Header));
    check(&get("/").with("x-asm-prefer-tag", "gray"), None, &[], ("gray", Origin::Header));
    check(&get("/").with("baggage", "canary-lane=gray"), None, &[], ("gray", Origin::Baggage));
    check(&get("/").with("x-request-id", minted("gray")), None, &[], ("gray", Origin::RequestId));
    check(&traced, None, &[(trace, tag("gray"))], ("gray", Origin::Correlation));
    check(&get("/"), Some("gray"), &[], ("gray", Origin::Colour));
    let custom = get("/").with("x-request-id", "abc");
    check(&custom, None, &[(flow("x-request-id", "abc"), tag("gray"))], ("gray", Origin::Correlation));
}

#[test]
fn origins_are_asked_in_order() {
    let trace = [(flow("traceparent", TRACE), tag("blue"))];
    let request = get("/").with("traceparent", TRACE);
    check(&request, Some("gray"), &trace, ("blue", Origin::Correlation));
    let request = request.with("x-request-id", minted("gray"));
    check(&request, Some("blue"), &trace, ("gray", Origin::RequestId));
    let request = request.with("baggage", "canary-lane=blue");
    check(&request, Some("gray"), &trace, ("blue", Origin::Baggage));
    check(&request.with("x-canary-lane", "gray"), Some("blue"), &trace, ("gray", Origin::Header));
}

/// A baseline flow stays one, also on a pod that has a colour.
#[test]
fn the_baseline_is_a_tag_like_any_other() {
    let request = get("/").with("traceparent", TRACE);
    let trace = flow("traceparent", TRACE);
    check(&request, Some("gray"), &[(trace, tag("baseline"))], ("baseline", Origin::Correlation));
    let minted = get("/").with("x-request-id", minted("baseline")).with("traceparent", TRACE);
    check(&minted, Some("gray"), &[(trace, tag("gray"))], ("baseline", Origin::RequestId));
}

#[test]
fn whoever_asks_for_the_baseline_has_it_for_one_hop() {
    let lookup = [(flow("traceparent", TRACE), tag("gray"))];
    let hop = hop();
    let request = get("/")
        .with("x-canary-lane", "baseline")
        .with("baggage", "canary-lane=gray")
        .with("x-request-id", minted("gray"))
        .with("traceparent", TRACE);
    let decided = outbound(&hop, &request, Some("gray"), &lookup);
    assert_eq!((decided.tag, decided.origin), (LaneCode::BASELINE, Origin::Header));
    assert!(decided.edits.is_empty(), "nothing that the next hop reads is taken away");
    let next = request.ask(|headers| hop.inbound(headers, None, || true));
    assert_eq!((next.tag, next.origin), (code("gray"), Origin::Baggage));
    let twice = request.with("x-canary-lane", "gray");
    assert!(outbound(&hop, &twice, None, &[]).ambiguous, "two wishes are none");
}

#[test]
fn ids_that_disagree_are_the_baselines() {
    let request = get("/").with("traceparent", TRACE).with("b3", B3);
    let (trace, b3) = (flow("traceparent", TRACE), flow("b3", B3));
    for map in [
        vec![(trace, Lookup::Ambiguous)],
        vec![(trace, Lookup::Ambiguous), (b3, tag("gray"))],
        vec![(trace, tag("gray")), (b3, Lookup::Ambiguous)],
        vec![(trace, tag("gray")), (b3, tag("blue"))],
        vec![(trace, tag("gray")), (b3, tag("baseline"))],
    ] {
        let hop = hop();
        let decided = outbound(&hop, &request, Some("gray"), &map);
        assert_eq!((decided.tag, decided.origin), (LaneCode::BASELINE, Origin::None), "{map:?}");
        assert!(decided.ambiguous && !decided.unknown_ids, "{map:?}");
    }
    check(&request, None, &[(trace, tag("gray"))], ("gray", Origin::Correlation));
    check(&request, None, &[(trace, tag("gray")), (b3, tag("gray"))], ("gray", Origin::Correlation));
}

/// What nobody knows must not be routed by when the flow's tag is in doubt.
#[test]
fn an_ambiguous_request_says_no_lane() {
    let hop = hop();
    let request = get("/")
        .with("traceparent", TRACE)
        .with("x-canary-lane", "new")
        .with("baggage", "canary-lane=new,a=1");
    let decided = outbound(&hop, &request, None, &[(flow("traceparent", TRACE), Lookup::Ambiguous)]);
    let after = request.edited(&decided.edits);
    assert!(after.values("x-canary-lane").is_empty());
    assert_eq!(after.values("baggage"), ["a=1"]);
}

#[test]
fn a_lane_that_is_not_known_here_passes_through() {
    let request = get("/").with("x-canary-lane", "new").with("traceparent", TRACE);
    let map = [(flow("traceparent", TRACE), tag("baseline"))];
    check(&request, None, &map, ("baseline", Origin::Correlation));
    check(&get("/").with("x-canary-lane", "new"), None, &[], ("baseline", Origin::None));
}

#[test]
fn lost_ids_are_told_from_none() {
    let hop = hop();
    let unknown =
        |request: &Message, map: &[(FlowId, Lookup)]| outbound(&hop, request, None, map).unknown_ids;
    let traced = get("/").with("traceparent", TRACE);
    assert!(unknown(&traced, &[]));
    assert!(!unknown(&get("/"), &[]));
    assert!(!unknown(&traced, &[(flow("traceparent", TRACE), tag("baseline"))]));
    assert!(!unknown(&traced.clone().with("x-canary-lane", "gray"), &[]));
    assert!(outbound(&hop, &traced, Some("gray"), &[]).unknown_ids, "a flow that starts here");
}

#[test]
fn a_lane_that_has_ended_is_the_baselines() {
    let request = get("/").with("traceparent", TRACE);
    let hop = hop();
    let decided = outbound(&hop, &request, None, &[(flow("traceparent", TRACE), tag("gone"))]);
    assert_eq!(decided.tag, LaneCode::BASELINE);
    assert!(decided.edits.is_empty());
    check(&get("/"), Some("gone"), &[], ("baseline", Origin::None));
    check(&get("/").with("x-request-id", minted("gone")), Some("gray"), &[], ("baseline", Origin::RequestId));
}

#[test]
fn the_map_is_asked_only_when_the_request_itself_is_silent() {
    let hop = hop();
    for request in [
        get("/").with("x-canary-lane", "gray"),
        get("/").with("baggage", "canary-lane=gray"),
        get("/").with("x-request-id", minted("baseline")),
    ] {
        let request = request.with("traceparent", TRACE);
        request.ask(|headers| hop.outbound(headers, None, |_| panic!("asked: {request:?}")));
    }
}

#[test]
fn a_restored_tag_is_written_to_every_carrier() {
    let hop = hop();
    let request = get("/").with("traceparent", TRACE).with("x-request-id", UUID).with("baggage", "a=1");
    let decided = outbound(&hop, &request, None, &[(flow("traceparent", TRACE), tag("gray"))]);
    let after = request.edited(&decided.edits);
    assert_eq!(after.values("x-canary-lane"), ["gray"]);
    assert_eq!(after.values("baggage"), ["a=1,canary-lane=gray"]);
    let id = after.values("x-request-id").concat();
    assert_eq!(says(&id), code("gray"));
    assert_eq!(id[..24], UUID[..24], "the id's head stays");
    assert_eq!(after.values("traceparent"), [TRACE]);
    assert!(outbound(&hop, &after, None, &[]).edits.is_empty());
}

#[test]
fn a_baseline_request_is_not_touched() {
    let hop = hop();
    for request in [
        get("/"),
        get("/").with("x-request-id", UUID).with("traceparent", TRACE).with("baggage", "a=1"),
        get("/").with("x-request-id", minted("baseline")),
        get("/").with("x-canary-lane", "new"),
    ] {
        assert!(outbound(&hop, &request, None, &[]).edits.is_empty(), "{request:?}");
    }
}

#[test]
fn origins_have_names_and_places_of_their_own() {
    for (index, origin) in Origin::ALL.into_iter().enumerate() {
        assert_eq!(origin.index(), index);
    }
    let names = Origin::ALL.map(Origin::name);
    assert_eq!(names, ["header", "baggage", "request_id", "correlation", "colour", "none"]);
}
