//! How fast a developer's connection is beside other ways to a pod: `cargo xtask bench --tunnel` measures it on a lab
//! and writes a section of a document.
//!
//! Every way is open all the time; they are measured in turns, in shuffled order, round after round. What comes and goes
//! is compared byte by byte by the programs at both ends, and nothing else is asserted.

mod link;
mod report;
mod ways;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use canary_e2e::bench::{document, usage};
use canary_lab::ImageSpec;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use link::Link;
use ways::{Ends, Open, Place, WAYS};

/// Names the document to write into.
pub(crate) const DOCUMENT_ENV: &str = "CANARY_BENCH_TUNNEL_DOCUMENT";
/// The canaryctl to measure, and the program at both ends: static ones, which are made images of.
const CANARYCTL_ENV: &str = "CANARY_BENCH_CANARYCTL";
const PROGRAM_ENV: &str = "CANARY_BENCH_BYTES";

const CANARYCTL_IMAGE: &str = "canary-lab.test/canaryctl:bench";
const PROGRAM_IMAGE: &str = "canary-lab.test/bytes:bench";
const PORT: u16 = 9000;
/// How long the pod may take to be ready.
const READY: &str = "--timeout=120s";

/// How far away the cluster is.
const ROUND_TRIPS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(20)];
const ROUNDS: usize = 7;
/// What is sent in a turn, by all flows together.
const BYTES: u64 = 48_000_000;
/// Small requests in a turn.
const REQUESTS: usize = 300;
/// How often each way is opened.
const STARTS: usize = 7;

/// What is measured in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Get { flows: u64 },
    Put { flows: u64 },
    Echo,
}

const WHATS: [What; 5] = [
    What::Get { flows: 1 },
    What::Get { flows: 8 },
    What::Put { flows: 1 },
    What::Put { flows: 8 },
    What::Echo,
];

impl What {
    fn line(self) -> String {
        match self {
            Self::Get { flows } => format!("get {BYTES} {flows}"),
            Self::Put { flows } => format!("put {BYTES} {flows}"),
            Self::Echo => format!("echo {REQUESTS}"),
        }
    }
}

/// One thing measured over one distance: for each way, in the order of [`WAYS`], the answers of each round.
struct Row {
    round_trip: Duration,
    what: What,
    answers: [Vec<Vec<f64>>; WAYS.len()],
}

/// Everything that was found.
struct Results {
    rows: Vec<Row>,
    /// The seconds from the command to the first byte, for each way.
    starts: [Vec<f64>; WAYS.len()],
    load: [String; 2],
}

/// Measures, and writes the section.
pub(crate) fn run(document: &Path) -> ExitCode {
    let cluster = Cluster::find();
    let results = Runtime::new().expect("a runtime").block_on(measure(&cluster));
    let old = std::fs::read_to_string(document).unwrap_or_default();
    std::fs::write(document, document::put(&old, &report::section(&cluster, &results))).expect("written");
    eprintln!("report     {}", document.display());
    ExitCode::SUCCESS
}

async fn measure(cluster: &Cluster) -> Results {
    let place = place(cluster);
    let before = usage::load_average();
    let mut ends = Vec::new();
    for round_trip in ROUND_TRIPS {
        ends.push(far_away(&place, round_trip).await);
    }
    let starts = starts(&place, ends[0]);
    let rows = rows(&place, &ends);
    cluster.kubectl(&["delete", "namespace", &place.namespace, "--timeout=60s"]);
    Results { rows, starts, load: [before, usage::load_average()] }
}

/// A pod without a sidecar that serves, in a namespace of its own.
fn place(cluster: &Cluster) -> Place {
    let path =
        |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by cargo xtask bench"));
    let (canaryctl, program) = (path(CANARYCTL_ENV), path(PROGRAM_ENV));
    let image = |name: &str, path: &str| ImageSpec::new(name, "/program").file(path, "/program");
    let images = [image(CANARYCTL_IMAGE, &canaryctl), image(PROGRAM_IMAGE, &program)];
    cluster.lab().expect("CANARY_LAB names a lab").load(&images, &[]).expect("the images are loaded");
    let namespace = format!("bytes-{:08x}", fastrand::u32(..));
    cluster.apply(&[
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"canary-test": "yes"}},
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bytes", "namespace": namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "bytes", "image": PROGRAM_IMAGE, "args": ["serve", PORT.to_string()]}],
            },
        }),
    ]);
    cluster.kubectl(&["-n", &namespace, "wait", "--for=condition=Ready", "pod/bytes", READY]).ok();
    let pod = cluster.get(&["-n", &namespace, "pod", "bytes"]);
    let address = pod["status"]["podIP"].as_str().expect("an address").parse().expect("an address");
    let pod = SocketAddr::new(address, PORT);
    Place { cluster: cluster.clone(), namespace, pod, program, canaryctl, image: CANARYCTL_IMAGE }
}

async fn far_away(place: &Place, round_trip: Duration) -> Ends {
    let view = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
    let server = place.cluster.kubectl(&view).ok().stdout;
    let server: SocketAddr = server.trim_start_matches("https://").parse().expect("an address");
    if round_trip.is_zero() {
        return Ends { api_server: server, pod: place.pod };
    }
    let link = Link::new(round_trip);
    // The server's certificate is for its address, whatever the port.
    Ends { api_server: link.to(server, server.ip()).await, pod: link.to(place.pod, server.ip()).await }
}

fn starts(place: &Place, ends: Ends) -> [Vec<f64>; WAYS.len()] {
    let mut starts = WAYS.map(|_| Vec::new());
    for round in 0..STARTS {
        for at in shuffled(WAYS.len()) {
            let took = Open::new(place, WAYS[at], ends).took;
            eprintln!("start {round}: {} {took:?}", WAYS[at].name());
            starts[at].push(took.as_secs_f64());
        }
    }
    starts
}

fn rows(place: &Place, ends: &[Ends]) -> Vec<Row> {
    let mut open: Vec<Vec<Open>> =
        ends.iter().map(|ends| WAYS.map(|way| Open::new(place, way, *ends)).into()).collect();
    let row = |round_trip, what| Row { round_trip, what, answers: WAYS.map(|_| Vec::new()) };
    let mut rows: Vec<Row> = ROUND_TRIPS.iter().flat_map(|far| WHATS.map(|what| row(*far, what))).collect();
    for round in 0..ROUNDS {
        for (at, row) in rows.iter_mut().enumerate() {
            for way in shuffled(WAYS.len()) {
                row.answers[way].push(open[at / WHATS.len()][way].ask(&row.what.line()));
            }
            eprintln!("round {round}: {}", row.told());
        }
    }
    rows
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    fastrand::shuffle(&mut order);
    order
}
