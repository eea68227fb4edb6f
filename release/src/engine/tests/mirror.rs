//! Steps that copy requests to the new versions.

use super::*;

fn mirroring(steps: Value) -> Release {
    let mut wanted = release(&["cart"], &[]);
    wanted.spec.steps = serde_json::from_value(steps).expect("steps");
    wanted
}

impl Cluster {
    fn mirror(&self) -> Option<f64> {
        self.world.lanes[LANE]["spec"]["mirror"].as_f64()
    }
}

#[test]
fn a_step_copies_and_the_next_one_does_not() {
    let mut cluster = Cluster::new(mirroring(json!([{"mirror": 50, "share": 0}, {"share": 1}])), 4);
    cluster.run();
    assert_eq!((cluster.share(), cluster.mirror()), (Some(0.0), Some(50.0)), "{}", cluster.trouble());
    assert_eq!(replicas(&cluster.world.deployments[&of("cart-r-1")]), 2, "half the requests of four pods");
    let history = &cluster.release.status.as_ref().expect("a journal").history;
    let told = "step 1 of 2: 0 % of users, copies of 50 % of the other requests";
    assert!(history.iter().any(|entry| entry.what == told), "{history:?}");
    cluster.release.spec.passed = 1;
    cluster.run();
    assert_eq!((cluster.share(), cluster.mirror()), (Some(1.0), None), "{}", cluster.trouble());
    cluster.release.spec.passed = 2;
    cluster.run();
    cluster.is_over(2);
}

#[test]
fn nobody_gets_copies_of_what_was_aborted() {
    let mut cluster = Cluster::new(mirroring(json!([{"mirror": 100}])), 2);
    cluster.run();
    assert_eq!(cluster.mirror(), Some(100.0));
    cluster.release.spec.intent = Intent::Abort;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Aborted);
    cluster.is_over(1);
}

#[test]
fn copies_count_as_what_pods_have_to_serve() {
    let mut wanted = mirroring(json!([{"share": 20, "mirror": 50}, {"share": 30}]));
    let planned = crate::plan(&wanted, &Cluster::new(wanted.clone(), 10).world, None);
    assert_eq!(planned.steps[0].pods[0].1, 6, "20 % and half of the other 80 %");
    wanted.spec.workloads[0].replicas = Some(5);
    let mut cluster = Cluster::new(wanted, 10);
    cluster.run();
    assert!(cluster.trouble().starts_with("Capacity: "), "{}", cluster.trouble());
}

#[test]
fn what_is_no_percentage_is_refused_before_anything_is_done() {
    let mut cluster = Cluster::new(mirroring(json!([{"mirror": 0.005}])), 1);
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Pending);
    assert!(cluster.trouble().contains("mirror: 0.005 is not a percentage"), "{}", cluster.trouble());
}
