//! Two controllers that both believe to lead.

use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::faulty_api::{Faults, FaultyApi};
use crate::interrupted::{Alone, Controller};
use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::shop::{GRAY_SERVICES, Shop};

/// A Lease, and some.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(40);

/// A controller and its own way to the API server, which tells what it writes.
struct Rival {
    name: &'static str,
    api: FaultyApi,
    process: Controller,
}

impl Rival {
    async fn start(name: &'static str, cluster: &Cluster) -> Self {
        let api = FaultyApi::start(cluster, Faults::None).await;
        let process = Controller::named(name, cluster, &api);
        Self { name, api, process }
    }

    #[track_caller]
    fn leads(&self, cluster: &Cluster) {
        cluster.until(&format!("{} leads", self.name), TAKEN_OVER_WITHIN, || {
            let lease = ["-n", "canaryctl-system", "get", "lease", "canaryctl-controller"];
            let holder = [lease.as_slice(), &["-o", "jsonpath={.spec.holderIdentity}"]].concat();
            (cluster.kubectl(&holder).stdout == self.name).then_some(())
        });
    }
}

/// The leader stands still in the middle of a lane's way, longer than its Lease lasts; another finishes. Once it goes on, it
/// writes nothing more.
pub(crate) async fn woken(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let cluster = shop.cluster();
    let alone = Alone::in_charge(cluster);
    let mut leader = Rival::start("rival-0", cluster).await;
    tokio::task::block_in_place(|| leader.leads(cluster));
    let load = Load::start(shop, Rules::Off);
    for (name, verb, after) in [
        ("rival-1", &["enable", "--cookie", "gray=1", "--timeout", "120s"][..], Rules::On),
        ("rival-2", &["disable", "--timeout", "120s"], Rules::Off),
    ] {
        let mut next = Rival::start(name, cluster).await;
        load.rules(Rules::Moving);
        let before = leader.api.taken().len();
        let freezing = async {
            while leader.api.taken().len() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            leader.process.signal(Signal::STOP);
        };
        let (ran, ()) = tokio::join!(cluster.canaryctl_beside(verb), freezing);
        ran.ok();
        load.rules(after);
        tokio::task::block_in_place(|| next.leads(cluster));
        let written = leader.api.taken();
        leader.process.signal(Signal::CONT);
        tokio::task::block_in_place(|| {
            cluster.until("who was deposed ends", TAKEN_OVER_WITHIN, || {
                leader.process.has_ended().then_some(())
            });
        });
        let more = leader.api.taken().split_off(written.len());
        assert!(more.is_empty(), "{} writes although {name} leads: {more:?}", leader.name);
        assert!(!next.api.taken().is_empty(), "{name} had nothing to finish");
        load.more(60).await;
        std::mem::swap(&mut leader, &mut next);
    }
    load.end().await.clean(150);
    drop((leader, alone));
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}
