//! Which buckets a lane gets, keeps and gives back.

use canary_rules::layers::{self, BUCKETS, Claim};

use super::kit::{documents, lane};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn claim(name: &str, share: u16, held: &[u16]) -> Claim {
    Claim { lane: lane(name), share, held: held.to_vec() }
}

#[test]
fn a_lane_gets_as_many_buckets_as_it_wants_each_once() {
    for share in [0, 1, 9_999, BUCKETS] {
        let mut claims = [claim("gray", share, &[])];
        layers::allocate("l", &mut claims).expect("room");
        let mut held = claims[0].held.clone();
        held.sort_unstable();
        held.dedup();
        assert_eq!(held.len(), usize::from(share));
        assert!(held.iter().all(|bucket| *bucket < BUCKETS));
    }
}

#[test]
fn growing_adds_and_shrinking_gives_back_the_latest() {
    let mut claims = [claim("gray", 100, &[])];
    layers::allocate("l", &mut claims).expect("room");
    let first = claims[0].held.clone();
    claims[0].share = 300;
    layers::allocate("l", &mut claims).expect("room");
    assert_eq!(claims[0].held[..100], first);
    claims[0].share = 40;
    layers::allocate("l", &mut claims).expect("room");
    assert_eq!(claims[0].held, first[..40]);
    claims[0].share = 100;
    layers::allocate("l", &mut claims).expect("room");
    assert_eq!(claims[0].held, first, "the way back is the way there");
}

#[test]
fn lanes_take_their_first_users_at_different_places() {
    let mut gray = [claim("gray", 100, &[])];
    let mut blue = [claim("blue", 100, &[])];
    layers::allocate("l", &mut gray).expect("room");
    layers::allocate("l", &mut blue).expect("room");
    let shared = gray[0].held.iter().filter(|bucket| blue[0].held.contains(bucket)).count();
    assert!(shared < 10, "{shared} of the first percent are the same");
}

#[test]
fn what_two_lanes_hold_is_the_firsts() {
    let mut claims = [claim("a", 2, &[7, 8]), claim("b", 3, &[8, 9, 9])];
    layers::allocate("l", &mut claims).expect("room");
    assert_eq!(claims[0].held, [7, 8]);
    assert_eq!(claims[1].held[0], 9);
    assert_eq!(claims[1].held.len(), 3);
    assert!(!claims[1].held.contains(&8));
}

#[test]
fn buckets_that_do_not_exist_are_replaced() {
    let mut claims = [claim("a", 2, &[BUCKETS, u16::MAX])];
    layers::allocate("l", &mut claims).expect("room");
    assert!(claims[0].held.iter().all(|bucket| *bucket < BUCKETS) && claims[0].held.len() == 2);
}

#[test]
fn more_than_all_is_refused_and_changes_nothing() {
    let before = [claim("a", 6_000, &[1]), claim("b", 4_001, &[1])];
    let mut claims = before.clone();
    let error = layers::allocate("l", &mut claims).expect_err("no room");
    assert_eq!(error.to_string(), "the percentages of layer `l` add up to 100.01 %, more than 100 %");
    assert_eq!(claims, before);
}

/// Where users fall is written down in cookies and in statuses: it may never change.
#[test]
fn the_hash_is_fixed() {
    assert_eq!(layers::bucket("default", b"alice"), BUCKET_OF_ALICE);
    let mut claims = [claim("gray", 4, &[])];
    layers::allocate("default", &mut claims).expect("room");
    assert_eq!(claims[0].held, FIRST_OF_GRAY);
}

const BUCKET_OF_ALICE: u16 = 4435;
const FIRST_OF_GRAY: [u16; 4] = [5280, 3164, 4822, 5806];

#[test]
fn buckets_read_back_as_written() {
    for buckets in [vec![], vec![0], vec![9_999, 0, 1], (0..BUCKETS).collect()] {
        assert_eq!(layers::decode(&layers::encode(&buckets)), Some(buckets));
    }
    for text in ["A", "AA", "AAA", "!!!!", "AAAA=", "JxA", "__8"] {
        assert!(layers::decode(text).is_none_or(|buckets| layers::encode(&buckets) == text), "{text}");
    }
    assert_eq!(layers::decode("JxA"), None, "10,000 is no bucket");
}

#[test]
fn what_a_status_holds_is_kept_when_lanes_are_compiled() {
    let mut lanes =
        documents(&[("a", "{rules: [{percent: 0.03}]}"), ("b", "{rules: [{percent: 0.02}]}")]).lanes;
    lanes[1].status = Some(canary_rules::lane::LaneStatus { epoch: 4, buckets: layers::encode(&[5, 6, 7]) });
    let compiled = canary_rules::lane::compile(&lanes).expect("valid");
    assert_eq!(layers::decode(&compiled.lanes[1].buckets), Some(vec![5, 6]));
    assert_eq!(compiled.lanes[1].epoch, 4);
    let others = layers::decode(&compiled.lanes[0].buckets).expect("buckets");
    assert!(others.len() == 3 && !others.iter().any(|bucket| [5, 6].contains(bucket)));
}

#[test]
fn the_order_of_documents_does_not_matter() {
    let lanes = [("a", "{rules: [{percent: 40}]}"), ("b", "{rules: [{percent: 40}]}")];
    let there = documents(&lanes).compiled;
    let back = documents(&[lanes[1], lanes[0]]).compiled;
    let buckets = |compiled: &canary_rules::lane::Compiled, name: &str| {
        compiled.lanes.iter().find(|lane| lane.name.as_str() == name).map(|lane| lane.buckets.clone())
    };
    for name in ["a", "b"] {
        assert_eq!(buckets(&there, name), buckets(&back, name));
    }
}

/// Several percentages of one lane are one set of users, cut at several places.
#[test]
fn a_lane_holds_what_its_largest_percentage_wants() {
    let spec = "{rules: [{percent: 0.01}, {when: {path: {exact: /x}}, percent: 0.05}, {percent: 0}]}";
    let compiled = documents(&[("a", spec)]).compiled;
    assert_eq!(layers::decode(&compiled.lanes[0].buckets).map(|held| held.len()), Some(5));
    assert_eq!(compiled.layers.len(), 1);
    assert!(documents(&[("a", "{layer: x}")]).compiled.layers.is_empty());
}
