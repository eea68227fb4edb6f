//! How long planning takes: `cargo run --release -p canary-istio --example scale`.
//!
//! Prints a line per mesh: its size, what is planned from scratch, and the median CPU time of a first plan and of one
//! that finds nothing to do. `sparse` lanes have members at 20 services each; a `dense` one has one everywhere.
//!
//! Below each the same for answers about one object at a time: the index behind them, then a VirtualService that
//! is written without lanes' routes, a DestinationRule without its preferences, and a pod that is just made.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_istio::lane::LANE_LABEL;
use canary_istio::observed::{HttpRoutes, Port};
use canary_istio::own::Owners;
use canary_istio::{
    Action, Change, Desired, Labels, LaneRouting, Mode, Object, Observed, ObservedService, Standing,
    Workload, plan_cluster, simulate, standing::Before,
};
use canary_rules::name::{HeaderName, LaneName};
use serde_json::json;

/// Services at which a lane of a sparse mesh has members.
const MEMBERS_PER_LANE: usize = 20;
/// Runs per figure.
const RUNS: usize = 7;

fn main() {
    println!(
        "{:>8} {:>5}  {:6} {:>7} {:>8} {:>9} {:>9}",
        "services", "lanes", "", "changes", "routes", "first", "again"
    );
    for (services, lanes, dense) in [
        (250, 50, false),
        (500, 50, false),
        (1000, 50, false),
        (2000, 50, false),
        (1000, 25, false),
        (1000, 1, true),
        (1000, 10, true),
        (500, 50, true),
        (1000, 50, true),
    ] {
        measure(services, lanes, dense);
    }
}

fn measure(services: usize, count: usize, dense: bool) {
    let lanes: Vec<LaneRouting> = (0..count).map(lane).collect();
    let mut observed = mesh(services, count, dense);
    let tag_header = HeaderName::new("x-canary-lane").expect("a header");
    let owners = Owners::new();
    let desired = Desired { lanes: &lanes, tag_header: &tag_header, owners: &owners, edge: &[], hops: &[] };
    let first = median(|| plan_cluster(&desired, &observed).expect("a plan"));
    let plan = plan_cluster(&desired, &observed).expect("a plan");
    let routes: usize = plan.changes.iter().map(routes_of_ours).sum();
    for change in &plan.changes {
        simulate::apply(&mut observed, change).expect("no conflict");
    }
    for pod in &plan.pod_labels {
        let at = observed.services.iter().position(|service| service.host == pod.host).expect("the service");
        let workloads = &mut observed.services[at].workloads;
        let workload = workloads.iter_mut().find(|workload| workload.name == pod.workload);
        workload.expect("the workload").labels.extend(pod.labels.clone());
    }
    let again = median(|| plan_cluster(&desired, &observed).expect("a plan"));
    assert!(plan_cluster(&desired, &observed).expect("a plan").changes.is_empty(), "nothing is left to do");
    let kind = if dense { "dense" } else { "sparse" };
    let (changes, ms) = (plan.changes.len(), |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3));
    println!("{services:>8} {count:>5}  {kind:6} {changes:>7} {routes:>8} {:>9} {:>9}", ms(first), ms(again));
    let [index, service, rule, pod] = answers(&observed, &lanes, &tag_header).map(ms);
    println!("{:>22} index {index}, VirtualService {service}, DestinationRule {rule}, pod {pod}", "");
}

