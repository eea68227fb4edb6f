//! Tables for one bucket, and the map's promise held against an exact model.

mod model;

use super::*;

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
    assert_eq!(Bucket::read(bucket.bytes()), *bucket, "a bucket reads back as written");
}

/// A bucket without room: the ids 1 to [`WAYS`], gray, each live one second longer than the one before.
fn full(first_until_s: u32) -> Bucket {
    let mut bucket = Bucket::default();
    for (n, until_s) in (1..=WAYS as u64).zip(first_until_s..) {
        assert_eq!(bucket.hold(id(n), GRAY, until_s, NOW_S), Held::Kept);
    }
    bucket
}

#[test]
fn an_id_is_known_while_it_is_held() {
    let mut bucket = Bucket::default();
    check(&bucket, id(1), NOW_S, Lookup::Unknown);
    bucket.hold(id(1), GRAY, NOW_S + 30, NOW_S);
    check(&bucket, id(1), NOW_S, Lookup::Tag(GRAY));
    check(&bucket, id(1), NOW_S + 29, Lookup::Tag(GRAY));
    check(&bucket, id(1), NOW_S + 30, Lookup::Unknown);
    check(&bucket, id(2), NOW_S, Lookup::Unknown);
}

#[test]
fn the_id_that_is_all_zero_bits_is_an_id_like_any_other() {
    let mut bucket = Bucket::default();
    check(&bucket, FlowId(0), 0, Lookup::Unknown);
    bucket.hold(FlowId(0), GRAY, NOW_S, 0);
    check(&bucket, FlowId(0), 0, Lookup::Tag(GRAY));
}

#[test]
fn holding_again_lengthens_and_never_shortens() {
    let mut bucket = Bucket::default();
    bucket.hold(id(1), GRAY, NOW_S + 30, NOW_S);
    bucket.hold(id(1), GRAY, NOW_S + 60, NOW_S + 29);
    bucket.hold(id(1), GRAY, NOW_S + 40, NOW_S + 30);
    check(&bucket, id(1), NOW_S + 59, Lookup::Tag(GRAY));
    check(&bucket, id(1), NOW_S + 60, Lookup::Unknown);
}

#[test]
fn the_baseline_is_a_tag_like_any_other() {
    let mut bucket = Bucket::default();
    bucket.hold(id(1), BASELINE, NOW_S + 30, NOW_S);
    check(&bucket, id(1), NOW_S, Lookup::Tag(BASELINE));
    bucket.hold(id(1), GRAY, NOW_S + 60, NOW_S);
    check(&bucket, id(1), NOW_S + 29, Lookup::Ambiguous);
    check(&bucket, id(1), NOW_S + 30, Lookup::Tag(GRAY));
}

#[test]
fn a_third_tag_keeps_an_id_ambiguous_after_the_first_two_are_gone() {
    let mut bucket = Bucket::default();
    bucket.hold(id(1), BASELINE, NOW_S + 30, NOW_S);
    bucket.hold(id(1), GRAY, NOW_S + 30, NOW_S);
    bucket.hold(id(1), ALICE, NOW_S + 60, NOW_S);
    check(&bucket, id(1), NOW_S + 59, Lookup::Ambiguous);
    bucket.hold(id(1), ALICE, NOW_S + 90, NOW_S + 50);
    check(&bucket, id(1), NOW_S + 59, Lookup::Ambiguous);
    check(&bucket, id(1), NOW_S + 60, Lookup::Tag(ALICE));
}

#[test]
fn an_expired_id_makes_room() {
    let mut bucket = full(NOW_S + 30);
    assert_eq!(bucket.hold(id(20), ALICE, NOW_S + 99, NOW_S + 30), Held::Kept);
    check(&bucket, id(20), NOW_S + 30, Lookup::Tag(ALICE));
    check(&bucket, id(1), NOW_S + 30, Lookup::Unknown);
    check(&bucket, id(2), NOW_S + 30, Lookup::Tag(GRAY));
}

