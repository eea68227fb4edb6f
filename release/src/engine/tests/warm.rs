//! Releases whose versions from before are kept for a while.

use super::*;

/// Through, with what was before kept warm for a minute.
fn warm() -> Cluster {
    let mut wanted = release(&["cart", "stock"], &[10.0]);
    wanted.spec.keep_warm_seconds = Some(60);
    wanted.spec.passed = 1;
    wanted.spec.workloads[0].replicas = Some(1);
    let mut cluster = Cluster::new(wanted, 3);
    cluster.run();
    assert_eq!((cluster.phase(), cluster.share()), (Phase::Warm, Some(0.0)), "{}", cluster.trouble());
    cluster
}

fn image(cluster: &Cluster, name: &str) -> Value {
    cluster.world.deployments[&of(name)]["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

#[test]
fn everybody_goes_back_at_once_while_what_was_before_is_warm() {
    let mut cluster = warm();
    assert_eq!((image(&cluster, "cart"), image(&cluster, "cart-r-1")), (json!("cart:2"), json!("cart:1")));
    assert_eq!(replicas(&cluster.world.deployments[&of("cart-r-1")]), 3, "as many as the Deployment has");
    cluster.release.spec.intent = Intent::Undo;
    cluster.turn(usize::MAX);
    cluster.turn(usize::MAX);
    // No pod had to start for it.
    assert_eq!((cluster.share(), image(&cluster, "cart")), (Some(100.0), json!("cart:2")));
    cluster.turn(usize::MAX);
    assert_eq!(image(&cluster, "cart"), "cart:2", "before every proxy has the lane nothing is taken away");
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Undone, "{}", cluster.trouble());
    cluster.is_over(1);
}

#[test]
fn what_is_warm_goes_when_its_time_is_over() {
    let mut cluster = warm();
    let next = next(&cluster.release, &cluster.world, None, cluster.now + 20);
    assert_eq!(next.again_in_s, Some(40));
    cluster.now += 60;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Completed);
    cluster.is_over(2);
    cluster.release.spec.intent = Intent::Undo;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Undone);
    cluster.is_over(1);
}

#[test]
fn what_is_warm_goes_when_it_is_of_no_use_any_more() {
    let mut changed = warm();
    let theirs = [("app".to_owned(), "cart:3".to_owned())].into();
    changed.write(&Action::SetImages { deployment: of("cart"), images: theirs });
    changed.run();
    assert_eq!(changed.phase(), Phase::Completed);
    assert_eq!((image(&changed, "cart"), changed.world.deployments.len()), (json!("cart:3"), 2));
    let mut lost = warm();
    lost.world.lanes.clear();
    lost.run();
    assert_eq!(lost.phase(), Phase::Completed);
    lost.is_over(2);
    let mut deleted = warm();
    deleted.release.metadata.deletion_timestamp = Some("now".into());
    deleted.run();
    assert_eq!(deleted.phase(), Phase::Completed);
    deleted.is_over(2);
}

#[test]
fn undoing_waits_for_nothing_that_is_not_warm() {
    let mut cold = warm();
    cold.change(&of("cart-r-1"), |spec| spec["replicas"] = 9.into());
    cold.release.spec.intent = Intent::Undo;
    cold.turn(usize::MAX);
    assert_eq!(cold.phase(), Phase::Undoing);
    cold.run();
    assert_eq!(cold.phase(), Phase::Undone);
    cold.is_over(1);
    // Others have shares that leave no room for everybody.
    let mut crowded = warm();
    let other = json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": "zeta"},
        "spec": {"rules": [{"percent": 60}]},
    });
    crowded.world.lanes.insert("zeta".into(), other);
    crowded.release.spec.intent = Intent::Undo;
    crowded.run();
    assert_eq!(crowded.phase(), Phase::Undone, "{}", crowded.trouble());
}

#[test]
fn what_is_kept_warm_keeps_no_other_release_from_its_workloads() {
    let mut first = warm();
    let mut second = release(&["cart"], &[]);
    second.metadata.name = LaneName::new("r-2").expect("a name");
    let mut all = [first.release.clone(), second.clone()];
    assert_eq!(holder(&second, &all), None);
    all[1].status = Some(Status { phase: Phase::Stepping, ..Status::default() });
    let taken = holder(&first.release, &all);
    assert_eq!(taken.as_deref(), Some("Deployment shop/cart is in release r-2"));
    first.release.spec.intent = Intent::Undo;
    let next = next(&first.release, &first.world, taken.as_deref(), first.now);
    assert_eq!(next.status.trouble.expect("it is taken").reason, "Taken");
}
