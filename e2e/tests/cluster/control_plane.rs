//! The control plane goes away under lanes, and comes back.

use std::time::Duration;

use canary_lab::Restartable;

use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::shop::{GRAY_SERVICES, Shop};

/// How long it stays away: longer than clients retry by themselves.
const AWAY: Duration = Duration::from_secs(4);

pub(crate) async fn restarts(shop: &Shop) {
    let Some(lab) = shop.cluster().lab() else {
        eprintln!("nothing is restarted: this is no lab of this machine");
        return;
    };
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let load = Load::start(shop, Rules::Off);
    for (what, after) in [(Restartable::ApiServer, 0), (Restartable::Etcd, 300)] {
        let restart = || {
            let lab = lab.clone();
            tokio::task::spawn_blocking(move || lab.restart(what, AWAY).expect("it comes back"))
        };
        load.rules(Rules::Moving);
        let args = ["enable", "--cookie", "gray=1", "--timeout", "180s"];
        let enabling = shop.cluster().canaryctl_beside(&args);
        let restarting = async {
            // At another moment each time.
            tokio::time::sleep(Duration::from_millis(after)).await;
            restart().await.expect("no panic");
        };
        let (enabled, ()) = tokio::join!(enabling, restarting);
        if enabled.code != 0 {
            // It could not be asked for: the command says so, and a second one goes on from there.
            assert!(enabled.stderr.contains("error: cannot"), "{enabled}");
            shop.cluster().canaryctl_beside(&args).await.ok();
        }
        load.rules(Rules::On);
        load.more(60).await;
        // Nobody notices while nothing is to change.
        restart().await.expect("no panic");
        load.more(60).await;
        load.across(shop, &["disable", "--timeout", "180s"], Rules::Off, 60).await;
    }
    load.end().await.clean(400);
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}
