//! What a sidecar does with a request to its application.

use canary_rules::correlation::{FlowId, FlowIds, IdSource};
use canary_rules::hop::{Hop, IDS_MAX, Inbound, Origin, colour};
use canary_rules::name::{HeaderName, LaneCode};
use canary_rules::request_id::{Reading, RequestIds};
use canary_rules::wire::Peers;

use super::kit::{Message, get, hop_with, lane, ring, settings};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const UUID: &str = "6bd3a4f2-8c11-4e0a-9d57-0123456789ab";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub(crate) const LANES: [(&str, &str); 3] =
    [("blue", "{}"), ("gray", "{}"), ("gray.child", "{parent: gray}")];

/// A sidecar of a mesh with two aliases.
pub(crate) fn hop() -> Hop {
    let mut settings = settings();
    settings.carriers.aliases =
        ["x-mse-tag", "x-asm-prefer-tag"].map(|name| HeaderName::new(name).expect("a name")).into();
    hop_with(&settings, &LANES)
}

pub(crate) fn code(name: &str) -> LaneCode {
    if name == "baseline" { LaneCode::BASELINE } else { lane(name).code() }
}

pub(crate) fn minted(name: &str) -> String {
    let id = RequestIds::new(ring(&["k1"]).derive("canaryctl request id")).mint(UUID.as_bytes(), code(name));
    String::from_utf8_lossy(&id.expect("a UUID")).into_owned()
}

/// What a minted id says; the baseline's code for one that says nothing.
pub(crate) fn says(id: &str) -> LaneCode {
    match RequestIds::new(ring(&["k1"]).derive("canaryctl request id")).read(id.as_bytes()) {
        Reading::Minted(code) => code,
        Reading::Unminted | Reading::NotUuid => LaneCode::BASELINE,
    }
}

pub(crate) fn flow(header: &str, value: &str) -> FlowId {
    let key = ring(&["k1"]).derive("canaryctl flow id").next().expect("a key");
    let source = IdSource::new(header).expect("a header");
    FlowIds::new(key).id(&source, value.as_bytes()).expect("an id")
}

fn inbound<'h>(hop: &'h Hop, request: &Message) -> Inbound<'h> {
    request.ask(|headers| hop.inbound(headers, None, || true))
}

/// Tag and origin of a request from a member.
#[track_caller]
fn check(request: &Message, tag: &str, origin: Origin) {
    let hop = hop();
    let decided = inbound(&hop, request);
    assert_eq!((decided.tag, decided.origin), (code(tag), origin), "{request:?}");
    assert!(!decided.stripped && !decided.ambiguous && decided.refuse.is_none(), "{decided:?}");
}

#[test]
fn each_carrier_alone_says_the_lane() {
    check(&get("/"), "baseline", Origin::None);
    check(&get("/").with("x-canary-lane", "gray"), "gray", Origin::Header);
    check(&get("/").with("x-canary-lane", " gray "), "gray", Origin::Header);
    check(&get("/").with("x-mse-tag", "gray"), "gray", Origin::Header);
    check(&get("/").with("baggage", "a=1,canary-lane=gray;p=1"), "gray", Origin::Baggage);
    check(&get("/").with("baggage", "a=1").with("baggage", "canary-lane = gray"), "gray", Origin::Baggage);
    check(&get("/").with("x-request-id", minted("gray")), "gray", Origin::RequestId);
    check(&get("/").with("x-request-id", minted("baseline")), "baseline", Origin::RequestId);
}

#[test]
fn the_first_carrier_that_speaks_wins() {
    let request = get("/").with("x-request-id", minted("blue"));
    check(&request.clone().with("baggage", "canary-lane=gray"), "gray", Origin::Baggage);
    let request = request.with("baggage", "canary-lane=blue");
    check(&request.clone().with("x-mse-tag", "gray"), "gray", Origin::Header);
    let request = request.with("x-mse-tag", "blue");
    check(&request.with("x-canary-lane", "gray"), "gray", Origin::Header);
}

#[test]
fn a_carrier_that_names_no_lane_is_silent() {
    for name in ["", "gone", "Gray", "gray,gray", "baseline", "gray~0~r~1~k1~x"] {
        check(&get("/").with("x-canary-lane", name), "baseline", Origin::None);
        check(
            &get("/").with("x-canary-lane", name).with("baggage", "canary-lane=gray"),
            "gray",
            Origin::Baggage,
        );
        check(&get("/").with("x-mse-tag", name).with("x-asm-prefer-tag", "gray"), "gray", Origin::Header);
    }
    check(&get("/").with("x-canary-lane", b"\xff"), "baseline", Origin::None);
    check(&get("/").with("baggage", b"canary-lane=\xff, \xfe"), "baseline", Origin::None);
    check(&get("/").with("x-request-id", UUID), "baseline", Origin::None);
}

