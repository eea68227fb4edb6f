//! Traces through real Envoys against what the applications saw: every hop, every tag, and who lost it.

use std::collections::BTreeSet;

use canary_e2e::staged::Lanes;
use canary_istio::Host;
use canary_localmesh::app::{CallOrder, LateCall};
use canary_localmesh::{AppSpec, Behaviour, Client, GATEWAY, Protocol, Tree, demo};
use canary_rules::name::LaneName;
use canary_rules::trace::{Mark, Sample, TRACE_HEADER, TraceKey, Tracing};
use canary_trace::{Hop, Place, Pod, Record, Trace, without_late_guesses};

use crate::pair::ONLY_GRAY;
use crate::stage::{Answer, HOST, Stage, tools, until};

const KEY: TraceKey = TraceKey::new([9; 16]);
const FOREVER_UNIX_S: u64 = 4_102_444_800;
/// Meshes drawn, and requests sent through each.
const MESHES: u64 = 3;
const REQUESTS: u64 = 5;
/// Services of a drawn mesh.
const SERVICES_MAX: usize = 6;

/// What an application hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandsOn {
    Header,
    Baggage,
    RequestId,
    Trace,
    /// A trace that it starts itself, whatever the request brought.
    OwnTrace,
    Nothing,
}

const ALL: [HandsOn; 6] = [
    HandsOn::Header,
    HandsOn::Baggage,
    HandsOn::RequestId,
    HandsOn::Trace,
    HandsOn::OwnTrace,
    HandsOn::Nothing,
];

fn app(service: &Host, hands_on: HandsOn, calls: Vec<Host>) -> AppSpec {
    let forward = match hands_on {
        HandsOn::Header => &["x-canary-lane"][..],
        HandsOn::Baggage => &["baggage"],
        HandsOn::RequestId => &["x-request-id"],
        HandsOn::Trace => &["traceparent"],
        HandsOn::OwnTrace | HandsOn::Nothing => &[],
    };
    let behaviour = Behaviour {
        calls,
        forward: forward.iter().map(|name| (*name).to_owned()).collect(),
        starts_trace: matches!(hands_on, HandsOn::OwnTrace | HandsOn::Trace),
        ..Behaviour::default()
    };
    AppSpec { behaviour, ..AppSpec::new(service, "v1") }
}

/// The same application's version of lane `gray`.
fn gray(app: &AppSpec) -> AppSpec {
    let name = format!("{}-v2", app.service.name());
    AppSpec { version: "v2".into(), name, ..app.clone() }.in_lane("gray")
}

async fn stage(apps: Vec<AppSpec>) -> Stage {
    stage_with(apps, Vec::new()).await
}

/// With a gateway that marks some requests itself.
async fn stage_with(apps: Vec<AppSpec>, samples: Vec<String>) -> Stage {
    let mut lanes = Lanes::new(ONLY_GRAY);
    lanes.settings.trace = Some(Tracing { key: KEY, expires_unix_s: FOREVER_UNIX_S, samples });
    let entry = apps[0].service.clone();
    Stage::start(lanes.mesh(&tools(), entry, apps), lanes).await
}

/// A caller, who it called, and the tag that arrived there.
type Edge = (String, String, Option<String>);

/// What the applications saw, and which of them lost the tag.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    edges: Vec<Edge>,
    losers: BTreeSet<String>,
}

impl Seen {
    fn by_apps(&mut self, caller: &str, hop: &Tree, calls: &[Tree]) {
        let tag = |hop: &Tree| hop.received("x-canary-lane").map(str::to_owned);
        self.edges.push((caller.into(), hop.instance.clone(), tag(hop)));
        self.calls(hop, calls);
    }

    fn calls(&mut self, hop: &Tree, calls: &[Tree]) {
        let tag = |hop: &Tree| hop.received("x-canary-lane").is_some();
        if tag(hop) && calls.iter().any(|call| !tag(call)) {
            self.losers.insert(hop.instance.clone());
        }
        for call in calls {
            self.by_apps(&hop.instance, call, &call.calls);
        }
    }

    fn by_trace(trace: &Trace) -> Self {
        fn below(caller: &Hop, edges: &mut Vec<Edge>) {
            for hop in &caller.calls {
                edges.push((caller.pod.name.clone(), hop.pod.name.clone(), hop.tag.clone()));
                below(hop, edges);
            }
        }
        let mut seen = Self::default();
        trace.hops.iter().for_each(|hop| below(hop, &mut seen.edges));
        seen.losers = trace.culprits.iter().map(|culprit| culprit.pod.clone()).collect();
        seen
    }

