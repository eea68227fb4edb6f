//! Several people at once who want the same lane.

use crate::cluster::Ran;
use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::shop::{GRAY_SERVICES, Shop};

/// What each of two people says of the lane beside the cookie.
const ALICE: &[&str] = &[];
const BOB: &[&str] = &["--header", "x-dev=bob"];

async fn enable(shop: &Shop, more: &[&str]) -> Ran {
    shop.cluster().canaryctl_beside(&[&["enable", "--cookie", "gray=1"], more].concat()).await
}

/// Asserts that the mesh is as its Lanes say.
#[track_caller]
fn is_as_planned(shop: &Shop) {
    let diff = shop.cluster().canaryctl(&["diff"]);
    assert_eq!(diff.code, 0, "{diff}");
}

pub(crate) async fn people(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let mut said = Vec::new();
    for more in [ALICE, BOB] {
        let printed = enable(shop, &[more, &["--dry-run=client", "-o", "json"]].concat()).await.ok();
        said.push(printed.json()["spec"]["rules"].clone());
    }
    let load = Load::start(shop, Rules::Off);
    for _ in 0..3 {
        load.rules(Rules::Moving);
        let (alice, bob) = tokio::join!(enable(shop, ALICE), enable(shop, BOB));
        load.rules(Rules::On);
        alice.ok();
        bob.ok();
        // All that one of them said, and nothing of the other.
        let rules = shop.cluster().get(&["lane", "gray"])["spec"]["rules"].clone();
        assert!(said.contains(&rules), "{rules} is none of {said:?}");
        is_as_planned(shop);
        load.more(100).await;
        load.rules(Rules::Moving);
        let disable = || shop.cluster().canaryctl_beside(&["disable", "gray"]);
        let (first, second) = tokio::join!(disable(), disable());
        load.rules(Rules::Off);
        for ran in [first, second] {
            assert!(ran.code == 0 || ran.stderr.contains("there is no lane gray"), "{ran}");
        }
        load.more(50).await;
    }
    load.end().await.clean(450);
    lane_pods_saw_only(shop, "gray", "gray", 100);
    shop.remove("gray");
}