#[test]
fn a_tagged_request_says_its_lane_everywhere_afterwards() {
    let hop = hop();
    let whole = |request: &Message| {
        assert_eq!(request.values("x-canary-lane"), ["gray"], "{request:?}");
        assert_eq!(request.values("baggage"), ["canary-lane=gray"], "{request:?}");
        assert!(request.values("x-request-id").iter().all(|id| says(id) == code("gray")), "{request:?}");
        assert!(request.values("x-mse-tag").iter().all(|tag| tag != "blue"), "{request:?}");
    };
    for request in [
        get("/").with("x-canary-lane", "gray"),
        get("/").with("x-canary-lane", "gray").with("x-canary-lane", "gray"),
        get("/").with("x-canary-lane", " gray"),
        get("/").with("x-canary-lane", "gray").with("baggage", "canary-lane=blue"),
        get("/").with("x-canary-lane", "gray").with("baggage", "canary-lane=gray,canary-lane=blue"),
        get("/").with("x-canary-lane", "gray").with("x-request-id", minted("blue")),
        get("/").with("x-canary-lane", "gray").with("x-request-id", UUID),
        get("/").with("x-canary-lane", "gray").with("x-mse-tag", "blue"),
        get("/").with("x-mse-tag", "gray").with("x-asm-prefer-tag", "gray"),
        get("/").with("x-canary-lane", "gone").with("x-mse-tag", "gray"),
        get("/").with("baggage", "canary-lane=gray"),
        get("/").with("x-request-id", minted("gray")),
    ] {
        let decided = inbound(&hop, &request);
        assert_eq!(decided.tag, code("gray"), "{request:?}");
        let after = request.edited(&decided.edits);
        whole(&after);
        let again = inbound(&hop, &after);
        assert!(again.edits.is_empty() && again.tag == code("gray"), "{again:?}");
        let outbound = after.ask(|headers| hop.outbound(headers, None, |_| panic!("no look-up is needed")));
        assert!(outbound.edits.is_empty() && outbound.tag == code("gray"), "{outbound:?}");
    }
}

#[test]
fn an_untagged_request_is_not_touched() {
    let hop = hop();
    for request in [
        get("/"),
        get("/").with("x-request-id", UUID),
        get("/").with("x-request-id", minted("baseline")).with("baggage", "a=1").with("traceparent", TRACE),
        // A lane that this proxy does not know yet, or no longer.
        get("/").with("x-canary-lane", "new").with("baggage", "canary-lane=new").with("x-mse-tag", "v2"),
    ] {
        assert!(inbound(&hop, &request).edits.is_empty(), "{request:?}");
    }
}

#[test]
fn another_systems_alias_of_no_lane_of_ours_stays() {
    let hop = hop();
    let request = get("/").with("x-canary-lane", "gray").with("x-mse-tag", "v2");
    assert_eq!(request.edited(&inbound(&hop, &request).edits).values("x-mse-tag"), ["v2"]);
}

/// Carriers of one kind that differ: the baseline, and nothing left to say otherwise.
#[track_caller]
pub(crate) fn check_contradiction(request: Message) {
    let hop = hop();
    let request = request.with("x-request-id", minted("gray"));
    let decided = inbound(&hop, &request);
    assert_eq!((decided.tag, decided.origin), (LaneCode::BASELINE, Origin::None), "{request:?}");
    assert!(decided.ambiguous, "{request:?}");
    let after = request.edited(&decided.edits);
    for name in ["x-canary-lane", "x-mse-tag", "x-asm-prefer-tag", "baggage"] {
        assert!(after.values(name).is_empty(), "{name} of {after:?}");
    }
    assert_eq!(says(&after.values("x-request-id").concat()), LaneCode::BASELINE);
    let outbound = request.ask(|headers| hop.outbound(headers, Some(code("gray")), |_| panic!("no look-up")));
    assert_eq!((outbound.tag, outbound.ambiguous), (LaneCode::BASELINE, true));
    assert_eq!(request.edited(&outbound.edits), after);
}

#[test]
fn contradictions_are_the_baselines() {
    check_contradiction(get("/").with("x-canary-lane", "gray").with("x-canary-lane", "blue"));
    check_contradiction(get("/").with("x-canary-lane", "gray").with("x-canary-lane", "gone"));
    check_contradiction(get("/").with("x-canary-lane", "gray").with("x-canary-lane", ""));
    check_contradiction(get("/").with("x-mse-tag", "gray").with("x-asm-prefer-tag", "blue"));
    check_contradiction(get("/").with("x-mse-tag", "gray").with("x-mse-tag", "blue"));
    check_contradiction(get("/").with("baggage", "canary-lane=gray,canary-lane=blue"));
    check_contradiction(get("/").with("baggage", "canary-lane=gray").with("baggage", "canary-lane=blue"));
}