#[test]
fn a_full_bucket_evicts_the_id_closest_to_its_expiry_which_then_reads_as_ambiguous() {
    let mut bucket = full(NOW_S + 30);
    assert_eq!(bucket.hold(id(20), ALICE, NOW_S + 99, NOW_S), Held::Evicted);
    check(&bucket, id(20), NOW_S, Lookup::Tag(ALICE));
    check(&bucket, id(1), NOW_S + 29, Lookup::Ambiguous);
    check(&bucket, id(1), NOW_S + 30, Lookup::Unknown);
    for kept in 2..=WAYS as u64 {
        check(&bucket, id(kept), NOW_S, Lookup::Tag(GRAY));
    }
}

#[test]
fn an_evicted_id_that_comes_back_with_another_tag_is_ambiguous_while_the_first_lives() {
    let mut bucket = full(NOW_S + 30);
    bucket.hold(id(20), ALICE, NOW_S + 99, NOW_S);
    bucket.hold(id(1), BASELINE, NOW_S + 99, NOW_S);
    check(&bucket, id(1), NOW_S + 29, Lookup::Ambiguous);
    // Its coming back evicted the next id, whose second of life the bits share.
    check(&bucket, id(1), NOW_S + 31, Lookup::Tag(BASELINE));
}

#[test]
fn a_bucket_of_ids_that_live_longer_refuses_and_reads_as_ambiguous() {
    let mut bucket = full(NOW_S + 300);
    assert_eq!(bucket.hold(id(20), ALICE, NOW_S + 35, NOW_S), Held::Refused);
    check(&bucket, id(20), NOW_S + 34, Lookup::Ambiguous);
    check(&bucket, id(20), NOW_S + 35, Lookup::Unknown);
    for kept in 1..=WAYS as u64 {
        check(&bucket, id(kept), NOW_S, Lookup::Tag(GRAY));
    }
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
    for now_s in (NOW_S..NOW_S + 36_000).step_by(3) {
        let flow = next();
        bucket.hold(flow, GRAY, now_s + 35, now_s);
        lost += u32::from(bucket.lookup(flow, now_s) == Lookup::Ambiguous);
    }
    assert!(lost < 12_000 / 20, "{lost} of 12,000 new ids read as ambiguous at 1.5 times the room");
}

#[test]
fn the_end_of_time_does_not_overflow() {
    let mut bucket = Bucket::default();
    let limits = Limits::default();
    let lease = limits.lease(0, u32::MAX - 1);
    assert_eq!(lease, Lease { renew_s: u32::MAX, until_s: u32::MAX });
    bucket.hold(id(1), GRAY, lease.until_s, u32::MAX - 1);
    check(&bucket, id(1), u32::MAX - 1, Lookup::Tag(GRAY));
    check(&bucket, id(1), u32::MAX, Lookup::Unknown);
}

#[track_caller]
fn check_lease(age_s: u32, renew_after_s: u32) {
    let lease = Limits { linger_s: 30 }.lease(NOW_S, NOW_S + age_s);
    assert_eq!(lease.renew_s, NOW_S + age_s + renew_after_s);
    assert_eq!(lease.until_s, lease.renew_s + 30, "a stream that ends just before renewing lingers in full");
}

#[test]
fn a_lease_grows_with_the_age_of_its_stream() {
    check_lease(0, LEASE_S_MIN);
    check_lease(5, 5);
    check_lease(40, 40);
    check_lease(599, 599);
    check_lease(86_400, LEASE_S_MAX);
}

#[test]
fn without_a_linger_there_is_still_time_to_renew() {
    let lease = Limits { linger_s: 0 }.lease(NOW_S, NOW_S);
    assert_eq!(lease.until_s, lease.renew_s + RENEWAL_SLACK_S);
}

#[test]
fn a_clock_that_steps_back_gives_the_shortest_lease() {
    assert_eq!(Limits { linger_s: 30 }.lease(NOW_S, NOW_S - 9).renew_s, NOW_S - 9 + LEASE_S_MIN);
}

#[test]
fn bytes_that_are_no_bucket_of_this_version_are_an_empty_one() {
    let bytes = full(NOW_S + 30).bytes().to_vec();
    for length in 0..bytes.len() {
        assert_eq!(Bucket::read(&bytes[..length]), Bucket::default(), "{length} bytes");
    }
    assert_eq!(Bucket::read(&[&bytes[..], &[0]].concat()), Bucket::default(), "one byte more");
    let mut other = bytes;
    other[0] += 1;
    assert_eq!(Bucket::read(&other), Bucket::default(), "another version");
}
