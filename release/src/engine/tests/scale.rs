//! Steps that say how large the lane is.

use super::*;

fn scaling(steps: Value) -> Release {
    let mut wanted = release(&["cart"], &[]);
    wanted.spec.steps = serde_json::from_value(steps).expect("steps");
    wanted
}

fn pods(cluster: &Cluster) -> u32 {
    replicas(&cluster.world.deployments[&of("cart-r-1")])
}

#[test]
fn the_lane_is_as_large_as_a_step_says_before_anybody_is_in_it_and_never_smaller_than_its_share() {
    let steps = json!([{"scale": 50, "share": 0}, {"share": 1}, {"scale": 10, "share": 80}]);
    let wanted = scaling(steps);
    let planned = crate::plan(&wanted, &Cluster::new(wanted.clone(), 10).world, None);
    let most: Vec<u32> = planned.steps.iter().map(|step| step.pods[0].1).collect();
    assert_eq!(most, [5, 5, 8]);
    let mut cluster = Cluster::new(wanted, 10);
    cluster.run();
    assert_eq!((cluster.share(), pods(&cluster)), (Some(0.0), 5), "{}", cluster.trouble());
    for (passed, share, want) in [(1, 1.0, 5), (2, 80.0, 8)] {
        cluster.release.spec.passed = passed;
        cluster.run();
        assert_eq!((cluster.share(), pods(&cluster)), (Some(share), want), "{}", cluster.trouble());
    }
    cluster.release.spec.passed = 3;
    cluster.run();
    cluster.is_over(2);
}

#[test]
fn a_scale_beside_a_number_of_pods_is_refused_before_anything_is_done() {
    let mut wanted = scaling(json!([{"scale": 50}]));
    wanted.spec.workloads[0].replicas = Some(3);
    let mut cluster = Cluster::new(wanted, 4);
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Pending);
    let says = "step 1: it has a scale, and shop/cart has replicas: leave one of them out";
    assert!(cluster.trouble().contains(says), "{}", cluster.trouble());
    let mut cluster = Cluster::new(scaling(json!([{"scale": 101}])), 4);
    cluster.run();
    assert!(cluster.trouble().contains("scale: 101 is not a percentage"), "{}", cluster.trouble());
}
