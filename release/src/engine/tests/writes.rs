//! What a release costs the API server, in exact counts.

use super::*;

/// Writes of the journal, of the lane, and of Deployments, until it rests.
fn writes(cluster: &mut Cluster) -> [usize; 3] {
    let mut counted = [0; 3];
    for _ in 0..60 {
        let next = next(&cluster.release, &cluster.world, None, cluster.now);
        let is_journalled = Some(&next.status) != cluster.release.status.as_ref();
        if !is_journalled && next.actions.is_empty() {
            return counted;
        }
        counted[0] += usize::from(is_journalled);
        for action in &next.actions {
            let is_lane = matches!(action, Action::ApplyLane { .. } | Action::DeleteLane { .. });
            counted[if is_lane { 1 } else { 2 }] += 1;
        }
        cluster.turn(usize::MAX);
        cluster.settle();
    }
    panic!("it does not come to rest: {:?}", cluster.release.status);
}

#[test]
fn a_step_writes_each_workload_once_and_the_lane_once_however_large_the_mesh_is() {
    for workloads in [1, 20, 200] {
        let names: Vec<String> = (0..workloads).map(|number| format!("app-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut cluster = Cluster::new(release(&names, &[10.0, 50.0, 100.0]), 4);
        for number in 0..300 {
            let other = cluster.world.deployments[&of("app-0")].clone();
            cluster.world.deployments.insert(of(&format!("other-{number}")), other);
        }
        // A copy each, then their pods; the lane without and with its users.
        assert_eq!(writes(&mut cluster), [5, 2, 2 * workloads], "to the first step");
        for step in 1..3 {
            cluster.release.spec.passed = step;
            assert_eq!(writes(&mut cluster), [4, 1, workloads], "to step {step}");
        }
        cluster.release.spec.passed = 3;
        assert_eq!(writes(&mut cluster), [4, 1, 2 * workloads], "to the end: images, and the copies go");
        cluster.release.spec.intent = Intent::Undo;
        assert_eq!(writes(&mut cluster), [4, 0, workloads], "back");
    }
}
