//! In which order things are done, whatever happens: what a lane leads to is there before anybody is led there, and stays
//! until nobody is any more.

use super::*;

/// The share that a lane has, and the pods of a copy, after each turn until it rests.
fn watched(cluster: &mut Cluster, mut see: impl FnMut(&Cluster)) {
    for _ in 0..60 {
        let before =
            (cluster.release.status.clone(), cluster.world.clone().deployments, cluster.world.lanes.clone());
        cluster.turn(usize::MAX);
        see(cluster);
        cluster.settle();
        let after =
            (cluster.release.status.clone(), cluster.world.clone().deployments, cluster.world.lanes.clone());
        if before == after {
            return;
        }
    }
    panic!("it does not come to rest: {:?}", cluster.release.status);
}

fn pods(cluster: &Cluster, name: &str) -> u32 {
    cluster.world.deployments.get(&of(name)).map_or(0, replicas)
}

#[test]
fn no_pod_of_a_lane_goes_while_a_proxy_may_lead_there() {
    for intent in [Intent::Abort, Intent::Forward] {
        let mut cluster = Cluster::new(release(&["cart", "stock"], &[50.0]), 4);
        cluster.run();
        cluster.release.spec.intent = intent;
        cluster.release.spec.passed = 1;
        let mut was_there = 0;
        watched(&mut cluster, |cluster| {
            if cluster.world.lanes.contains_key(LANE) {
                was_there += 1;
                assert_eq!((pods(cluster, "cart-r-1"), pods(cluster, "stock-r-1")), (2, 2), "{intent:?}");
            }
        });
        assert!(was_there > 1, "{intent:?}: it is seen with its lane {was_there} times");
    }
}

#[test]
fn a_share_that_becomes_larger_again_has_its_pods_first() {
    let mut cluster = Cluster::new(release(&["cart"], &[5.0, 100.0, 5.0, 70.0]), 10);
    let mut shares = Vec::new();
    for passed in 1..=4 {
        cluster.run();
        let share = cluster.share().expect("a lane");
        let copy = &cluster.world.deployments[&of("cart-r-1")];
        assert!(workload::available(copy) >= needed(share, 10), "{share} %");
        shares.push(share);
        cluster.release.spec.passed = passed;
    }
    assert_eq!(shares, [5.0, 100.0, 5.0, 70.0]);
}

#[test]
fn who_is_in_a_lane_by_rule_or_cookie_is_taken_back_by_an_abort_too() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    cluster.run();
    cluster.release.spec.intent = Intent::Abort;
    cluster.turn(usize::MAX);
    cluster.turn(usize::MAX);
    // A lane that goes puts nobody in, whatever their cookie says: the copies are still all there.
    assert_eq!(cluster.world.lanes[LANE]["metadata"]["deletionTimestamp"], "now");
    assert_eq!(pods(&cluster, "cart-r-1"), 1);
    cluster.run();
    cluster.is_over(1);
}

#[test]
fn a_rule_and_a_share_hold_at_the_same_time() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    cluster.run();
    let rules = cluster.world.lanes[LANE]["spec"]["rules"].as_array().expect("rules").clone();
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert_eq!(rules[0]["when"]["cookie"]["name"], "gray");
    assert_eq!(rules[1]["percent"], 10.0);
}

#[test]
fn a_lane_is_known_to_every_proxy_before_it_has_pods_or_users() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    // No proxy hears of anything.
    for _ in 0..20 {
        cluster.turn(usize::MAX);
        for deployment in 0..cluster.world.deployments.len() {
            cluster.others(deployment);
        }
    }
    assert_eq!(
        (cluster.phase(), cluster.share(), pods(&cluster, "cart-r-1")),
        (Phase::Preparing, Some(0.0), 0)
    );
    assert!(
        cluster.world.lanes[LANE]["spec"]["rules"].as_array().is_some_and(Vec::is_empty),
        "nobody by rule either"
    );
}

#[test]
fn a_release_that_is_over_claims_nothing_that_others_write() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    cluster.release.spec.passed = 1;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Completed);
    // The next version comes by somebody's own tool, and is nobody's business here.
    let theirs = [("app".to_owned(), "cart:3".to_owned())].into();
    cluster.write(&Action::SetImages { deployment: of("cart"), images: theirs });
    cluster.run();
    assert_eq!((cluster.phase(), cluster.trouble()), (Phase::Completed, String::new()));
    cluster.is_over(3);
    cluster.release.spec.intent = Intent::Undo;
    cluster.run();
    cluster.is_over(3);
}
