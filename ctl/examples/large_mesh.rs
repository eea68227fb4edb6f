//! The dashboard of a made mesh of any size, for `cargo xtask bench --dashboard`: `large_mesh SERVICES CALLS`.
//!
//! Traffic changes every second, which is five times as often as a cluster's; with every fifth change a call comes or
//! goes. The same numbers make the same mesh.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use canaryctl::dashboard::picture::{About, LaneView};
use canaryctl::dashboard::service_graph::{Call, Graph, Serves, ServiceNode, WorkloadNode};
use canaryctl::dashboard::traffic::{Edge, GATEWAY, Traffic};
use canaryctl::dashboard::{Action, Dashboard, Picture, Source};
use canaryctl::failure::{Code, Failure};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// How often traffic changes.
const CHANGES_EVERY: Duration = Duration::from_secs(1);
/// With every so many changes a call comes or goes.
const CALL_CHANGES: u64 = 5;
/// From a gateway to whoever calls nobody.
const TIERS: usize = 8;
/// Of a hundred calls, how many go back to whoever calls.
const BACKWARDS_PERCENT: usize = 1;
const LANES: [&str; 3] = ["gray", "dev-alice", "canary"];
const TEAMS: [&str; 6] = ["shop", "search", "payments", "logistics", "accounts", "content"];
const NOUNS: [&str; 25] = [
    "cart", "price", "stock", "order", "user", "review", "coupon", "invoice", "parcel", "return", "search",
    "index", "image", "mail", "session", "address", "refund", "vendor", "catalog", "offer", "quote",
    "ledger", "audit", "basket", "label",
];
const KINDS: [&str; 5] = ["api", "store", "worker", "gateway", "cache"];

struct Made(watch::Receiver<Arc<Picture>>);

impl Source for Made {
    fn pictures(&self) -> watch::Receiver<Arc<Picture>> {
        self.0.clone()
    }

    fn act(&self, _: Action) -> BoxFuture<'_, Result<String, Failure>> {
        async { Err(Failure::new(Code::Usage, "this mesh is made up: nothing can be done to it")) }.boxed()
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [services, calls] = numbers[..] else { panic!("wanted: SERVICES CALLS") };
    let mut random = fastrand::Rng::with_seed(1);
    let mut picture = mesh(&mut random, services, calls);
    picture.traffic = traffic(&mut random, &picture.graph);
    let (shown, pictures) = watch::channel(Arc::new(picture.clone()));
    let dashboard = Dashboard::bind(0).await?;
    println!("Picture: {}", dashboard.url());
    let changes = async {
        let spare = picture.graph.calls.pop();
        for change in 1_u64.. {
            tokio::time::sleep(CHANGES_EVERY).await;
            picture.traffic = traffic(&mut random, &picture.graph);
            if change.is_multiple_of(CALL_CHANGES) {
                match picture.graph.calls.len() < calls {
                    true => picture.graph.calls.extend(spare.clone()),
                    false => _ = picture.graph.calls.pop(),
                }
            }
            shown.send_replace(Arc::new(picture.clone()));
        }
    };
    tokio::select! {
        served = dashboard.serve(Arc::new(Made(pictures)), false) => served,
        () = changes => Ok(()),
    }
}

fn mesh(random: &mut fastrand::Rng, services: usize, calls: usize) -> Picture {
    let nodes: Vec<ServiceNode> = (0..services).map(node).collect();
    let tier = |at: usize| at * TIERS / services;
    let mut made = BTreeSet::new();
    // Whoever is not first is called by somebody.
    for to in (0..services).filter(|to| tier(*to) > 0) {
        let callers: Vec<usize> = (0..to).filter(|from| tier(*from) + 1 == tier(to)).collect();
        made.extend(random.choice(callers).map(|from| (from, to)));
    }
    while made.len() < calls {
        let (a, b) = (random.usize(..services), random.usize(..services));
        let (early, late) = (a.min(b), a.max(b));
        if tier(early) == tier(late) {
            continue;
        }
        let is_back = random.usize(..100) < BACKWARDS_PERCENT;
        made.insert(if is_back { (late, early) } else { (early, late) });
    }
    let id = |at: usize| nodes[at].id.clone();
    let calls = made.iter().map(|(from, to)| Call { from: id(*from), to: id(*to) }).collect();
    let entries = (0..services).filter(|at| tier(*at) == 0).map(id).collect();
    let path = |lane: &str| {
        let serves = nodes.iter().filter_map(|node| {
            let own = node.workloads.iter().find(|workload| workload.lane.as_deref() == Some(lane))?;
            let serves = Serves::Lane { lane: lane.into(), workloads: vec![own.name.clone()] };
            Some((node.id.clone(), serves))
        });
        (lane.to_owned(), serves.collect())
    };
    let paths = LANES.into_iter().map(path).collect();
    let lane = |name: &str| LaneView {
        name: name.into(),
        state: "on".into(),
        who: Some(vec![format!("cookie {name} = 1")]),
        ..LaneView::default()
    };
    let about = About { title: format!("{services} services, made up"), ..About::default() };
    let graph = Graph { services: nodes, calls, entries, calls_from: None, paths };
    Picture { about, lanes: LANES.map(lane).into(), graph, ..Picture::default() }
}

fn node(at: usize) -> ServiceNode {
    let (noun, kind) = (NOUNS[at % NOUNS.len()], KINDS[at / NOUNS.len() % KINDS.len()]);
    let namespace = TEAMS[at / (NOUNS.len() * KINDS.len()) % TEAMS.len()].to_owned();
    let name = format!("{noun}-{kind}");
    let workload = |version: &str, lane: Option<&str>| WorkloadNode {
        name: format!("{name}-{version}"),
        version: version.into(),
        lane: lane.map(str::to_owned),
    };
    let mut workloads = vec![workload("v1", None)];
    workloads.extend((at % 10 == 3).then(|| workload("v2", Some(LANES[at / 10 % LANES.len()]))));
    ServiceNode { id: format!("{namespace}/{name}"), namespace, name, workloads }
}

fn traffic(random: &mut fastrand::Rng, graph: &Graph) -> Traffic {
    let called = graph.calls.iter().map(|call| (call.from.as_str(), call.to.as_str()));
    let entered = graph.entries.iter().map(|to| (GATEWAY, to.as_str()));
    let edge = |(from, to): (&str, &str)| Edge {
        from: from.into(),
        to: to.into(),
        per_s: f64::from(random.u32(1..5000)) / 10.0,
        failed_percent: if random.u32(..200) == 0 { f64::from(random.u32(1..100)) / 10.0 } else { 0.0 },
        p95_ms: Some(f64::from(random.u32(10..2000)) / 10.0),
    };
    Traffic { edges: entered.chain(called).map(edge).collect(), lacks: None }
}
