//! The engine against a cluster that does as Kubernetes does, in any order, with whoever asks dying anywhere.

use canary_rules::name::LaneName;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::workload::{copy_of, is_rolled_out, needed, replicas};

mod analysis;
mod cut;
mod errands;
mod mirror;
mod order;
mod peers;
mod remaining;
mod repository;
mod scale;
mod warm;
mod writes;

const LANE: &str = "r-1";

/// A release of these workloads to `:2`, in these steps.
fn release(workloads: &[&str], steps: &[f64]) -> Release {
    let workloads: Vec<Value> = workloads
        .iter()
        .map(|name| json!({"deployment": format!("shop/{name}"), "images": {"app": format!("{name}:2")}}))
        .collect();
    let steps: Vec<Value> = steps.iter().map(|share| json!({"share": share})).collect();
    let rules = json!([{"when": {"cookie": {"name": "gray", "exact": "1"}}}]);
    let document = json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Release",
        "metadata": {"name": LANE, "generation": 1},
        "spec": {"workloads": workloads, "rules": rules, "steps": steps},
    });
    serde_json::from_value(document).expect("a release")
}

fn of(name: &str) -> WorkloadRef {
    format!("shop/{name}").try_into().expect("a workload")
}

/// A cluster, and what was asked of it.
struct Cluster {
    release: Release,
    world: World,
    now: i64,
    jobs: BTreeMap<WorkloadRef, Value>,
    /// How Jobs end, as the type of their condition; none while they run.
    jobs_end: Option<&'static str>,
}

