//! Sends flows to the pod until enough hops have been judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use canary_localmesh::{Client, Protocol};
use canary_rules::name::{LaneCode, LaneName};
use canary_rules::request_id::{self, RequestIds};
use tokio::sync::Semaphore;

use crate::carrier::Carrier;
use crate::soak::apps::{Pod, play_called, play_pod};
use crate::soak::draw::Dice;
use crate::soak::flow::{Flow, Handed};
use crate::soak::judge::Judge;
use crate::soak::scene::{POD, Scene, instances};
use crate::soak::{Options, Report, TRUTH, report};

/// How the filter's counters are called in Envoy's statistics.
const COUNTERS: &str = "wasmcustom.canaryctl.";
/// How long flows may take to make their last calls, and filters to count them, in seconds.
const SETTLE_S_MAX: u64 = 30;
/// Between two looks at a condition, in milliseconds.
const POLL_MS: u64 = 50;

/// Runs the test.
///
/// # Errors
/// When the mesh cannot be run; what the filter did wrong is in the report.
pub async fn run(options: &Options) -> Result<Report> {
    let scene = Scene::start(options).await.context("the mesh does not start")?;
    let judge = Arc::new(Judge::default());
    for (instance, lane) in instances() {
        let address = scene.app(instance)?;
        if instance == POD {
            let outbound = Client::new(scene.mesh.outbound_address(POD)?, Protocol::Http1);
            play_pod(address, Arc::new(Pod { judge: judge.clone(), outbound }))?;
        } else {
            play_called(address, lane, judge.clone())?;
        }
    }
    let before = counters(&scene).await?;
    let started = Instant::now();
    drive(options, &scene, &judge).await?;
    let took = started.elapsed();
    let counted = settle(&scene, &judge, &before).await?;
    scene.mesh.check_running()?;
    let report = Report::new(options, &judge, counted, took);
    scene.mesh.shutdown().await;
    Ok(report)
}

async fn drive(options: &Options, scene: &Scene, judge: &Arc<Judge>) -> Result<()> {
    let sender = Arc::new(Sender {
        client: Client::new(scene.mesh.inbound_address(POD)?, Protocol::Http1),
        ids: RequestIds::new(scene.lanes.settings.keys.derive("canaryctl request id")),
        judge: judge.clone(),
    });
    let in_flight = Arc::new(Semaphore::new(options.in_flight));
    let mut dice = Dice::new(options.seed);
    let started = Instant::now();
    let mut told = started;
    while judge.hops.get() < options.hops && started.elapsed() < options.time_limit {
        let place = in_flight.clone().acquire_owned().await?;
        let flow = Arc::new(dice.flow());
        judge.begin(flow.clone());
        let sender = sender.clone();
        tokio::spawn(async move {
            sender.send(&flow).await;
            drop(place);
        });
        if options.progress.is_some_and(|every| told.elapsed() >= every) {
            told = Instant::now();
            eprintln!("{}", report::progress(options, judge, started.elapsed()));
        }
    }
    let all = u32::try_from(options.in_flight).unwrap_or(u32::MAX);
    let _all = in_flight.acquire_many(all).await?;
    Ok(())
}

/// Sends requests to the pod as its callers' sidecars would.
struct Sender {
    client: Client,
    ids: RequestIds,
    judge: Arc<Judge>,
}

impl Sender {
    async fn send(&self, flow: &Flow) {
        let truth = flow.number.to_string();
        let mut headers = vec![(TRUTH, truth)];
        if let Some(tag) = flow.lane.tag() {
            headers.push((Carrier::Tag.header(), tag.into()));
            headers.push((Carrier::Baggage.header(), format!("user=7,canary-lane={tag}")));
        }
        headers.push((Carrier::RequestId.header(), self.request_id(flow)));
        let carriers = match flow.handed {
            Handed::Id(carrier) | Handed::IdAndRequestId(carrier) => vec![carrier],
            Handed::TwoIds(one, other) => vec![one, other],
            Handed::PlainRequestId | Handed::Said(_) | Handed::Nothing => Vec::new(),
        };
        for (carrier, key) in carriers.into_iter().zip(&flow.keys) {
            headers.extend(carrier.id(key.number()).map(|id| (carrier.header(), id)));
        }
        match self.client.get("pod.soak", "/", &headers).await {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => self.give_up(flow, reply.status.as_str()),
            Err(error) => self.give_up(flow, &error.to_string()),
        }
    }

    /// As the gateway mints it, or one of another shape.
    fn request_id(&self, flow: &Flow) -> String {
        if let (Handed::PlainRequestId, [key]) = (flow.handed, flow.keys.as_slice()) {
            return format!("request-{}", key.number());
        }
        let code = flow.lane.tag().and_then(|tag| LaneName::new(tag).ok()).map(|lane| lane.code());
        let fresh = request_id::fresh(fastrand::u128(..).to_be_bytes());
        let minted = self.ids.mint(&fresh, code.unwrap_or(LaneCode::BASELINE)).unwrap_or(fresh);
        String::from_utf8_lossy(&minted).into_owned()
    }

    fn give_up(&self, flow: &Flow, how: &str) {
        self.judge.fail(flow, how);
        self.judge.leave(flow);
    }
}

/// Waits until every flow has made its last call and every filter has handed over what it counted; what the
/// sidecars have counted since `before`.
async fn settle(scene: &Scene, judge: &Judge, before: &Counted) -> Result<Counted> {
    let deadline = Instant::now() + Duration::from_secs(SETTLE_S_MAX);
    while judge.inside_now() > 0 {
        if Instant::now() > deadline {
            bail!("{} flows are still in the pod after {SETTLE_S_MAX} s", judge.inside_now());
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    // Each VM hands over once a second, so twice is once after the last request.
    let now = counters(scene).await?;
    let heartbeats = |counted: &Counted| counted.get(POD).and_then(|pod| pod.get("heartbeat")).copied();
    let vms = u64::from(scene.workers) + 1;
    while heartbeats(&counters(scene).await?) < heartbeats(&now).map(|beats| beats + 2 * vms) {
        if Instant::now() > deadline {
            bail!("the pod's filter hands over no counters: a worker's VM is dead");
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    let mut counted = counters(scene).await?;
    for (proxy, counters) in &mut counted {
        for (name, value) in counters {
            *value -= before.get(proxy).and_then(|before| before.get(name)).copied().unwrap_or_default();
        }
    }
    Ok(counted)
}

/// The filter's counters by sidecar and name.
pub type Counted = BTreeMap<String, BTreeMap<String, u64>>;

async fn counters(scene: &Scene) -> Result<Counted> {
    let mut counted = Counted::new();
    for proxy in scene.sidecars() {
        let stats = scene.mesh.stats(proxy, &format!("^{COUNTERS}")).await?;
        let short = |(name, value): (String, u64)| Some((name.strip_prefix(COUNTERS)?.to_owned(), value));
        counted.insert(proxy.to_owned(), stats.into_iter().filter_map(short).collect());
    }
    Ok(counted)
}
