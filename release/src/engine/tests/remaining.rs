//! What is still to change, and that it is what changes.

use super::*;
use crate::{By, Remaining, remaining};

fn lines(cluster: &Cluster) -> Vec<String> {
    remaining(&cluster.release, &cluster.world).iter().map(Remaining::to_string).collect()
}

#[test]
fn what_is_still_to_change_becomes_less_until_nothing_is() {
    let mut wanted = release(&["cart"], &[10.0, 50.0]);
    wanted.spec.keep_warm_seconds = Some(60);
    let mut cluster = Cluster::new(wanted, 4);
    assert_eq!(
        lines(&cluster),
        [
            "Deployment shop/cart   app: cart:1 → cart:2",
            "Deployment shop/cart-r-1   made, up to 2 pods, then deleted",
            "Lane r-1   made, up to 50 % of users, then deleted",
        ]
    );
    cluster.run();
    assert_eq!(
        lines(&cluster)[1..],
        [
            "Deployment shop/cart-r-1   1 → 2 pods, then deleted",
            "Lane r-1   10 → 50 % of users, then deleted"
        ]
    );
    cluster.release.spec.passed = 1;
    cluster.run();
    assert_eq!(
        lines(&cluster),
        [
            "Deployment shop/cart   app: cart:1 → cart:2",
            "Deployment shop/cart-r-1   deleted",
            "Lane r-1   deleted",
        ]
    );
    cluster.release.spec.passed = 2;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Warm);
    assert_eq!(lines(&cluster), ["Deployment shop/cart-r-1   deleted", "Lane r-1   deleted"]);
    cluster.now += 60;
    cluster.run();
    assert_eq!((cluster.phase(), lines(&cluster)), (Phase::Completed, Vec::new()));
    cluster.release.spec.intent = Intent::Undo;
    assert_eq!(lines(&cluster), ["Deployment shop/cart   app: cart:2 → cart:1"]);
    cluster.run();
    assert_eq!(lines(&cluster), [""; 0]);
}

#[test]
fn what_is_taken_back_changes_no_image_that_was_never_set() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 4);
    cluster.run();
    cluster.release.spec.intent = Intent::Abort;
    assert_eq!(lines(&cluster), ["Deployment shop/cart-r-1   deleted", "Lane r-1   deleted"]);
    cluster.run();
    assert_eq!(lines(&cluster), [""; 0]);
}

#[test]
fn shares_of_requests_keep_nobody_and_share_no_layer_with_users() {
    let mut wanted = release(&["cart"], &[0.01, 100.0]);
    wanted.spec.by = By::Requests;
    let mut cluster = Cluster::new(wanted, 4);
    // Somebody else has all users.
    let other = json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": "zeta"},
        "spec": {"rules": [{"percent": 100}], "key": [{"header": "x-user"}]},
    });
    cluster.world.lanes.insert("zeta".into(), other);
    cluster.run();
    let spec = cluster.world.lanes[LANE]["spec"].clone();
    assert_eq!(
        spec["rules"][1],
        json!({"name": "share", "percent": 0.01, "sticky": false}),
        "{}",
        cluster.trouble()
    );
    assert_eq!((&spec["key"], &spec["layer"]), (&json!([{"header": "x-request-id"}]), &json!("requests")));
    assert_eq!(lines(&cluster)[2], "Lane r-1   0.01 → 100 % of requests, then deleted");
    cluster.release.spec.passed = 2;
    cluster.run();
    cluster.world.lanes.remove("zeta");
    cluster.is_over(2);
    check_trouble(
        |cluster| {
            cluster.release.spec.by = By::Requests;
            cluster.release.spec.key = vec![json!({"header": "x-user"})];
        },
        "leave out `key`",
    );
}
