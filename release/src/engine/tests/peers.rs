//! What users of other tools have reported, and does not happen here. Each is named by the report.

use super::*;

/// What was seen after each single write.
struct Seen {
    share: Option<f64>,
    /// Pods of cart's copy that are available.
    available: u32,
    /// The images of cart, and of its copy if there is one.
    images: (String, Option<String>),
    journal: Status,
}

fn image(cluster: &Cluster, name: &str) -> Option<String> {
    let found = cluster.world.deployments.get(&of(name))?;
    found["spec"]["template"]["spec"]["containers"][0]["image"].as_str().map(str::to_owned)
}

fn seen(cluster: &Cluster) -> Seen {
    let copy = cluster.world.deployments.get(&of("cart-r-1"));
    Seen {
        share: cluster.share(),
        available: copy.map_or(0, workload::available),
        images: (image(cluster, "cart").expect("a Deployment"), image(cluster, "cart-r-1")),
        journal: cluster.release.status.clone().unwrap_or_default(),
    }
}

/// Every state on the way to where nothing more happens, by a controller that dies after each write.
fn write_by_write(cluster: &mut Cluster) -> Vec<Seen> {
    let mut all = vec![seen(cluster)];
    for _ in 0..200 {
        let before = cluster.is_like();
        cluster.turn(1);
        all.push(seen(cluster));
        cluster.settle();
        all.push(seen(cluster));
        if before == cluster.is_like() {
            return all;
        }
    }
    panic!("it does not come to rest: {:?}", cluster.release.status);
}

fn at_half() -> Cluster {
    let mut cluster = Cluster::new(release(&["cart", "stock"], &[5.0, 50.0]), 10);
    cluster.release.spec.passed = 1;
    cluster.run();
    assert_eq!(cluster.share(), Some(50.0));
    cluster
}

/// A subset's pods changed milliseconds before its weight was zero: 503.
#[test]
fn argo_rollouts_4564_nobody_is_led_to_pods_that_are_not_there() {
    let mut cluster = at_half();
    cluster.release.spec.intent = Intent::Abort;
    let all = write_by_write(&mut cluster);
    assert_eq!(cluster.phase(), Phase::Aborted);
    for seen in all.iter().filter(|seen| seen.share.is_some()) {
        assert_eq!((seen.available, seen.images.1.as_deref()), (5, Some("cart:2")), "{:?}", seen.journal);
    }
}

/// A rollback sent 70 % to a canary that was made for 5 %.
#[test]
fn argo_rollouts_4612_on_the_way_back_no_share_grows_beyond_the_pods() {
    let mut cluster = Cluster::new(release(&["cart"], &[5.0, 70.0]), 10);
    cluster.run();
    cluster.release.spec.intent = Intent::Abort;
    for seen in write_by_write(&mut cluster) {
        let share = seen.share.unwrap_or_default();
        assert!(share <= 5.0 && f64::from(seen.available) * 10.0 >= share, "{share} % of {}", seen.available);
    }
}

/// A version that came before the one under way was through led everybody to pods that were not ready.
#[test]
fn argo_rollouts_4775_another_version_waits_until_the_first_is_over() {
    let first = at_half().release;
    let mut second = release(&["cart"], &[10.0]);
    second.metadata.name = serde_json::from_value(json!("r-2")).expect("a name");
    let taken = holder(&second, &[first, second.clone()]);
    assert_eq!(taken.as_deref(), Some("Deployment shop/cart is in release r-1"));
}

/// An abort left the route of users by cookie at the canary.
#[test]
fn argo_rollouts_1838_an_abort_takes_chosen_users_back_too() {
    let mut cluster = at_half();
    let rules = |cluster: &Cluster| {
        let rules = cluster.world.lanes.get(LANE).map(|lane| lane["spec"]["rules"].clone());
        rules.and_then(|rules| rules.as_array().map(Vec::len)).unwrap_or_default()
    };
    assert_eq!(rules(&cluster), 2, "chosen users, and half of all");
    cluster.release.spec.intent = Intent::Abort;
    cluster.run();
    assert_eq!((cluster.phase(), rules(&cluster)), (Phase::Aborted, 0));
}

/// After a promotion there was no way back but another release.
#[test]
fn flagger_453_after_a_promotion_everybody_goes_back_before_any_pod_starts() {
    let mut wanted = release(&["cart", "stock"], &[50.0]);
    wanted.spec.keep_warm_seconds = Some(600);
    wanted.spec.passed = 1;
    let mut cluster = Cluster::new(wanted, 4);
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Warm);
    cluster.release.spec.intent = Intent::Undo;
    let all = write_by_write(&mut cluster);
    assert_eq!(cluster.phase(), Phase::Undone);
    let back = all.iter().find(|seen| seen.share == Some(100.0)).expect("everybody goes back");
    assert_eq!((back.images.0.as_str(), back.available), ("cart:2", 4), "to pods that were there before");
    // From there on until the Deployments have rolled everybody stays.
    let after = all.iter().skip_while(|seen| seen.share != Some(100.0));
    for seen in after.take_while(|seen| seen.journal.phase != Phase::Ending) {
        assert_eq!(seen.share, Some(100.0), "{:?}", seen.journal);
    }
}

/// Sticky users only ever moved to the canary, until all were there.
#[test]
fn flagger_1532_a_share_stays_what_it_is_however_long_it_is_held() {
    let mut cluster = at_half();
    let lane = cluster.world.lanes[LANE].clone();
    for _ in 0..100 {
        cluster.now += 3600;
        cluster.run();
    }
    assert_eq!(cluster.world.lanes[LANE], lane, "nothing is written to it");
}

/// A step had matches or a weight, never both.
#[test]
fn openkruise_a_step_has_chosen_users_and_a_share_of_all_others() {
    let cluster = at_half();
    let rules = &cluster.world.lanes[LANE]["spec"]["rules"];
    assert_eq!(rules[0]["when"]["cookie"]["name"], "gray");
    assert_eq!(rules[0]["percent"], Value::Null, "all of the chosen");
    assert_eq!(rules[1]["percent"], 50.0);
}