/// How long the index takes, and an answer about an object of each kind.
fn answers(observed: &Observed, lanes: &[LaneRouting], tag_header: &HeaderName) -> [Duration; 4] {
    // The index takes the mesh, so copies are not measured with it.
    let mut copies = vec![observed.clone(); RUNS];
    let index =
        median(|| Standing::new(copies.pop().unwrap_or_default(), lanes.to_vec(), tag_header.clone()));
    let standing = Standing::new(observed.clone(), lanes.to_vec(), tag_header.clone());
    let named = |objects: &[Object]| objects.iter().find(|object| object.name() == "s0").cloned();
    let stored = named(&observed.virtual_services).expect("a user's VirtualService");
    let mut wiped = stored.clone().into_value();
    let http = wiped["spec"]["http"].as_array_mut().expect("routes");
    http.retain(|route| !route["name"].as_str().is_some_and(|name| name.starts_with("canary")));
    let wiped = Object::new(wiped).expect("an object");
    let service = median(|| standing.virtual_service(&wiped, Before::Stored(&stored)));
    let mut rule = named(&observed.destination_rules).expect("a user's rule").into_value();
    rule["spec"]["trafficPolicy"] = json!({"loadBalancer": {"simple": "LEAST_REQUEST"}});
    let rule = Object::new(rule).expect("an object");
    let ruled = median(|| standing.destination_rule(&rule));
    let labels = &observed.services[0].workloads.last().expect("a workload").labels;
    let pod = median(|| standing.pod_labels("shop", labels));
    [index, service, ruled, pod]
}

fn median<T>(mut run: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = cpu_time();
            let made = run();
            let time = cpu_time() - start;
            drop(made);
            time
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

/// Time that this thread has run: other work on the machine does not count.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn routes_of_ours(change: &Change) -> usize {
    let body = match &change.action {
        Action::Create { body } | Action::Replace { body } => body,
        Action::Patch { merge } => merge,
        Action::Delete => return 0,
    };
    let routes = body["spec"]["http"].as_array().into_iter().flatten();
    routes.filter(|route| route["name"].as_str().is_some_and(|name| name.starts_with("canary"))).count()
}

fn lane(number: usize) -> LaneRouting {
    LaneRouting {
        name: LaneName::new(&format!("lane-{number}")).expect("a lane's name"),
        parent: None,
        mode: Mode::Permissive,
        members: BTreeMap::new(),
        mirror: 0,
    }
}

/// Every second service has a VirtualService of two routes, every fourth a DestinationRule.
fn mesh(services: usize, lanes: usize, dense: bool) -> Observed {
    let mut observed = Observed::default();
    for number in 0..services {
        let name = format!("s{number}");
        let workload = |name: String, lane: Option<usize>| {
            let mut labels = Labels::from([("app".into(), name.clone()), ("version".into(), "v1".into())]);
            labels.extend(lane.map(|lane| (LANE_LABEL.to_owned(), format!("lane-{lane}"))));
            Workload { name, labels }
        };
        let has =
            |lane: &usize| dense || (0..MEMBERS_PER_LANE).any(|k| (lane * 37 + k * 101) % services == number);
        let members = (0..lanes).filter(has).map(|lane| workload(format!("{name}-{lane}"), Some(lane)));
        observed.services.push(ObservedService {
            host: format!("{name}.shop").parse().expect("a host"),
            ports: vec![Port { name: Some("http".into()), number: 80, app_protocol: None, udp: false }],
            headless: false,
            selector: Labels::new(),
            workloads: [workload(name.clone(), None)].into_iter().chain(members).collect(),
            http_routes: HttpRoutes::default(),
            distribution: None,
            exchanged: None,
            copies: Vec::new(),
        });
        let object = |kind: &str, spec| {
            let value = json!({"apiVersion": "networking.istio.io/v1", "kind": kind,
                "metadata": {"name": name, "namespace": "shop", "resourceVersion": "1"}, "spec": spec});
            Object::new(value).expect("an object")
        };
        if number % 2 == 0 {
            observed.virtual_services.push(object("VirtualService", json!({"hosts": [name], "http": [
                {"name": "api", "match": [{"uri": {"prefix": "/api"}}], "timeout": "5s", "route": [{"destination": {"host": name}}]},
                {"route": [{"destination": {"host": name}}]},
            ]})));
        }
        if number % 4 == 0 {
            let policy = json!({"loadBalancer": {"simple": "LEAST_REQUEST"}});
            let spec = json!({"host": name, "trafficPolicy": policy, "subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
            observed.destination_rules.push(object("DestinationRule", spec));
        }
    }
    observed
}
