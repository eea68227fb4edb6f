//! A controller whose requests do not all come through.

use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Cluster;
use crate::faulty_api::{Faults, FaultyApi};
use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::shop::{GRAY_SERVICES, Shop};

/// Which writes a controller dies at: every so many. `CANARY_EVERY_WRITE=1` takes them all, which takes minutes.
const STRIDE: usize = 6;
/// More writes than a lane can take: a controller that goes on writing would never be seen to end.
const WRITES_MAX: usize = 120;
const VERB_TIMEOUT: &str = "60s";

pub(crate) async fn refused(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let alone = Alone::in_charge(shop.cluster());
    let load = Load::start(shop, Rules::Off);
    let api = FaultyApi::start(shop.cluster(), Faults::Refusals).await;
    let controller = Controller::start(shop.cluster(), &api);
    for _ in 0..2 {
        load.across(shop, &["enable", "--cookie", "gray=1", "--timeout", "90s"], Rules::On, 60).await;
        load.across(shop, &["disable", "--timeout", "90s"], Rules::Off, 60).await;
    }
    load.end().await.clean(240);
    assert!(api.refused() > 10, "only {} requests were refused", api.refused());
    drop((controller, alone));
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}

pub(crate) async fn cut(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let alone = Alone::in_charge(shop.cluster());
    let stride = if std::env::var_os("CANARY_EVERY_WRITE").is_some() { 1 } else { STRIDE };
    let mut deaths = 0;
    for at in (0..).step_by(stride) {
        assert!(at < WRITES_MAX, "it never ends");
        // Its clients cannot tell a write that was lost from one of which they have not heard.
        let faults = if at / stride % 2 == 0 { Faults::CutBefore(at) } else { Faults::CutAfter(at) };
        let load = Load::start(shop, Rules::Moving);
        let enable = ["enable", "--cookie", "gray=1", "--timeout", VERB_TIMEOUT];
        let died_on = interrupted(shop.cluster(), faults, &enable).await;
        load.rules(Rules::On);
        load.more(20).await;
        load.rules(Rules::Moving);
        let died_off = interrupted(shop.cluster(), faults, &["disable", "--timeout", VERB_TIMEOUT]).await;
        load.rules(Rules::Off);
        load.more(20).await;
        load.end().await.clean(60);
        deaths += usize::from(died_on) + usize::from(died_off);
        if !died_on && !died_off {
            break;
        }
    }
    assert!(deaths >= 4, "it was seen to die {deaths} times");
    drop(alone);
    lane_pods_saw_only(shop, "gray", "gray", 20);
    shop.remove("gray");
}

/// A command whose controller dies at a fault and is followed by another; whether it died.
async fn interrupted(cluster: &Cluster, faults: Faults, verb: &[&str]) -> bool {
    let api = FaultyApi::start(cluster, faults).await;
    let controller = Controller::start(cluster, &api);
    let command = cluster.canaryctl_beside(verb);
    tokio::pin!(command);
    let died = tokio::select! {
        ran = &mut command => {
            ran.ok();
            return false;
        }
        () = api.is_cut() => true,
    };
    drop(controller);
    let whole = FaultyApi::start(cluster, Faults::None).await;
    let _next = Controller::start(cluster, &whole);
    command.await.ok();
    died
}

/// A controller that runs here rather than in the cluster; dropped, it is dead at once.
pub(crate) struct Controller(Child);

impl Controller {
    fn start(cluster: &Cluster, api: &FaultyApi) -> Self {
        Self::named("e2e", cluster, api)
    }

    /// One that the Lease knows by this name.
    pub(crate) fn named(identity: &str, cluster: &Cluster, api: &FaultyApi) -> Self {
        let args =
            ["controller", "--listen", "127.0.0.1:0", "--identity", identity, "--collect-after", "20s"];
        let mut command = cluster.command("canaryctl");
        command.args(args).args(["--kubeconfig", api.kubeconfig()]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The cluster's own controllers are away until this is dropped.
pub(crate) struct Alone<'a>(&'a Cluster);

impl<'a> Alone<'a> {
    pub(crate) fn in_charge(cluster: &'a Cluster) -> Self {
        let alone = Self(cluster);
        alone.scale("0");
        cluster.until("no controller runs", Duration::from_secs(60), || {
            let args =
                ["-n", "canaryctl-system", "pods", "-l", "app.kubernetes.io/name=canaryctl-controller"];
            cluster.get(&args)["items"].as_array().is_some_and(Vec::is_empty).then_some(())
        });
        alone
    }

    fn scale(&self, replicas: &str) {
        let deployment = ["-n", "canaryctl-system", "scale", "deploy", "canaryctl-controller"];
        self.0.kubectl(&[deployment.as_slice(), &["--replicas", replicas]].concat()).ok();
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.scale("2");
        let rollout = ["-n", "canaryctl-system", "rollout", "status", "deploy", "canaryctl-controller"];
        self.0.kubectl(&[rollout.as_slice(), &["--timeout=120s"]].concat());
    }
}