impl Cluster {
    fn new(release: Release, pods: u32) -> Self {
        let mut cluster =
            Self { release, world: World::default(), now: 1000, jobs: BTreeMap::new(), jobs_end: None };
        for spec in cluster.release.spec.workloads.clone() {
            let name = spec.deployment.name.as_str();
            let labels = json!({"app": name, "version": "v1"});
            let deployment = json!({
                "metadata": {"name": name, "namespace": "shop", "generation": 1, "labels": {"team": "shop"}},
                "spec": {
                    "replicas": pods, "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [{"name": "app", "image": format!("{name}:1")}, {"name": "log", "image": "log:7"}]},
                    },
                },
            });
            cluster.world.deployments.insert(spec.deployment, deployment);
        }
        cluster.settle();
        cluster
    }

    fn phase(&self) -> Phase {
        self.release.status.clone().unwrap_or_default().phase
    }

    fn trouble(&self) -> String {
        let trouble = self.release.status.clone().and_then(|status| status.trouble);
        trouble.map_or(String::new(), |trouble| format!("{}: {}", trouble.reason, trouble.message))
    }

    /// What whoever asks looks for besides: the Job that the journal names.
    fn look(&mut self) {
        let errand = self.release.status.as_ref().and_then(|status| status.errand.as_ref());
        let job = errand.filter(|errand| errand.outcome.is_none()).and_then(|errand| errand.job.as_ref());
        let found = job.map(|job| self.jobs.get(job).cloned());
        self.world.job = found.map(|found| found.map_or(JobSeen::Absent, JobSeen::There));
    }

    /// One turn; dies after so many of its writes, the journal's being the first.
    fn turn(&mut self, writes: usize) {
        self.look();
        let next = next(&self.release, &self.world, None, self.now);
        let mut left = writes;
        if Some(&next.status) != self.release.status.as_ref() {
            if left == 0 {
                return;
            }
            left -= 1;
            self.release.status = Some(next.status);
        }
        for action in next.actions.iter().take(left) {
            self.write(action);
        }
    }

    fn write(&mut self, action: &Action) {
        let lane = self.world.lanes.get(LANE).cloned();
        match action {
            Action::Create { deployment } => {
                let name = deployment["metadata"]["name"].as_str().expect("a name");
                let mut deployment = deployment.clone();
                deployment["metadata"]["generation"] = 1.into();
                assert_eq!(deployment["spec"]["replicas"], 0, "no pod before the lane is known");
                self.world.deployments.insert(of(name), deployment);
            }
            Action::Scale { deployment, replicas } => {
                assert!(lane.is_some_and(|lane| lane::programmed(&lane).is_ok()), "the lane is known first");
                self.change(deployment, |spec| spec["replicas"] = (*replicas).into());
            }
            Action::SetImages { deployment, images } => {
                let is_stable = self.release.spec.workloads.iter().any(|spec| spec.deployment == *deployment);
                let is_new = images.values().all(|image| image.ends_with(":2"));
                assert!(
                    !is_stable || !is_new || self.phase() == Phase::Promoting,
                    "in {:?} the Deployments stay as they are",
                    self.phase()
                );
                self.change(deployment, |spec| {
                    for container in
                        spec["template"]["spec"]["containers"].as_array_mut().expect("containers")
                    {
                        if let Some(image) = images.get(container["name"].as_str().expect("a name")) {
                            container["image"] = image.as_str().into();
                        }
                    }
                });
            }
            Action::ApplyLane { lane: wanted } => self.apply(wanted),
            Action::DeleteLane { .. } => {
                if let Some(lane) = self.world.lanes.get_mut(LANE) {
                    lane["metadata"]["deletionTimestamp"] = "now".into();
                }
            }
            Action::Delete { deployment } => {
                assert!(lane.is_none(), "nobody is led there any more");
                self.world.deployments.remove(deployment);
            }
            Action::CreateJob { job } => {
                let name = of(job["metadata"]["name"].as_str().expect("a name"));
                assert!(self.jobs.insert(name, job.clone()).is_none(), "it is made once");
            }
            Action::DeleteJob { job } => drop(self.jobs.remove(job)),
        }
    }

    /// Whoever widens a lane has the pods for it.
    fn apply(&mut self, wanted: &Value) {
        let share = wanted["spec"]["rules"]
            .as_array()
            .expect("rules")
            .iter()
            .find_map(|rule| rule["percent"].as_f64());
        for spec in share.is_some().then_some(&self.release.spec.workloads).into_iter().flatten() {
            let stable = &self.world.deployments[&spec.deployment];
            let copy = &self.world.deployments[&copy_of(&spec.deployment, &self.release)];
            let needed = needed(share.unwrap_or_default(), replicas(stable));
            assert!(
                is_rolled_out(copy) && workload::available(copy) >= needed,
                "{share:?} % take {needed} pods"
            );
        }
        let mut lane = wanted.clone();
        let before = self.world.lanes.get(LANE);
        let generation = before.map_or(0, |lane| lane["metadata"]["generation"].as_i64().expect("a number"));
        lane["metadata"]["generation"] = (generation + 1).into();
        lane["status"] = before.map_or(Value::Null, |lane| lane["status"].clone());
        self.world.lanes.insert(LANE.into(), lane);
    }

    fn change(&mut self, deployment: &WorkloadRef, change: impl FnOnce(&mut Value)) {
        let Some(found) = self.world.deployments.get_mut(deployment) else { return };
        change(&mut found["spec"]);
        let generation = found["metadata"]["generation"].as_i64().expect("a number");
        found["metadata"]["generation"] = (generation + 1).into();
    }

    /// What others do: the Deployment of this number, or the lanes, come one step further.
    fn others(&mut self, which: usize) {
        let names: Vec<WorkloadRef> = self.world.deployments.keys().cloned().collect();
        if let Some(found) = names.get(which).and_then(|name| self.world.deployments.get_mut(name)) {
            let wanted = found["spec"]["replicas"].clone();
            found["status"] = json!({
                "observedGeneration": found["metadata"]["generation"],
                "replicas": wanted, "updatedReplicas": wanted, "availableReplicas": wanted,
            });
            return;
        }
        let Some(lane) = self.world.lanes.get_mut(LANE) else { return };
        if lane["metadata"]["deletionTimestamp"].is_null() {
            let generation = &lane["metadata"]["generation"];
            let condition = json!({"type": "Programmed", "status": "True", "observedGeneration": generation});
            lane["status"] = json!({"conditions": [condition]});
        } else {
            self.world.lanes.remove(LANE);
        }
    }

    fn settle(&mut self) {
        for job in self.jobs.values_mut() {
            if let Some(how) = self.jobs_end {
                let condition = json!({"type": how, "status": "True", "reason": "Tested", "message": "so"});
                job["status"] = json!({"conditions": [condition]});
            }
        }
        for which in 0..=self.world.deployments.len() {
            self.others(which);
        }
    }

    /// All that a turn may change.
    fn is_like(&self) -> impl PartialEq + use<> {
        let world = (self.world.deployments.clone(), self.world.lanes.clone(), self.jobs.clone());
        (self.release.status.clone(), world)
    }

    /// Goes on until nothing more happens by itself.
    fn run(&mut self) {
        for _ in 0..60 {
            let before = self.is_like();
            self.turn(usize::MAX);
            self.settle();
            if before == self.is_like() {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.release.status);
    }

    fn share(&self) -> Option<f64> {
        let lane = self.world.lanes.get(LANE)?;
        Some(
            lane["spec"]["rules"].as_array()?.iter().find_map(|rule| rule["percent"].as_f64()).unwrap_or(0.0),
        )
    }

    /// Asserts that it is over: these versions, and nothing left.
    fn is_over(&self, version: u8) {
        assert!(self.world.lanes.is_empty(), "{:?}", self.world.lanes);
        assert_eq!(self.world.deployments.len(), self.release.spec.workloads.len());
        for (name, deployment) in &self.world.deployments {
            let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
            assert_eq!(*image, format!("{}:{version}", name.name));
            assert_eq!(deployment["spec"]["template"]["spec"]["containers"][1]["image"], "log:7");
        }
    }
}

