//! Percentages: stable, disjoint, monotone, fair, independent.

use canary_rules::layers::{self, BUCKETS, Claim};
use canary_rules::name::LaneName;
use proptest::collection::vec;
use proptest::prelude::*;

use super::generators::cases;

fn lane(number: usize) -> LaneName {
    LaneName::new(&format!("lane-{number}")).expect("a name")
}

/// Lanes of one layer, none with any user yet.
fn claims(count: usize) -> Vec<Claim> {
    (0..count).map(|number| Claim { lane: lane(number), share: 0, held: Vec::new() }).collect()
}

proptest! {
    #![proptest_config(cases(24))]

    /// Whatever is done to the shares, no user moves who need not.
    #[test]
    fn users_move_only_where_their_lane_shrinks(steps in vec((0..4_usize, 0..=3_000_u16), 1..10)) {
        let mut claims = claims(4);
        for (which, share) in steps {
            let before = claims.clone();
            claims[which].share = share;
            if layers::allocate("layer", &mut claims).is_err() {
                prop_assert!(claims.iter().map(|claim| u32::from(claim.share)).sum::<u32>() > u32::from(BUCKETS));
                claims = before;
                continue;
            }
            let mut holders = vec![0_u8; usize::from(BUCKETS)];
            for (claim, before) in claims.iter().zip(&before) {
                prop_assert_eq!(claim.held.len(), usize::from(claim.share));
                // Those who stay keep their place, and with it the rank in their cookie.
                let kept = before.held.len().min(claim.held.len());
                prop_assert_eq!(&claim.held[..kept], &before.held[..kept]);
                claim.held.iter().for_each(|bucket| holders[usize::from(*bucket)] += 1);
            }
            prop_assert!(holders.iter().all(|count| *count <= 1), "no user is in two lanes of one layer");
        }
    }

    /// The same shares, reached on any way that only grows, start from the same users.
    #[test]
    fn the_way_to_a_share_does_not_matter_alone(mut steps in vec(0..=BUCKETS, 1..6)) {
        steps.sort_unstable();
        let mut slowly = claims(1);
        for share in &steps {
            slowly[0].share = *share;
            layers::allocate("layer", &mut slowly).expect("room");
        }
        let mut at_once = claims(1);
        at_once[0].share = steps[steps.len() - 1];
        layers::allocate("layer", &mut at_once).expect("room");
        prop_assert_eq!(slowly, at_once);
    }

    #[test]
    fn buckets_are_below_their_number_and_salted(layer in "[a-z]{0,8}", user in vec(any::<u8>(), 0..40)) {
        prop_assert!(layers::bucket(&layer, &user) < BUCKETS);
        prop_assert_eq!(layers::bucket(&layer, &user), layers::bucket(&layer, &user));
    }

    #[test]
    fn what_is_decoded_encodes_to_the_same(text in "[A-Za-z0-9_=-]{0,24}") {
        if let Some(buckets) = layers::decode(&text) {
            prop_assert_eq!(layers::encode(&buckets), text);
        }
    }
}

/// How far counts are from what is expected, in standard deviations of χ².
fn deviation(counts: &[u32], expected: &[f64]) -> f64 {
    let chi: f64 = counts
        .iter()
        .zip(expected)
        .map(|(count, expected)| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    let freedom = counts.len() as f64 - 1.0;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

/// Far beyond what chance does, far below what a skewed hash does.
const DEVIATIONS_MAX: f64 = 5.0;
const USERS: u32 = 200_000;

/// Users as applications number them, and as uids look.
fn users() -> [Box<dyn Fn(u32) -> Vec<u8>>; 3] {
    [
        Box::new(|number| number.to_string().into_bytes()),
        Box::new(|number| format!("user-{number:08}@shop.test").into_bytes()),
        Box::new(|number| format!("{:032x}", u128::from(number) * 0x9E37_79B9_7F4A_7C15).into_bytes()),
    ]
}

#[test]
fn users_fall_evenly() {
    for user in users() {
        let mut counts = [0_u32; 100];
        for number in 0..USERS {
            counts[usize::from(layers::bucket("default", &user(number)) / 100)] += 1;
        }
        let expected = [f64::from(USERS) / 100.0; 100];
        assert!(deviation(&counts, &expected).abs() < DEVIATIONS_MAX, "{counts:?}");
    }
}

#[test]
fn a_split_is_as_large_as_was_asked_for() {
    let mut claims = claims(3);
    for (claim, share) in claims.iter_mut().zip([1, 500, 2_500]) {
        claim.share = share;
    }
    layers::allocate("default", &mut claims).expect("room");
    let mut holder = vec![3; usize::from(BUCKETS)];
    for (number, claim) in claims.iter().enumerate() {
        claim.held.iter().for_each(|bucket| holder[usize::from(*bucket)] = number);
    }
    let user = &users()[1];
    let mut counts = [0_u32; 4];
    for number in 0..USERS {
        counts[holder[usize::from(layers::bucket("default", &user(number)))]] += 1;
    }
    let expected = [1, 500, 2_500, 6_999].map(|share| f64::from(USERS) * f64::from(share) / 10_000.0);
    assert!(deviation(&counts, &expected).abs() < DEVIATIONS_MAX, "{counts:?} for {expected:?}");
}

/// Being in a lane of one layer says nothing of another layer.
#[test]
fn layers_are_independent() {
    let user = &users()[0];
    for other in ["default2", "checkout", "", "defaul"] {
        let mut counts = [0_u32; 16];
        for number in 0..USERS {
            let user = user(number);
            let quarter = |layer| usize::from(layers::bucket(layer, &user) / 2_500);
            counts[quarter("default") * 4 + quarter(other)] += 1;
        }
        let expected = [f64::from(USERS) / 16.0; 16];
        assert!(deviation(&counts, &expected).abs() < DEVIATIONS_MAX, "{other}: {counts:?}");
    }
}

/// The first percents of two lanes, each alone in the layer, are different users.
#[test]
fn lanes_are_independent() {
    let first = |number: usize| {
        let mut claims = [Claim { lane: lane(number), share: 1_000, held: Vec::new() }];
        layers::allocate("default", &mut claims).expect("room");
        let [claim] = claims;
        claim.held
    };
    let held: Vec<Vec<u16>> = (0..6).map(first).collect();
    for (index, one) in held.iter().enumerate() {
        for other in held.iter().skip(index + 1) {
            let shared = one.iter().filter(|bucket| other.contains(bucket)).count();
            // 100 expected, with a deviation of 9.
            assert!((55..145).contains(&shared), "{shared} of 1,000 shared");
        }
    }
}

/// One step more takes in one user in ten thousand, and lets nobody go.
#[test]
fn each_step_is_a_hundredth_of_a_percent() {
    let mut claims = claims(1);
    let mut before: Vec<u16> = Vec::new();
    for share in 0..=200 {
        claims[0].share = share;
        layers::allocate("default", &mut claims).expect("room");
        assert_eq!(claims[0].held.len(), usize::from(share));
        assert_eq!(claims[0].held[..before.len()], before);
        before = claims[0].held.clone();
    }
}
