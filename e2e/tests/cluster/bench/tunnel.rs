//! How fast a developer's connection is beside other ways to a pod: `cargo xtask bench --tunnel` measures it on a lab
//! and writes a section of a document.
//!
//! Every way is open all the time; they are measured in turns, in shuffled order, round after round. What comes and goes
//! is compared byte by byte by the programs at both ends, and nothing else is asserted.

mod costs;
mod report;
mod sshd;
mod ways;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use canary_e2e::bench::{document, usage};
use canary_lab::ImageSpec;
use serde_json::json;

use super::processes;
use crate::bytes;
use crate::cluster::{Cluster, OF_TESTS};
use crate::link::Link;
use sshd::Sshd;
use ways::{Open, Place, WAYS};

/// Names the document to write into.
pub(crate) const DOCUMENT_ENV: &str = "CANARY_BENCH_TUNNEL_DOCUMENT";
/// The canaryctl to measure: a static one, which an image is made of.
const CANARYCTL_ENV: &str = "CANARY_BENCH_CANARYCTL";

const CANARYCTL_IMAGE: &str = "canary-lab.test/canaryctl:bench";
/// How long the pod may take to be ready.
const READY: &str = "--timeout=120s";

/// How far away the cluster is, and how much is sent there in a turn: less where it takes longer.
const DISTANCES: [Distance; 5] = [
    Distance::new(0, 0, 48_000_000, 300),
    Distance::new(20, 0, 48_000_000, 100),
    Distance::new(80, 0, 48_000_000, 50),
    Distance::new(20, 10, 6_000_000, 50),
    Distance::new(80, 10, 2_000_000, 30),
];
/// Rounds where nothing is lost, and where something is.
const ROUNDS: usize = 5;
const ROUNDS_LOST: usize = 3;
/// How often each way is opened.
const STARTS: usize = 7;

/// How far away the cluster is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Distance {
    round_trip: Duration,
    /// Of a thousand packets, in each direction.
    lost: u32,
    /// What is sent in a turn, by all flows together.
    bytes: u64,
    /// Small requests in a turn.
    requests: usize,
}

impl Distance {
    const fn new(round_trip_ms: u64, lost: u32, bytes: u64, requests: usize) -> Self {
        Self { round_trip: Duration::from_millis(round_trip_ms), lost, bytes, requests }
    }

    fn is_here(self) -> bool {
        self.round_trip.is_zero()
    }

    fn rounds(self) -> usize {
        if self.lost == 0 { ROUNDS } else { ROUNDS_LOST }
    }
}

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
    fn line(self, distance: Distance) -> String {
        let Distance { bytes, requests, .. } = distance;
        match self {
            Self::Get { flows } => format!("get {bytes} {flows}"),
            Self::Put { flows } => format!("put {bytes} {flows}"),
            Self::Echo => format!("echo {requests}"),
        }
    }
}

/// One thing measured over one distance: for each way, in the order of [`WAYS`], the answers of each round.
struct Row {
    distance: Distance,
    what: What,
    answers: [Vec<Vec<f64>>; WAYS.len()],
    /// The seconds that all processors of the machine were busy meanwhile.
    busy: [Vec<f64>; WAYS.len()],
}

/// Everything that was found.
struct Results {
    rows: Vec<Row>,
    /// The seconds from the command to the first byte, for each way.
    starts: [Vec<f64>; WAYS.len()],
    /// The memory that the programs of each way have on the user's side in the end, in bytes.
    resident: [u64; WAYS.len()],
    /// The same of the largest agent of ours, in the cluster.
    agent_resident: u64,
    load: [String; 2],
}

/// Measures, and writes the section.
pub(crate) fn run(document: &Path) -> ExitCode {
    let cluster = Cluster::find();
    let results = measure(&cluster);
    let old = std::fs::read_to_string(document).unwrap_or_default();
    std::fs::write(document, document::put(&old, &report::section(&cluster, &results))).expect("written");
    eprintln!("report     {}", document.display());
    ExitCode::SUCCESS
}

fn measure(cluster: &Cluster) -> Results {
    let place = place(cluster);
    let before = usage::load_average();
    let starts = starts(&place);
    let mut results = Results {
        rows: Vec::new(),
        starts,
        resident: [0; WAYS.len()],
        agent_resident: 0,
        load: [before, String::new()],
    };
    for (number, distance) in DISTANCES.into_iter().enumerate() {
        let link = (!distance.is_here()).then(|| Link::new(number, distance.round_trip, distance.lost));
        let mut open = WAYS.map(|way| Open::new(&place, way, link.as_ref()));
        results.rows.extend(rows(distance, &mut open));
        if distance.is_here() {
            for (at, way) in WAYS.into_iter().enumerate() {
                results.resident[at] = open[at].programs(way).into_iter().map(costs::resident).sum();
            }
            results.agent_resident = processes::agents().map(costs::resident).max().unwrap_or_default();
        }
    }
    cluster.kubectl(&["delete", "namespace", &place.namespace, "--timeout=60s"]);
    results.load[1] = usage::load_average();
    results
}

/// A pod without a sidecar that serves, in a namespace of its own.
fn place(cluster: &Cluster) -> Place {
    let canaryctl = std::env::var(CANARYCTL_ENV);
    let canaryctl = canaryctl.unwrap_or_else(|_| panic!("{CANARYCTL_ENV} is set by cargo xtask bench"));
    let image = ImageSpec::new(CANARYCTL_IMAGE, "/program").file(&canaryctl, "/program");
    cluster.lab().expect("CANARY_LAB names a lab").load(&[image], &[]).expect("the image is loaded");
    let program_image = bytes::image(cluster);
    let namespace = format!("bytes-{:08x}", fastrand::u32(..));
    cluster.apply(&[
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {(OF_TESTS.0): OF_TESTS.1}},
        }),
        bytes::pod(&namespace, program_image),
    ]);
    let sshd = Sshd::start(cluster, &namespace, program_image);
    cluster
        .kubectl(&["-n", &namespace, "wait", "--for=condition=Ready", "pod/bytes", "pod/sshd", READY])
        .ok();
    let pod = cluster.get(&["-n", &namespace, "pod", "bytes"]);
    let address = pod["status"]["podIP"].as_str().expect("an address").parse().expect("an address");
    let pod = SocketAddr::new(address, bytes::PORT);
    let (cluster, program) = (cluster.clone(), bytes::program());
    Place { cluster, namespace, pod, program, canaryctl, image: CANARYCTL_IMAGE, sshd }
}

fn starts(place: &Place) -> [Vec<f64>; WAYS.len()] {
    let mut starts = WAYS.map(|_| Vec::new());
    for round in 0..STARTS {
        for at in shuffled(WAYS.len()) {
            let took = Open::new(place, WAYS[at], None).took;
            eprintln!("start {round}: {} {took:?}", WAYS[at].name());
            starts[at].push(took.as_secs_f64());
        }
    }
    starts
}

fn rows(distance: Distance, open: &mut [Open; WAYS.len()]) -> Vec<Row> {
    let row =
        |what| Row { distance, what, answers: WAYS.map(|_| Vec::new()), busy: WAYS.map(|_| Vec::new()) };
    let mut rows: Vec<Row> = WHATS.map(row).into();
    for round in 0..distance.rounds() {
        for row in &mut rows {
            for way in shuffled(WAYS.len()) {
                let before = costs::busy_s();
                row.answers[way].push(open[way].ask(&row.what.line(distance)));
                row.busy[way].push(costs::busy_s() - before);
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