#[test]
fn a_release_goes_step_by_step_to_everybody() {
    let mut cluster = Cluster::new(release(&["cart", "stock"], &[1.0, 50.0]), 3);
    cluster.run();
    assert_eq!((cluster.phase(), cluster.share()), (Phase::Stepping, Some(1.0)), "{}", cluster.trouble());
    assert_eq!(cluster.trouble(), "Promote: waits to be promoted");
    assert_eq!(replicas(&cluster.world.deployments[&of("stock-r-1")]), 1);
    cluster.release.spec.passed = 1;
    cluster.run();
    assert_eq!(cluster.share(), Some(50.0));
    assert_eq!(replicas(&cluster.world.deployments[&of("stock-r-1")]), 2, "half the users of three pods");
    cluster.release.spec.passed = 2;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Completed, "{}", cluster.trouble());
    cluster.is_over(2);
    cluster.release.spec.intent = Intent::Undo;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Undone);
    cluster.is_over(1);
}

#[test]
fn a_step_is_held_for_its_time_unless_it_is_paused_or_passed() {
    let mut wanted = release(&["cart"], &[10.0, 100.0]);
    wanted.spec.steps[0].hold_seconds = Some(60);
    let mut cluster = Cluster::new(wanted, 1);
    cluster.run();
    let next = next(&cluster.release, &cluster.world, None, cluster.now + 20);
    assert_eq!(next.again_in_s, Some(40));
    cluster.release.spec.paused = true;
    cluster.run();
    cluster.now += 100;
    cluster.run();
    assert_eq!((cluster.share(), cluster.trouble()), (Some(10.0), "Paused: paused".into()));
    cluster.release.spec.paused = false;
    cluster.run();
    cluster.now += 60;
    cluster.run();
    assert_eq!(cluster.share(), Some(100.0));
}

#[test]
fn promoting_all_of_it_leaves_out_the_steps_between() {
    let mut cluster = Cluster::new(release(&["cart"], &[1.0, 10.0, 50.0]), 4);
    cluster.run();
    cluster.release.spec.passed = 3;
    cluster.turn(usize::MAX);
    assert_eq!((cluster.phase(), cluster.share()), (Phase::Promoting, Some(1.0)));
    cluster.run();
    cluster.is_over(2);
}

