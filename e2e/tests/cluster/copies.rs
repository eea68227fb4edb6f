//! A release whose first step copies requests to the new versions: nobody sees them, and they see everybody.

use std::time::Duration;

use canary_localmesh::Protocol;
use canary_localmesh::app::Access;
use serde_json::Value;

use crate::flows::Caller;
use crate::judge::Rules;
use crate::load::Load;
use crate::releases::{LANE, forget, is_over, release, start_of};
use crate::shop::Shop;

/// How long a copy may take to be logged.
const LOGGED_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until nothing is left of a lane.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);
/// Flows of one caller whose copies are counted.
const COUNTED: usize = 100;

pub(crate) async fn of_a_release(shop: &Shop) {
    shop.installed();
    // What tests before this one have left is collected meanwhile.
    let before = shop.cluster().until("no lane is left", COLLECTED_WITHIN, || {
        let routes = routes(shop);
        (!format!("{routes:?}").contains("canary-")).then_some(routes)
    });
    let load = Load::of_lane(shop, LANE, Rules::Off);
    load.more(50).await;
    let started = start_of(shop, LANE.services, &["--mirror", "100", "--steps", "100"]).await.ok();
    let says = "step 1 of 2: by rule only, copies of 100 % of the other requests";
    assert!(started.stdout.contains(says), "{started}");

    let caller = Caller::new(shop, Protocol::Http1);
    for _ in 0..COUNTED {
        let answer = caller.send_to("/?copied=yes", &[]).await;
        assert_eq!((answer.failure.as_deref(), answer.served_by(LANE.services, LANE.end)), (None, 0));
    }
    // What stock's copies call goes to the baseline, by the id that they hand on, and is copied once more.
    for (service, want) in [("stock", COUNTED), ("price", 2 * COUNTED)] {
        shop.cluster().until(&format!("{want} copies came to {service}"), LOGGED_WITHIN, || {
            let count = copies(shop, service);
            assert!(count <= want, "{count} copies of {want} came to {service}");
            (count == want).then_some(())
        });
    }
    load.more(200).await;

    // The next step says nothing of copies.
    load.rules(Rules::Spreading);
    release(shop, &["promote"]).await.ok();
    load.rules(Rules::Everybody);
    let lane = shop.cluster().get(&["lane", "r"]);
    assert_eq!(lane["spec"]["mirror"], Value::Null, "{lane:#}");
    load.more(50).await;
    load.rules(Rules::Spreading);
    release(shop, &["abort"]).await.ok();
    load.rules(Rules::Off);
    load.more(50).await;
    load.end().await.clean(400);
    is_over(shop, "");
    shop.cluster()
        .until("the routes are as before", COLLECTED_WITHIN, || (routes(shop) == before).then_some(()));
    forget(shop);
}

/// How many of the counted flows' requests came to the new version of a service.
#[track_caller]
fn copies(shop: &Shop, service: &str) -> usize {
    let is_it = |access: &&Access| {
        access.service.split('.').next() == Some(service) && access.target.contains("copied=yes")
    };
    shop.access_logs_of("canaryctl.io/lane=r").iter().filter(is_it).count()
}

/// What routes there are in the shop's namespace, by kind and name.
fn routes(shop: &Shop) -> Vec<(Value, Value, Value)> {
    let found = shop.cluster().get(&["-n", shop.namespace(), "virtualservices,destinationrules"]);
    let items = found["items"].as_array().expect("a list");
    let entry = |item: &Value| (item["kind"].clone(), item["metadata"]["name"].clone(), item["spec"].clone());
    items.iter().map(entry).collect()
}
