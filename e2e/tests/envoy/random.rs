//! Flows drawn at random, of several lanes and with ids in common: none of their hops is in a wrong lane.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use canary_e2e::carrier::Carrier;
use canary_e2e::soak::{self, Options, options::IN_FLIGHT_DEFAULT};
use canary_localmesh::app::LateCall;
use canary_localmesh::{Behaviour, Client, Protocol, Tree, demo};
use futures_util::future::join_all;

use crate::shop::{self, BASELINE, BLUE, GRAY};
use crate::stage::{Stage, until};

/// Hops that one pod is watched for: enough for several thousand overlaps.
const POD_HOPS: u64 = 80_000;
/// How long that may take, in seconds; it takes about twenty-five.
const POD_S_MAX: u64 = 120;
/// Flows through the whole chain.
const CHAIN_FLOWS: u64 = 1_500;
/// Flows in flight at a time, whose ids others draw again.
const CHAIN_IN_FLIGHT: usize = 24;
/// Fewer overlaps in the chain prove nothing; one pod sees far more.
const CHAIN_OVERLAPS_MIN: u64 = 150;
/// A header that the filter does not know: a flow's true lane, handed on by every app.
const TRUTH: &str = "x-truth";

/// One pod, its app played in-process: the truth of every hop is known, and so is every overlap.
pub(crate) async fn one_pod() {
    let options = Options {
        tools: crate::stage::tools(),
        hops: POD_HOPS,
        time_limit: Duration::from_secs(POD_S_MAX),
        workers: 2,
        in_flight: IN_FLIGHT_DEFAULT,
        seed: fastrand::u64(..),
        progress: None,
    };
    let report = soak::run(&options).await.expect("a run");
    let faults = report.faults();
    assert!(faults.is_empty(), "seed {}: {faults:#?}\n{report}", options.seed);
}

/// The shop, in which stock fails now and then, cart repeats its calls, and web calls price when it has answered.
pub(crate) async fn shop() -> Stage {
    let lanes = shop::lanes();
    let mut apps = shop::apps();
    for app in &mut apps {
        let Behaviour { fail_every, retries, after_response, .. } = &mut app.behaviour;
        match app.service.name() {
            "web" => *after_response = vec![LateCall { host: demo::host("price"), delay_ms: 40 }],
            "cart" => *retries = 3,
            "stock" => *fail_every = 9.try_into().ok(),
            _ => {}
        }
    }
    let mut spec = lanes.mesh(&crate::stage::tools(), demo::entry(), apps);
    spec.proxy.concurrency = 2;
    Stage::start(spec, lanes).await
}

/// What a flow is known by: the carrier, and the number in it.
type Id = (Carrier, u64);

#[derive(Debug, Default)]
struct Seen {
    hops: Cell<u64>,
    tagged: Cell<u64>,
    lost: Cell<u64>,
    overlaps: Cell<u64>,
    wrong: RefCell<Vec<String>>,
    /// Ids of the flows in flight, and their lanes.
    in_flight: RefCell<Vec<(Id, &'static str)>>,
    /// Late calls to be fetched: of which instance, and under which path.
    late: RefCell<Vec<(String, String)>>,
}

/// Whose instance may serve a service for a lane; the baseline's may where the tag was lost.
fn own(lane: &str, service: &str) -> &'static str {
    let path = match lane {
        "gray" => GRAY,
        "blue" => BLUE,
        _ => BASELINE,
    };
    path.into_iter().find(|instance| instance.starts_with(service)).expect("a service of the shop")
}

impl Seen {
    /// The id of a flow in flight, or one of its own.
    fn draw(&self) -> Id {
        let shared = fastrand::choice(self.in_flight.borrow().iter()).map(|(id, _)| *id);
        let by_map: Vec<Carrier> =
            Carrier::ALL.into_iter().filter(|carrier| carrier.id(1).is_some()).collect();
        let own = (by_map[fastrand::usize(..by_map.len())], fastrand::u64(1 << 32..1 << 40));
        shared.filter(|_| fastrand::u8(0..10) < 3).unwrap_or(own)
    }