    fn sorted(mut self) -> Self {
        self.edges.sort();
        self
    }
}

/// Every record of the mesh.
fn records(stage: &Stage) -> Vec<Record> {
    let mut records = Vec::new();
    for proxy in stage.mesh.proxies() {
        let log = std::fs::read(stage.mesh.proxy_log(proxy).expect("known")).expect("a log");
        let log = String::from_utf8_lossy(&log);
        records.extend(log.lines().filter_map(|line| Record::read(proxy, line)));
    }
    records
}

/// Sends a marked request, and waits until as much is told as there is to tell.
async fn check(stage: &Stage, client: &Client, trace_id: u64, headers: &[(&str, &str)]) -> Trace {
    let mark = String::from_utf8(KEY.sign(Mark { trace: trace_id, span: 0 }).to_vec()).expect("text");
    let headers = [&[(TRACE_HEADER, &*mark), ("cookie", "gray=1")], headers].concat();
    compare(stage, &stage.get(client, "/cart", &headers).await, trace_id).await
}

/// The trace of an answer, which tells what the applications saw.
async fn compare(stage: &Stage, answer: &Answer, trace_id: u64) -> Trace {
    assert_eq!(answer.reply.status, 200, "{}", answer.reply.text());
    let mut seen = Seen::default();
    seen.by_apps(GATEWAY, &answer.tree, &answer.tree.calls);
    for hop in answer.tree.walk() {
        assert!(hop.received(TRACE_HEADER).is_none(), "{} sees the mark", hop.instance);
        let Some(id) = &hop.after_response else { continue };
        let app = Client::new(stage.mesh.app_address(&hop.instance).expect("known"), Protocol::Http1);
        let late = until("the late calls' answers", async || {
            let reply =
                app.get::<&str, &str>(HOST, &format!("/_async?id={id}"), &[]).await.expect("a response");
            serde_json::from_slice::<Tree>(&reply.body).ok().filter(|_| reply.status == 200)
        })
        .await;
        seen.calls(hop, &late.calls);
    }
    let pods = |name: &str| {
        let app = stage.mesh.apps().iter().find(|app| app.name == name);
        Some(Pod {
            name: name.into(),
            service: app.map_or(name.into(), |app| app.service.to_string()),
            ..Pod::default()
        })
    };
    let passes = 2 * seen.edges.len();
    let told = until("every pass is told", async || {
        let mut records = records(stage);
        records.retain(|record| record.trace == trace_id);
        (records.len() >= passes).then_some(records)
    })
    .await;
    let trace = Trace::new(&told, trace_id, pods);
    assert_eq!(Seen::by_trace(&trace).sorted(), seen.sorted(), "{trace}");
    assert_eq!(told.len(), passes, "each pass once");
    assert!(trace.is_whole() && trace.culprits.iter().all(|culprit| culprit.sure), "{:?}", trace.culprits);
    trace
}

/// Trees of services, each called once, their applications handing on one thing or nothing.
pub(crate) async fn random() {
    for _ in 0..MESHES {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(3..=SERVICES_MAX);
        let hosts: Vec<Host> = (0..count).map(|number| demo::host(&format!("s{number}"))).collect();
        let mut calls = vec![Vec::new(); count];
        for called in 1..count {
            calls[random.usize(..called)].push(hosts[called].clone());
        }
        let mut apps: Vec<AppSpec> = Vec::new();
        for (host, calls) in hosts.iter().zip(calls) {
            let hands_on = ALL[random.usize(..ALL.len())];
            let mut app = app(host, hands_on, calls);
            app.behaviour.order = if random.bool() { CallOrder::Parallel } else { CallOrder::InTurn };
            eprintln!("seed {seed}: {} {hands_on:?} calls {:?}", app.name, app.behaviour.calls);
            apps.push(app);
        }
        let members: Vec<AppSpec> = apps.iter().filter(|_| random.bool()).map(gray).collect();
        apps.extend(members);
        let stage = stage(apps).await;
        let client = stage.client();
        for request in 1..=REQUESTS {
            let trace = format!("00-{:032x}-00f067aa0ba902b7-01", random.u128(1..));
            let brings_trace = [("traceparent", &*trace)];
            let headers = if random.bool() { &brings_trace[..] } else { &[] };
            check(&stage, &client, request, headers).await;
        }
        stage.mesh.shutdown().await;
    }
}

