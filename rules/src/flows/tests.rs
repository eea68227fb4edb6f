//! Tables for one bucket, and the map's promise held against an exact model.

mod model;

use super::*;

const LIMITS: Limits = Limits { linger_s: 30, stream_life_s: 86_400 };
const BASELINE: LaneCode = LaneCode::BASELINE;
const GRAY: LaneCode = LaneCode(7);
const ALICE: LaneCode = LaneCode(8);
const NOW_S: u32 = 1_000;

/// Ids whose bits in the Bloom filter do not overlap.
fn id(n: u64) -> FlowId {
    FlowId((3 * n) << 58 | (3 * n + 1) << 52 | (3 * n + 2) << 46 | n)
}

#[track_caller]
fn check(bucket: &Bucket, flow: FlowId, now_s: u32, expected: Lookup) {
    assert_eq!(bucket.lookup(flow, now_s), expected);
    assert_eq!(Bucket::decode(&bucket.encode()), *bucket, "a bucket reads back as written");
}

#[test]
fn an_id_is_unknown_until_a_flow_begins_with_it() {
    let mut bucket = Bucket::default();
    check(&bucket, id(1), NOW_S, Lookup::Unknown);
    bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S, Lookup::Tag(GRAY));
    check(&bucket, id(2), NOW_S, Lookup::Unknown);
}

#[test]
fn the_id_that_is_all_zero_bits_is_an_id_like_any_other() {
    let mut bucket = Bucket::default();
    check(&bucket, FlowId(0), NOW_S, Lookup::Unknown);
    bucket.begin(FlowId(0), GRAY, NOW_S, &LIMITS);
    check(&bucket, FlowId(0), NOW_S, Lookup::Tag(GRAY));
}

#[test]
fn a_flow_in_flight_stays_known_and_lingers_after_its_end() {
    let mut bucket = Bucket::default();
    let flow = bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S + 80_000, Lookup::Tag(GRAY));
    bucket.end(id(1), flow, NOW_S + 80_000, &LIMITS);
    check(&bucket, id(1), NOW_S + 80_029, Lookup::Tag(GRAY));
    check(&bucket, id(1), NOW_S + 80_030, Lookup::Unknown);
}

#[test]
fn the_last_of_several_flows_starts_the_linger() {
    let mut bucket = Bucket::default();
    let first = bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    let second = bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    bucket.end(id(1), first, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S + 1_000, Lookup::Tag(GRAY));
    bucket.end(id(1), second, NOW_S + 1_000, &LIMITS);
    check(&bucket, id(1), NOW_S + 1_030, Lookup::Unknown);
}

#[test]
fn the_baseline_is_a_tag_like_any_other() {
    let mut bucket = Bucket::default();
    bucket.begin(id(1), BASELINE, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S, Lookup::Tag(BASELINE));
    bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S, Lookup::Ambiguous);
}

#[test]
fn an_id_is_ambiguous_until_all_but_one_tag_have_lingered() {
    let mut bucket = Bucket::default();
    let baseline = bucket.begin(id(1), BASELINE, NOW_S, &LIMITS);
    bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    bucket.end(id(1), baseline, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S + 29, Lookup::Ambiguous);
    check(&bucket, id(1), NOW_S + 30, Lookup::Tag(GRAY));
}

#[test]
fn a_third_tag_keeps_an_id_ambiguous_after_the_first_two_are_gone() {
    let mut bucket = Bucket::default();
    let baseline = bucket.begin(id(1), BASELINE, NOW_S, &LIMITS);
    let gray = bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    let alice = bucket.begin(id(1), ALICE, NOW_S, &LIMITS);
    bucket.end(id(1), baseline, NOW_S, &LIMITS);
    bucket.end(id(1), gray, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S + 100, Lookup::Ambiguous);
    bucket.begin(id(1), ALICE, NOW_S + 100, &LIMITS);
    bucket.end(id(1), alice, NOW_S + 100, &LIMITS);
    check(&bucket, id(1), NOW_S + 129, Lookup::Ambiguous);
    check(&bucket, id(1), NOW_S + 130, Lookup::Tag(ALICE));
}

#[test]
fn a_leaked_count_dies_after_a_streams_life() {
    let mut bucket = Bucket::default();
    let leaked = bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    check(&bucket, id(1), NOW_S + 86_399, Lookup::Tag(GRAY));
    check(&bucket, id(1), NOW_S + 86_400, Lookup::Unknown);

    bucket.begin(id(1), GRAY, NOW_S + 90_000, &LIMITS);
    bucket.end(id(1), leaked, NOW_S + 90_000, &LIMITS);
    check(&bucket, id(1), NOW_S + 100_000, Lookup::Tag(GRAY));
}