#[test]
fn a_copy_is_as_its_deployment_and_serves_the_lane() {
    let mut cluster = Cluster::new(release(&["cart"], &[]), 3);
    cluster.run();
    let copy = &cluster.world.deployments[&of("cart-r-1")];
    let labels = json!({"app": "cart", "version": "v1", "canaryctl.io/lane": LANE});
    assert_eq!(copy["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(copy["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(copy["metadata"]["labels"], json!({"canaryctl.io/release": LANE}));
    let images: Vec<&Value> = copy["spec"]["template"]["spec"]["containers"]
        .as_array()
        .expect("two")
        .iter()
        .map(|one| &one["image"])
        .collect();
    assert_eq!(images, ["cart:2", "log:7"]);
}

#[track_caller]
fn check_trouble(change: impl FnOnce(&mut Cluster), want: &str) {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    change(&mut cluster);
    cluster.run();
    assert!(cluster.trouble().contains(want), "{} instead of {want}", cluster.trouble());
    let needs_help =
        cluster.release.status.and_then(|status| status.trouble).is_some_and(|one| one.needs_help);
    assert!(needs_help);
}

#[test]
fn what_cannot_be_released_is_refused_before_anything_is_done() {
    check_trouble(
        |cluster| cluster.release.spec.workloads[0].images = [("app".into(), "cart:1".into())].into(),
        "has these images already",
    );
    check_trouble(
        |cluster| cluster.release.spec.workloads[0].images = [("api".into(), "cart:2".into())].into(),
        "has no container api: it has app, log",
    );
    check_trouble(
        |cluster| cluster.release.spec.workloads[0].deployment = of("car"),
        "there is no Deployment shop/car",
    );
    check_trouble(
        |cluster| {
            cluster.release.spec.workloads[0].deployment = of("db");
            cluster.world.stateful_sets.insert(of("db"));
        },
        "StatefulSet: shop/db is a StatefulSet: a copy of it for the lane would have volumes of its own",
    );
    check_trouble(
        |cluster| {
            cluster.release.spec.steps[0].share = Some(70.0);
            cluster.release.spec.workloads[0].replicas = Some(2);
        },
        "70 % of the users of shop/cart take 3 pods, and the lane gets 2",
    );
    check_trouble(
        |cluster| cluster.change(&of("cart"), |spec| spec["strategy"] = json!({"type": "Recreate"})),
        "strategy Recreate",
    );
    check_trouble(
        |cluster| drop(cluster.world.lanes.insert(LANE.into(), json!({}))),
        "there is a lane r-1 already",
    );
}

#[test]
fn a_plan_says_how_many_pods_each_step_takes() {
    let cluster = Cluster::new(release(&["cart"], &[50.0, 10.0, 100.0]), 4);
    let planned = crate::plan(&cluster.release, &cluster.world, None);
    let pods: Vec<u32> = planned.steps.iter().map(|step| step.pods[0].1).collect();
    assert_eq!((pods, planned.refused), (vec![2, 2, 4], None));
    let taken = crate::plan(&cluster.release, &cluster.world, Some("somebody has it"));
    assert_eq!(taken.refused.as_deref(), Some("somebody has it"));
}

#[test]
fn what_others_do_meanwhile_stops_it_where_it_is() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0, 50.0]), 3);
    cluster.run();
    let theirs = [("app".to_owned(), "cart:3".to_owned())].into();
    cluster.write(&Action::SetImages { deployment: of("cart"), images: theirs });
    cluster.release.spec.passed = 1;
    cluster.run();
    assert!(cluster.trouble().starts_with("StableChanged"), "{}", cluster.trouble());
    assert_eq!(cluster.share(), Some(10.0));
    cluster.release.spec.intent = Intent::Abort;
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Aborted);
    cluster.is_over(3);
}

#[test]
fn images_that_somebody_else_has_set_are_not_set_back() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    cluster.run();
    cluster.change(&of("cart"), |spec| {
        spec["template"]["spec"]["containers"][0]["image"] = "cart:2".into();
    });
    cluster.release.spec.intent = Intent::Abort;
    cluster.run();
    cluster.is_over(2);
}

#[test]
fn a_lane_that_somebody_deleted_stays_away() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    cluster.run();
    cluster.world.lanes.clear();
    cluster.run();
    assert_eq!(
        (cluster.trouble(), cluster.share()),
        ("LaneGone: somebody deleted lane r-1: abort".into(), None)
    );
}

#[test]
fn who_goes_back_while_it_is_promoted_goes_back_at_once() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    cluster.run();
    cluster.release.spec.passed = 1;
    let image = |cluster: &Cluster| {
        cluster.world.deployments[&of("cart")]["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    while image(&cluster) != "cart:2" {
        cluster.turn(usize::MAX);
    }
    cluster.release.spec.intent = Intent::Abort;
    cluster.turn(usize::MAX);
    cluster.turn(usize::MAX);
    assert_eq!(image(&cluster), "cart:1", "before the lane is out of every proxy");
    assert!(cluster.world.lanes.contains_key(LANE));
    cluster.run();
    cluster.is_over(1);
}

#[test]
fn a_share_that_other_lanes_leave_no_room_for_is_refused() {
    let other = json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": "zeta"},
        "spec": {"rules": [{"percent": 60}]},
    });
    check_trouble(
        |cluster| {
            cluster.release.spec.steps[0].share = Some(50.0);
            cluster.world.lanes.insert("zeta".into(), other);
        },
        "lane r-1 cannot be",
    );
    check_trouble(
        |cluster| cluster.release.spec.rules = vec![json!({"percent": 5})],
        "a rule of a release has a percentage",
    );
}