/// One application calls three others at once, two of which call the same fourth one.
pub(crate) async fn at_once() {
    let [web, cart, stock, price, tax] = ["web", "cart", "stock", "price", "tax"].map(demo::host);
    let mut apps = vec![
        app(&web, HandsOn::RequestId, vec![cart.clone(), stock.clone(), tax.clone()]),
        app(&cart, HandsOn::RequestId, vec![price.clone()]),
        app(&stock, HandsOn::Trace, vec![price.clone()]),
        app(&price, HandsOn::Header, vec![]),
        app(&tax, HandsOn::Nothing, vec![]),
    ];
    apps.push(gray(&apps[3]));
    let stage = stage(apps).await;
    let client = stage.client();
    for request in 1..=REQUESTS {
        let trace = check(&stage, &client, request, &[]).await;
        // Stock hands on a trace, and has got none: it starts one of its own.
        let culprits: Vec<_> = trace.culprits.iter().map(|culprit| &*culprit.pod).collect();
        assert_eq!(culprits, ["stock-v1"]);
    }
    stage.mesh.shutdown().await;
}

/// Calls that are made only when the answer is out: one by an id, one by nothing.
pub(crate) async fn after_the_response() {
    let [web, cart, stock, price] = ["web", "cart", "stock", "price"].map(demo::host);
    let late = |host: &Host| vec![LateCall { host: host.clone(), delay_ms: 100 }];
    let mut apps = vec![
        app(&web, HandsOn::RequestId, vec![cart.clone()]),
        app(&cart, HandsOn::Nothing, vec![]),
        app(&stock, HandsOn::Nothing, vec![]),
        app(&price, HandsOn::Nothing, vec![]),
    ];
    apps[0].behaviour.after_response = late(&price);
    apps[1].behaviour.after_response = late(&stock);
    apps.push(gray(&apps[3]));
    let stage = stage(apps).await;
    let client = stage.client();
    let trace = check(&stage, &client, 1, &[]).await;
    let culprits: Vec<_> = trace.culprits.iter().map(|culprit| &*culprit.pod).collect();
    assert_eq!(culprits, ["cart-v1"]);
    stage.mesh.shutdown().await;
}

/// Somebody watches a lane: of what others send, one flow is told, whole, and none of anybody else.
pub(crate) async fn watched() {
    const WATCHER: u32 = 7;
    /// Longer than the test.
    const EVERY_S: u32 = 3600;
    const FLOWS: usize = 5;
    let [web, cart, stock] = ["web", "cart", "stock"].map(demo::host);
    let mut apps = vec![
        app(&web, HandsOn::RequestId, vec![cart.clone()]),
        app(&cart, HandsOn::Nothing, vec![stock.clone()]),
        app(&stock, HandsOn::Nothing, vec![]),
    ];
    apps.push(gray(&apps[2]));
    let lane = LaneName::new("gray").expect("a lane");
    let sample = Sample { lane, every_s: EVERY_S, watcher: WATCHER };
    let stage = stage_with(apps, vec![sample.to_string()]).await;
    let client = stage.client();
    for _ in 0..FLOWS {
        stage.get(&client, "/other", &[]).await;
    }
    let gray = async || stage.get(&client, "/cart", &[("cookie", "gray=1")]).await;
    let answer = gray().await;
    let entry =
        until("a flow is told", async || records(&stage).into_iter().find(|one| one.place == Place::Edge))
            .await;
    assert_eq!(Sample::watcher_of(entry.trace), u64::from(WATCHER));
    let trace = compare(&stage, &answer, entry.trace).await;
    let culprits: Vec<_> = trace.culprits.iter().map(|culprit| &*culprit.pod).collect();
    assert_eq!(culprits, ["cart-v1"]);
    for _ in 0..FLOWS {
        gray().await;
    }
    let mut told = records(&stage);
    assert!(told.iter().all(|one| one.trace == entry.trace), "one flow, and nobody else's");
    told = without_late_guesses(told);
    let shown = Trace::new(&told, entry.trace, |name| Some(Pod { name: name.into(), ..Pod::default() }));
    assert_eq!(
        shown.walk().count(),
        trace.walk().count(),
        "cart's later calls are not this flow's:\n{shown}"
    );
    stage.mesh.shutdown().await;
}