#[test]
fn baggage_at_its_limits_says_no_other_lane() {
    let hop = hop();
    let many: Vec<String> = (0..64).map(|number| format!("k{number}=1")).collect();
    let request = get("/")
        .with("x-canary-lane", "gray")
        .with("baggage", format!("{},canary-lane=blue", many.join(",")));
    let after = request.edited(&inbound(&hop, &request).edits);
    assert_eq!(after.values("baggage"), [many.join(",")]);
    assert!(inbound(&hop, &after).edits.is_empty(), "and it is not tried again and again");
}

/// What a peer that is no member may not bring in.
#[track_caller]
fn check_stranger(request: &Message, stripped: bool) {
    let hop = hop();
    let decided = request.ask(|headers| hop.inbound(headers, None, || false));
    assert_eq!(decided.stripped, stripped, "{request:?}");
    assert_eq!(
        (decided.tag, decided.origin.index() == Origin::None.index() || !stripped),
        (LaneCode::BASELINE, true)
    );
    let after = request.edited(&decided.edits);
    let member = inbound(&hop, &after);
    assert_eq!(member.tag, LaneCode::BASELINE, "nothing is left to believe: {after:?}");
    if stripped {
        assert!(
            after.values("x-canary-lane").is_empty() && after.values("x-mse-tag").is_empty(),
            "{after:?}"
        );
        assert!(after.values("baggage").iter().all(|line| !line.contains("canary-lane")), "{after:?}");
    } else {
        assert!(decided.edits.is_empty(), "{decided:?}");
    }
}

#[test]
fn a_stranger_brings_no_tag() {
    check_stranger(&get("/").with("x-canary-lane", "gray"), true);
    check_stranger(&get("/").with("x-canary-lane", "gray").with("x-canary-lane", "blue"), true);
    check_stranger(&get("/").with("x-canary-lane", "not-yet-a-lane"), true);
    check_stranger(&get("/").with("x-mse-tag", "gray"), true);
    check_stranger(&get("/").with("x-mse-tag", "gray").with("x-asm-prefer-tag", "blue"), true);
    check_stranger(&get("/").with("baggage", "a=1,canary-lane=gray"), true);
    check_stranger(&get("/").with("baggage", "a=1").with("baggage", "canary-lane=not-yet-a-lane"), true);
    check_stranger(&get("/").with("x-request-id", minted("gray")), true);
    check_stranger(&get("/"), false);
    check_stranger(&get("/").with("baggage", "a=1").with("x-mse-tag", "v2"), false);
    check_stranger(&get("/").with("x-request-id", UUID).with("traceparent", TRACE), false);
    check_stranger(&get("/").with("x-request-id", minted("baseline")), false);
}

#[test]
fn who_the_peer_is_is_asked_of_tagged_requests_only() {
    let hop = hop();
    let asked = |request: &Message| {
        let mut asked = 0;
        request.ask(|headers| {
            hop.inbound(headers, None, || {
                asked += 1;
                true
            })
        });
        asked
    };
    assert_eq!(
        asked(&get("/").with("x-request-id", UUID).with("traceparent", TRACE).with("baggage", "a=1")),
        0
    );
    assert_eq!(asked(&get("/").with("x-canary-lane", "gray")), 1);
    assert_eq!(asked(&get("/").with("baggage", "canary-lane=x")), 1);
}

#[test]
fn without_mutual_tls_every_peer_is_believed() {
    let mut settings = settings();
    settings.peers = Peers::Any;
    let hop = hop_with(&settings, &LANES);
    let request = get("/").with("x-canary-lane", "gray");
    let decided = request.ask(|headers| hop.inbound(headers, None, || panic!("not asked")));
    assert_eq!((decided.tag, decided.stripped), (code("gray"), false));
}

/// Whether a pod of a lane refuses a request of another.
#[track_caller]
fn check_refusal(pod: Option<&str>, request: Option<&str>, refused: bool) {
    let hop = hop();
    let message = request.map_or(get("/"), |name| get("/").with("x-canary-lane", name));
    let decided = message.ask(|headers| hop.inbound(headers, pod.map(code), || true));
    let lane = decided.refuse.map(|refusal| refusal.lane.as_str());
    assert_eq!(lane, request.filter(|_| refused), "{pod:?} {request:?}");
}

#[test]
fn a_lanes_pod_refuses_other_lanes_but_children() {
    check_refusal(None, Some("gray"), false);
    check_refusal(Some("gray"), None, false);
    check_refusal(Some("gray"), Some("gray"), false);
    check_refusal(Some("gray"), Some("blue"), true);
    check_refusal(Some("gray"), Some("gray.child"), false);
    check_refusal(Some("gray.child"), Some("gray"), true);
    check_refusal(Some("blue"), Some("gray.child"), true);
    // A pod whose own lane has ended still is no other lane's.
    check_refusal(Some("gone"), Some("gray"), true);
}

