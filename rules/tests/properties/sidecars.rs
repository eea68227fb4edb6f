//! Sidecars: nothing is left to contradict a decision, and a second look changes nothing.

use canary_rules::correlation::FlowId;
use canary_rules::edits::Edit;
use canary_rules::flows::Lookup;
use canary_rules::hop::{Hop, IDS_MAX};
use canary_rules::name::{HeaderName, LaneCode};
use canary_rules::request::Headers;
use canary_rules::request_id::RequestIds;
use canary_rules::wire::{Carriers, Filter, FilterConfig, Role, WireLane};
use proptest::collection::vec;
use proptest::prelude::*;

use super::generators::{Lines, borrowed, cases, lane_name, ring};

fn hop() -> Hop {
    let carriers =
        Carriers { aliases: vec![HeaderName::new("x-alias").expect("a name")], ..Carriers::default() };
    let lanes = (0..3).map(lane_name).map(WireLane::new).collect();
    let config = FilterConfig { lanes, carriers, keys: Some(ring()), ..FilterConfig::new(Role::Inbound) };
    match Filter::try_from(config).expect("valid") {
        Filter::Inbound(hop) => *hop,
        other => panic!("no sidecar: {other:?}"),
    }
}

fn uuid(number: u8) -> String {
    format!("6bd3a4f2-8c11-4e0a-9d57-0123456789{number:02x}")
}

fn minted(number: u8, code: LaneCode) -> Vec<u8> {
    let minter = RequestIds::new(ring().derive("canaryctl request id"));
    minter.mint(uuid(number).as_bytes(), code).expect("a UUID").to_vec()
}

/// Three lanes of ours, one of nobody's, and noise.
fn tag() -> impl Strategy<Value = String> {
    prop_oneof![4 => (0..4_usize).prop_map(|number| format!("lane-{number}")), 1 => "[ -~]{0,6}"]
}

fn line() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let text = |name: &'static str, value: String| (name.as_bytes().to_vec(), value.into_bytes());
    prop_oneof![
        tag().prop_map(move |tag| text("x-canary-lane", tag)),
        tag().prop_map(move |tag| text("x-alias", tag)),
        tag().prop_map(move |tag| text("baggage", format!("a=1,canary-lane={tag};p"))),
        tag().prop_map(move |tag| text("baggage", format!("canary-lane={tag},b=2"))),
        (60..70_usize, tag()).prop_map(move |(count, tag)| {
            let members: Vec<String> = (0..count).map(|number| format!("k{number}=v")).collect();
            text("baggage", format!("{},canary-lane={tag}", members.join(",")))
        }),
        (0..3_u8).prop_map(move |number| text("x-request-id", uuid(number))),
        (0..3_u8, 0..5_usize).prop_map(|(number, lane)| {
            let code = if lane == 4 { LaneCode::BASELINE } else { lane_name(lane).code() };
            (b"x-request-id".to_vec(), minted(number, code))
        }),
        (1..4_u8).prop_map(move |number| text("x-request-id", format!("custom-{number}"))),
        (1..4_u8)
            .prop_map(move |number| text("traceparent", format!("00-{number:032x}-00000000000000a1-01"))),
        (1..4_u8).prop_map(move |number| text("b3", format!("{number:032x}-00000000000000a1-1"))),
        (
            prop::sample::select(vec!["x-canary-lane", "baggage", "x-request-id", "traceparent", "other"]),
            vec(any::<u8>(), 0..20)
        )
            .prop_map(|(name, value)| (name.as_bytes().to_vec(), value)),
    ]
}

fn edited(lines: &Lines, edits: &[Edit<'_>]) -> Lines {
    let mut lines = lines.clone();
    for edit in edits {
        let (Edit::Set(name, _) | Edit::Add(name, _) | Edit::Remove(name)) = edit;
        if !matches!(edit, Edit::Add(..)) {
            lines.retain(|(key, _)| key != name.as_bytes());
        }
        if let Edit::Set(name, value) | Edit::Add(name, value) = edit {
            lines.push((name.as_bytes().to_vec(), value.to_vec()));
        }
    }
    lines
}

/// A map in which one id in two has a tag.
fn lookup(FlowId(id): FlowId) -> Lookup {
    match id % 6 {
        0 => Lookup::Tag(lane_name(0).code()),
        1 => Lookup::Tag(LaneCode::BASELINE),
        2 => Lookup::Tag(lane_name(3).code()),
        3 => Lookup::Ambiguous,
        _ => Lookup::Unknown,
    }
}

fn silent(_: FlowId) -> Lookup {
    Lookup::Unknown
}

proptest! {
    #![proptest_config(cases(512))]

    /// One pass settles it: the next hop, whatever the application drops, finds the same lane or none.
    #[test]
    fn no_carrier_is_left_to_say_another_lane(lines in vec(line(), 0..6), dropped in vec(any::<bool>(), 12), outbound: bool, member: bool) {
        let hop = hop();
        let before = borrowed(&lines);
        let (tag, edits, baseline_says_nothing) = if outbound {
            let decided = hop.outbound(&Headers::new(&before), None, lookup);
            (decided.tag, decided.edits, decided.ambiguous)
        } else {
            let decided = hop.inbound(&Headers::new(&before), None, || member);
            prop_assert!(decided.record.len() <= IDS_MAX);
            (decided.tag, decided.edits, decided.ambiguous || decided.stripped)
        };
        let after = edited(&lines, &edits);
        let again = borrowed(&after);
        let next = hop.inbound(&Headers::new(&again), None, || true);
        prop_assert_eq!(next.tag, tag, "{:?}", after);
        prop_assert!(next.edits.is_empty(), "{:?}", next.edits);
        // An application hands on some of it.
        let kept: Lines = after.iter().zip(dropped.iter().cycle()).filter(|(_, dropped)| !**dropped).map(|(line, _)| line.clone()).collect();
        let kept = borrowed(&kept);
        let later = hop.outbound(&Headers::new(&kept), None, silent);
        let is_same_or_none = later.tag == tag || later.tag.is_baseline();
        prop_assert!(is_same_or_none, "{:?} became {:?}", tag, later.tag);
        if baseline_says_nothing {
            prop_assert!(later.tag.is_baseline());
        }
    }

    /// A stranger's request is in no lane.
    #[test]
    fn strangers_are_not_believed(lines in vec(line(), 0..6)) {
        let hop = hop();
        let decided = hop.inbound(&Headers::new(&borrowed(&lines)), Some(lane_name(1).code()), || false);
        prop_assert!(decided.tag.is_baseline() && decided.refuse.is_none());
    }

    /// Nobody is put into a lane of which nothing says a word.
    #[test]
    fn lanes_do_not_come_from_nowhere(lines in vec(line(), 0..6)) {
        let hop = hop();
        let decided = hop.outbound(&Headers::new(&borrowed(&lines)), None, silent);
        if let Some(index) = hop.lane_index(decided.tag) {
            let name = lane_name(index);
            let says = lines.iter().any(|(key, value)| {
                let text = value.windows(name.as_bytes().len()).any(|window| window == name.as_bytes());
                let id = key == b"x-request-id" && (0..3).any(|number| *value == minted(number, name.code()));
                text || id
            });
            prop_assert!(says, "{:?}", decided);
        }
    }
}