#[test]
fn a_pause_holds_wherever_it_finds_the_release() {
    for turns in 0..12 {
        let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
        cluster.release.spec.passed = 1;
        for _ in 0..turns {
            cluster.turn(usize::MAX);
            cluster.settle();
        }
        cluster.release.spec.paused = true;
        let share = cluster.share().unwrap_or(0.0);
        let image = cluster.world.deployments[&of("cart")]["spec"].clone();
        let asked = cluster
            .release
            .status
            .clone()
            .is_some_and(|status| status.workloads.iter().any(|workload| workload.asked.is_some()));
        cluster.run();
        if !asked {
            assert_eq!(cluster.share().unwrap_or(0.0), share, "after {turns} turns");
            assert_eq!(cluster.world.deployments[&of("cart")]["spec"], image, "after {turns} turns");
        }
    }
}

#[test]
fn pods_that_do_not_come_hold_it_and_say_why() {
    let mut cluster = Cluster::new(release(&["cart"], &[10.0]), 3);
    for _ in 0..20 {
        cluster.turn(usize::MAX);
        let lanes = cluster.world.deployments.len();
        cluster.others(lanes);
        cluster.others(0);
        if cluster.world.deployments.get(&of("cart-r-1")).is_some_and(|copy| replicas(copy) == 0) {
            cluster.others(1);
        }
    }
    cluster.world.ailing.insert(of("cart-r-1"), "app: ErrImagePull".into());
    cluster.turn(usize::MAX);
    let want = "Pods: 0 of 1 pods of Deployment shop/cart-r-1 are available: app: ErrImagePull";
    assert_eq!((cluster.trouble().as_str(), cluster.share()), (want, Some(0.0)));
    cluster.release.spec.intent = Intent::Abort;
    cluster.run();
    cluster.is_over(1);
}

#[test]
fn of_two_releases_the_first_to_come_has_the_workload() {
    let mut first = release(&["cart", "stock"], &[]);
    first.metadata.creation_timestamp = Some("2026-01-01T00:00:00Z".into());
    let mut second = release(&["stock", "web"], &[]);
    second.metadata.name = LaneName::new("r-2").expect("a name");
    second.metadata.creation_timestamp = Some("2026-01-02T00:00:00Z".into());
    let mut all = [second.clone(), first.clone()];
    assert_eq!(holder(&second, &all).as_deref(), Some("Deployment shop/stock is in release r-1"));
    assert_eq!(holder(&first, &all), None);
    all[1].status = Some(Status { phase: Phase::Completed, ..Status::default() });
    assert_eq!(holder(&second, &all), None, "it is over");
}

#[derive(Debug, Clone)]
enum Event {
    Turn(usize),
    Others(usize),
    Pass,
    Pause(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0_usize..5).prop_map(Event::Turn),
        6 => (0_usize..7).prop_map(Event::Others),
        1 => Just(Event::Pass),
        1 => any::<bool>().prop_map(Event::Pause),
    ];
    proptest::collection::vec(event, 0..120)
}

proptest! {
    /// Whatever the order of things and wherever it dies: no step before its pods, nothing left at the end.
    #[test]
    fn every_way_is_safe_and_ends(
        events in events(),
        shares in proptest::collection::vec(1_u32..=100, 0..4),
        pods in 1_u32..6,
        intent in prop_oneof![Just(Intent::Abort), Just(Intent::Forward), Just(Intent::Undo)],
        keep_warm in prop_oneof![Just(None), Just(Some(60))],
    ) {
        let shares: Vec<f64> = shares.into_iter().map(f64::from).collect();
        let mut wanted = release(&["cart", "stock", "web"], &shares);
        wanted.spec.keep_warm_seconds = keep_warm;
        let mut cluster = Cluster::new(wanted, pods);
        for event in events {
            match event {
                Event::Turn(writes) => cluster.turn(writes),
                Event::Others(which) => cluster.others(which),
                Event::Pass => cluster.release.spec.passed += 1,
                Event::Pause(paused) => cluster.release.spec.paused = paused,
            }
        }
        cluster.release.spec.paused = false;
        cluster.release.spec.passed = 9;
        cluster.release.spec.intent = intent;
        cluster.run();
        if cluster.phase() == Phase::Warm {
            cluster.now += 60;
            cluster.run();
        }
        match (cluster.phase(), intent) {
            (Phase::Completed, Intent::Forward | Intent::Abort) => cluster.is_over(2),
            (Phase::Aborted, Intent::Abort | Intent::Undo) | (Phase::Undone, Intent::Abort | Intent::Undo) => {
                cluster.is_over(1);
            }
            other => panic!("{other:?} {}", cluster.trouble()),
        }
    }
}