#[test]
fn a_full_bucket_gives_up_the_idle_id_closest_to_its_expiry_and_remembers_it_as_ambiguous() {
    let mut bucket = Bucket::default();
    for (n, ended_s) in [(1, 4), (2, 2), (3, 3), (4, 1)] {
        let flow = bucket.begin(id(n), GRAY, NOW_S, &LIMITS);
        if n != 4 {
            bucket.end(id(n), flow, NOW_S + ended_s, &LIMITS);
        }
    }
    let fifth = bucket.begin(id(5), ALICE, NOW_S + 5, &LIMITS);
    assert!(fifth.evicted() && !fifth.refused());
    check(&bucket, id(5), NOW_S + 5, Lookup::Tag(ALICE));
    check(&bucket, id(2), NOW_S + 5, Lookup::Ambiguous);
    check(&bucket, id(2), NOW_S + 31, Lookup::Ambiguous);
    check(&bucket, id(2), NOW_S + 32, Lookup::Unknown);
    for kept in [1, 3, 4] {
        check(&bucket, id(kept), NOW_S + 5, Lookup::Tag(GRAY));
    }
}

#[test]
fn an_evicted_id_that_comes_back_with_another_tag_is_ambiguous() {
    let mut bucket = Bucket::default();
    for n in 1..=5 {
        let flow = bucket.begin(id(n), BASELINE, NOW_S, &LIMITS);
        bucket.end(id(n), flow, NOW_S, &LIMITS);
    }
    bucket.begin(id(1), GRAY, NOW_S + 1, &LIMITS);
    check(&bucket, id(1), NOW_S + 29, Lookup::Ambiguous);
    check(&bucket, id(1), NOW_S + 30, Lookup::Tag(GRAY));
}

#[test]
fn a_bucket_full_of_flows_in_flight_refuses_and_reads_ambiguous_until_the_refused_have_lingered() {
    let mut bucket = Bucket::default();
    let held: Vec<Admission> = (1..=4).map(|n| bucket.begin(id(n), GRAY, NOW_S, &LIMITS)).collect();
    let fifth = bucket.begin(id(5), BASELINE, NOW_S, &LIMITS);
    assert!(fifth.refused() && !fifth.evicted());
    check(&bucket, id(5), NOW_S + 80_000, Lookup::Ambiguous);

    bucket.end(id(1), held[0], NOW_S, &LIMITS);
    bucket.begin(id(5), GRAY, NOW_S + 60, &LIMITS);
    check(&bucket, id(5), NOW_S + 60, Lookup::Ambiguous);
    bucket.end(id(5), fifth, NOW_S + 60, &LIMITS);
    check(&bucket, id(5), NOW_S + 89, Lookup::Ambiguous);
    check(&bucket, id(5), NOW_S + 90, Lookup::Tag(GRAY));
}

#[test]
fn under_lasting_pressure_old_bits_go_and_a_dropped_id_costs_little() {
    let mut bucket = Bucket::default();
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        FlowId(random ^ random >> 29)
    };
    let mut lost = 0;
    for now_s in (NOW_S..NOW_S + 36_000).step_by(5) {
        let flow = next();
        let admission = bucket.begin(flow, GRAY, now_s, &LIMITS);
        lost += u32::from(bucket.lookup(flow, now_s) == Lookup::Ambiguous);
        bucket.end(flow, admission, now_s, &LIMITS);
    }
    assert!(lost < 7_200 / 20, "{lost} of 7,200 new ids read as ambiguous at 1.5 times the room");
}

#[test]
fn a_count_at_its_maximum_stays_until_its_flows_cannot_live_any_more() {
    let mut bucket = Bucket::default();
    let flows: Vec<Admission> =
        (0..=u32::from(u16::MAX)).map(|_| bucket.begin(id(1), GRAY, NOW_S, &LIMITS)).collect();
    for flow in flows {
        bucket.end(id(1), flow, NOW_S + 1, &LIMITS);
    }
    check(&bucket, id(1), NOW_S + 86_399, Lookup::Tag(GRAY));
    check(&bucket, id(1), NOW_S + 86_400, Lookup::Unknown);
}

#[test]
fn the_end_of_time_does_not_overflow() {
    let mut bucket = Bucket::default();
    let flow = bucket.begin(id(1), GRAY, u32::MAX - 1, &LIMITS);
    check(&bucket, id(1), u32::MAX - 1, Lookup::Tag(GRAY));
    bucket.end(id(1), flow, u32::MAX, &LIMITS);
    check(&bucket, id(1), u32::MAX, Lookup::Unknown);
}

#[test]
fn bytes_that_are_no_bucket_of_this_version_are_an_empty_one() {
    let mut bucket = Bucket::default();
    bucket.begin(id(1), GRAY, NOW_S, &LIMITS);
    let bytes = bucket.encode();
    for length in 0..bytes.len() {
        assert_eq!(Bucket::decode(&bytes[..length]), Bucket::default(), "{length} bytes");
    }
    assert_eq!(Bucket::decode(&[&bytes[..], &[0]].concat()), Bucket::default(), "one byte more");
    let mut other = bytes;
    other[0] = LAYOUT + 1;
    assert_eq!(Bucket::decode(&other), Bucket::default(), "another version");
}