#[test]
fn a_strangers_tag_is_stripped_not_refused() {
    let hop = hop();
    let request = get("/").with("x-canary-lane", "blue");
    let decided = request.ask(|headers| hop.inbound(headers, Some(code("gray")), || false));
    assert!(decided.stripped && decided.refuse.is_none());
}

#[test]
fn ancestors_are_followed_to_their_limit() {
    let names: Vec<String> = (0..=16).map(|number| format!("l{number:02}")).collect();
    let specs: Vec<String> = (0..=16)
        .map(|number| if number == 0 { "{}".into() } else { format!("{{parent: l{:02}}}", number - 1) })
        .collect();
    let lanes: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(specs.iter().map(String::as_str)).collect();
    let hop = hop_with(&settings(), &lanes);
    let request = get("/").with("x-canary-lane", "l16");
    let decided = request.ask(|headers| hop.inbound(headers, Some(code("l00")), || true));
    assert!(decided.refuse.is_none());
}

#[track_caller]
fn check_record(request: &Message, expected: &[FlowId]) {
    let hop = hop();
    assert_eq!(inbound(&hop, request).record, expected, "{request:?}");
}

#[test]
fn every_id_is_recorded_once_tagged_or_not() {
    let trace = flow("traceparent", TRACE);
    check_record(&get("/"), &[]);
    check_record(&get("/").with("traceparent", TRACE), &[trace]);
    check_record(&get("/").with("traceparent", TRACE).with("x-canary-lane", "gray"), &[trace]);
    let b3 = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
    check_record(&get("/").with("b3", b3).with("traceparent", TRACE), &[trace]);
    let other = "5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
    check_record(&get("/").with("b3", other).with("traceparent", TRACE), &[trace, flow("b3", other)]);
    check_record(&get("/").with("traceparent", "garbage"), &[]);
}

#[test]
fn a_request_id_is_recorded_where_it_cannot_be_minted() {
    check_record(&get("/").with("x-request-id", "abc"), &[flow("x-request-id", "abc")]);
    check_record(&get("/").with("x-request-id", UUID), &[]);
    check_record(&get("/").with("x-request-id", minted("gray")), &[]);
}

#[test]
fn a_request_id_is_recorded_as_it_is_where_the_mesh_says_so() {
    let mut settings = settings();
    settings.carriers.request_id = false;
    let request = get("/").with("x-request-id", UUID);
    let recorded = |settings: &canary_rules::settings::MeshSettings| {
        inbound(&hop_with(settings, &LANES), &request).record
    };
    assert_eq!(recorded(&settings), []);
    settings.carriers.correlation = vec![IdSource::new("X-Request-Id").expect("a header")];
    assert_eq!(recorded(&settings), [flow("x-request-id", UUID)]);
}

#[test]
fn repeats_of_one_id_do_not_crowd_out_another() {
    let other = |number: u32| format!("{number:032x}-00f067aa0ba902b7-1");
    let request = (1..20).fold(get("/"), |request, number| request.with("b3", other(number)));
    check_record(&request.with("traceparent", TRACE), &[flow("traceparent", TRACE), flow("b3", &other(1))]);
}

#[test]
fn ids_are_taken_in_the_order_configured_up_to_their_limit() {
    let mut settings = settings();
    let names: Vec<String> = (0..9).map(|number| format!("x-id-{number}")).collect();
    settings.carriers.correlation = names.iter().map(|name| IdSource::new(name).expect("a header")).collect();
    let hop = hop_with(&settings, &LANES);
    let request = names.iter().rev().fold(get("/"), |request, name| request.with(name, "v1"));
    let expected: Vec<FlowId> = names.iter().take(IDS_MAX).map(|name| flow(name, "v1")).collect();
    assert_eq!(inbound(&hop, &request).record, expected);
}

#[test]
fn a_label_is_a_colour_where_it_names_a_lane() {
    assert_eq!(colour(b"gray"), Some(code("gray")));
    for label in [&b""[..], b"baseline", b"Gray", b"\xff", b"gray\n"] {
        assert_eq!(colour(label), None);
    }
}

#[test]
fn lanes_are_found_by_their_code() {
    let hop = hop();
    let names: Vec<&str> = hop.lanes().map(|lane| lane.as_str()).collect();
    assert_eq!(names, ["blue", "gray", "gray.child"]);
    for (index, name) in names.iter().enumerate() {
        assert_eq!(hop.lane_index(code(name)), Some(index));
    }
    assert_eq!(hop.lane_index(LaneCode::BASELINE), None);
    assert_eq!(hop.lane_index(code("gone")), None);
}