    fn hop(&self, hop: &Tree) {
        self.hops.set(self.hops.get() + 1);
        let lane = hop.received(TRUTH).expect("every app hands on the truth");
        let tag = hop.received(Carrier::Tag.header());
        let service = hop.service.split('.').next().expect("a name");
        let tagged = lane != "none";
        self.tagged.set(self.tagged.get() + u64::from(tagged));
        let right = hop.instance == own(lane, service) && tag == tagged.then_some(lane);
        let lost = tagged && tag.is_none() && hop.instance == own("none", service);
        if lost {
            self.lost.set(self.lost.get() + 1);
        } else if !right {
            self.wrong.borrow_mut().push(format!("{lane} at {} with tag {tag:?}", hop.instance));
        }
    }
}

/// Every hop by a process and two proxies of its own: fan-out, repeated calls, calls after the response.
pub(crate) async fn chain(stage: &Stage) {
    let before = counted(stage).await;
    let seen = Seen::default();
    let next = Cell::new(0);
    join_all((0..CHAIN_IN_FLIGHT).map(|_| async {
        let client = stage.client();
        while next.get() < CHAIN_FLOWS {
            next.set(next.get() + 1);
            one_flow(stage, &client, &seen).await;
        }
    }))
    .await;
    for (instance, path) in seen.late.take() {
        let app = Client::new(stage.mesh.app_address(&instance).expect("known"), Protocol::Http1);
        let tree = until("a late call's answer", async || {
            let reply = app.get::<&str, &str>("web.shop", &path, &[]).await.expect("a response");
            serde_json::from_slice::<Tree>(&reply.body).ok().filter(|_| reply.status == 200)
        })
        .await;
        tree.calls.iter().for_each(|hop| seen.hop(hop));
    }
    let wrong = seen.wrong.take();
    assert!(wrong.is_empty(), "{} hops in a wrong lane: {:?}", wrong.len(), &wrong[..wrong.len().min(10)]);
    let Seen { hops, tagged, lost, overlaps, .. } = &seen;
    let summary = format!("{hops:?} hops, {tagged:?} tagged, {lost:?} lost, {overlaps:?} overlaps");
    assert!(overlaps.get() >= CHAIN_OVERLAPS_MIN && 2 * lost.get() < tagged.get(), "{summary}");
    let after = counted(stage).await;
    let ambiguous = after["ambiguous"] - before["ambiguous"];
    // A lost tag is lost for all hops behind: three at most, and the call after the response.
    assert!(seen.lost.get() <= 4 * ambiguous, "{} lost, {ambiguous} ambiguous", seen.lost.get());
    for counter in ["map.cas_exhausted", "host_refused", "refused_foreign"] {
        assert_eq!(after[counter], before[counter], "{counter}");
    }
}

async fn one_flow(stage: &Stage, client: &Client, seen: &Seen) {
    let lane = *fastrand::choice(&["none", "none", "gray", "blue"]).expect("a lane");
    let (carrier, number) = seen.draw();
    let overlaps = {
        let mut in_flight = seen.in_flight.borrow_mut();
        in_flight.push(((carrier, number), lane));
        in_flight.iter().filter(|(id, other)| *id == (carrier, number) && *other != lane).count()
    };
    seen.overlaps.set(seen.overlaps.get() + overlaps as u64);
    let id = carrier.id(number).expect("an id");
    let path = format!("/cart?forward={},{TRUTH}", carrier.header());
    let cookie = format!("{lane}=1");
    let answer =
        stage.get(client, &path, &[("cookie", &cookie), (TRUTH, lane), (carrier.header(), &id)]).await;
    assert_eq!(answer.reply.status, 200);
    for hop in answer.tree.walk() {
        assert_eq!(hop.status, 200, "{hop:?}");
        seen.hop(hop);
        let late = hop.after_response.as_ref();
        seen.late.borrow_mut().extend(late.map(|id| (hop.instance.clone(), format!("/_async?id={id}"))));
    }
    let mut in_flight = seen.in_flight.borrow_mut();
    let own = in_flight.iter().position(|flow| *flow == ((carrier, number), lane)).expect("this flow");
    in_flight.swap_remove(own);
}

/// The counters of all proxies together.
async fn counted(stage: &Stage) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for proxy in stage.mesh.proxies() {
        let counters = stage.flushed(proxy).await;
        for counter in ["ambiguous", "map.cas_exhausted", "host_refused", "refused_foreign"] {
            *sums.entry(counter).or_default() += counters.get(counter);
        }
    }
    sums
}
