//! How long a release takes beyond its pods, how soon everybody has the baseline again once it is aborted, and what one of its steps
//! writes to the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use canary_e2e::bench::stats::Sample;
use canary_localmesh::Protocol;
use tokio::task::JoinSet;

use super::Section;
use super::changes::proxies;
use super::writes::{Writes, added, table, written};
use crate::flows::Caller;
use crate::manifests::NEXT_IMAGE;
use crate::releases::{LANE, forget, release, start, start_of};
use crate::shop::Shop;

/// How many proxies hear of each step.
const PROXIES: usize = 50;
/// How long so many may take to start on a small machine.
const MANY_READY_WITHIN: &str = "--timeout=900s";
/// What has the lane at each measured step, as `--steps` has it.
const HELD: [&str; 2] = ["--steps", "100"];
/// The services whose new versions are released one, two and three at a time.
const SERVICES: [&str; 3] = ["stock", "price", "web"];
/// Users who go on calling while a release is aborted, and how long after it.
const CALLERS: usize = 4;
const CALLED_ON_FOR: Duration = Duration::from_secs(2);

pub(super) async fn measure(shop: &Shop, rounds: usize) -> Section {
    super::install(shop);
    let mut counted = Vec::new();
    for count in 1..=SERVICES.len() {
        let many = if count == 1 { "" } else { "s" };
        counted.push((format!("{count} Deployment{many}"), vec![step(shop, &SERVICES[..count]).await]));
    }
    let plain = Sample::new((0..rounds).map(|_| rollout(shop)));
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(through(shop).await);
    }
    let _instances = Instances::raise();
    let replicas = (1 + PROXIES).saturating_sub(proxies(shop)).to_string();
    shop.kubectl(&["scale", "deploy", "cart-v1", "--replicas", &replicas]).ok();
    shop.kubectl(&["rollout", "status", "deploy", MANY_READY_WITHIN]).ok();
    let many = proxies(shop);
    let mut aborts = Vec::new();
    for _ in 0..rounds {
        aborts.push(abort(shop).await);
    }
    shop.kubectl(&["scale", "deploy", "cart-v1", "--replicas", "1"]).ok();
    let column = |of: fn(&Through) -> f64| Sample::new(times.iter().map(of));
    let rows = [
        row("`kubectl set image` of both, until `kubectl rollout status` is done", &plain),
        row("`release start`, until all users have the lane", &column(|times| times.start)),
        row(
            "`release promote`, until both Deployments have rolled and the lane is gone",
            &column(|times| times.promote),
        ),
    ];
    let abort_rows = [
        row("the command", &Sample::new(aborts.iter().map(|abort| abort.command))),
        row(
            "the last request that the lane answered was sent",
            &Sample::new(aborts.iter().map(|abort| abort.last)),
        ),
    ];
    let text = format!(
        "Two Deployments of one pod each are released as one, {rounds} times. Both commands wait for new pods once, as a plain \
         rollout does: what\nthey take more than that is the release's own.\n\n\
         | | p50 s | p99 s |\n|---|---:|---:|\n{}\n\
         The same release is aborted while everybody has the lane and {CALLERS} users go on calling, in a mesh of {many} proxies; \
         seconds since the\ncommand began.\n\n\
         | | p50 s | p99 s |\n|---|---:|---:|\n{}\n\
         Writes to the API of one step, from 10 to 50 % of users, as the API server counts them, by how many Deployments the \
         release has.\n\n{}",
        rows.concat(),
        abort_rows.concat(),
        table(&counted),
    );
    Section { title: "A release", text }
}

fn row(what: &str, sample: &Sample) -> String {
    format!("| {what} | {:.2} | {:.2} |\n", sample.median(), sample.quantile(0.99))
}

/// How many inotify instances one user may have: every sidecar's is the same, and each has some. As before when dropped.
struct Instances(String);

impl Instances {
    const SETTING: &str = "/proc/sys/fs/inotify/max_user_instances";
    const WANTED: u32 = 1024;

    fn raise() -> Self {
        let before = std::fs::read_to_string(Self::SETTING).expect("a setting of Linux");
        if before.trim().parse::<u32>().expect("a number") < Self::WANTED {
            std::fs::write(Self::SETTING, Self::WANTED.to_string()).expect("root may");
        }
        Self(before)
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        let _ = std::fs::write(Self::SETTING, &self.0);
    }
}

/// What a step of a release of these writes.
async fn step(shop: &Shop, services: &[&str]) -> Writes {
    start_of(shop, services, &["--steps", "10,50"]).await.ok();
    let before = written(shop);
    release(shop, &["promote"]).await.ok();
    let added = added(shop, &before);
    release(shop, &["abort"]).await.ok();
    forget(shop);
    added
}

/// Seconds that Kubernetes alone takes to bring a new image, and it is taken back.
fn rollout(shop: &Shop) -> f64 {
    let named = LANE.services.iter().map(|service| format!("deploy/{service}-v1")).collect::<Vec<_>>();
    let image = shop.cluster().get(&["-n", shop.namespace(), &named[0]]);
    let image =
        image["spec"]["template"]["spec"]["containers"][0]["image"].as_str().expect("an image").to_owned();
    let rolled = |image: &str| {
        let started = Instant::now();
        for deployment in &named {
            shop.kubectl(&["set", "image", deployment, &format!("app={image}")]).ok();
        }
        shop.rolled_out();
        started.elapsed().as_secs_f64()
    };
    let took = rolled(NEXT_IMAGE);
    rolled(&image);
    took
}

/// Seconds of a release that goes through.
struct Through {
    start: f64,
    promote: f64,
}

async fn through(shop: &Shop) -> Through {
    let started = Instant::now();
    start(shop, &HELD).await.ok();
    let held = started.elapsed();
    release(shop, &["promote"]).await.ok();
    let over = started.elapsed();
    release(shop, &["undo"]).await.ok();
    forget(shop);
    Through { start: held.as_secs_f64(), promote: (over - held).as_secs_f64() }
}

/// Seconds since a release was told to be aborted.
struct Abort {
    command: f64,
    /// When the last request was sent that the lane answered; 0 where none was.
    last: f64,
}

async fn abort(shop: &Shop) -> Abort {
    start(shop, &HELD).await.ok();
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(last_of_lane(Caller::new(shop, Protocol::Http1), over.clone()));
    }
    tokio::time::sleep(CALLED_ON_FOR).await;
    let started = Instant::now();
    release(shop, &["abort"]).await.ok();
    let command = started.elapsed().as_secs_f64();
    tokio::time::sleep(CALLED_ON_FOR).await;
    over.store(true, Ordering::Relaxed);
    let last = callers.join_all().await.into_iter().flatten().max().expect("the lane answered");
    forget(shop);
    Abort { command, last: last.saturating_duration_since(started).as_secs_f64() }
}

/// Calls one after the other until it is over; says when the last request was sent that the lane answered.
async fn last_of_lane(caller: Caller, over: Arc<AtomicBool>) -> Option<Instant> {
    let mut last = None;
    while !over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let answer = caller.send(&[("cookie", "gray=1")]).await;
        assert_eq!(answer.failure, None);
        if answer.served_by(LANE.services, LANE.end) > 0 {
            last = Some(sent);
        }
    }
    last
}
