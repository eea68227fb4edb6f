//! Live flows of a lane: the ways of some that an edge marks by itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use canary_rules::name::LaneName;
use canary_rules::trace::Sample;
use canary_rules::wire::FilterConfig;
use canary_trace::{Record, Trace, without_late_guesses};
use jiff::Timestamp;

use super::Args;
use super::demo::Demo;
use super::in_cluster::InCluster;
use super::mesh::{self, Mesh, Wanted};
use super::print;
use crate::cluster::Cluster;
use crate::demo_mesh::DemoMesh;
use crate::edges_now;
use crate::failure::{Code, Failure};
use crate::output::TextOrJson;
use crate::rights::{self, Command};
use crate::signals;
use crate::trace_key::{Turn, Watch};

/// How often edges are asked whether a flow has come.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long what is known of pods and read of logs goes back.
const LOOK_ANEW: Duration = Duration::from_secs(30);
/// How long nothing comes before it is said that nothing comes.
const SILENT_FOR: Duration = Duration::from_secs(15);

/// What is watched.
struct Watching<'a> {
    args: &'a Args,
    lane: &'a LaneName,
    watcher: u32,
}

/// Watches a lane of a cluster until so many flows were shown, or Ctrl-C. Returns how many of them lost their tag.
///
/// # Errors
/// When nobody can be asked for flows, or no edge knows the lane.
pub(super) async fn cluster(args: &Args, lane: &LaneName, cluster: &Cluster) -> Result<usize, Failure> {
    let client = &cluster.client;
    rights::held(client, Command::Trace, &[], &[rights::command::WATCH]).await?;
    let edges = edges_now::some(client).await?;
    known(lane, edges.iter().filter(|edge| !edge.is_off).filter_map(|edge| edge.config.as_ref()))?;
    let every_s = u32::try_from(args.every.as_secs()).unwrap_or(u32::MAX).max(1);
    let turn = Turn::begin(client, Some(&Watch { lane: lane.clone(), every_s })).await?;
    let watching = Watching { args, lane, watcher: turn.watcher() };
    let watched = async {
        turn.arrived(args.timeout).await?;
        watching.flows(|| InCluster::new(client, turn.key())).await
    };
    let watched = tokio::select! {
        watched = watched => watched,
        failure = turn.keep() => Err(failure),
        () = signals::stopped() => Err(Failure::silent(Code::Interrupted)),
    };
    match (watched, turn.end().await) {
        (Ok(_), Err(left)) => {
            Err(left.context("the flows were shown, but the key for traces ends later, by itself"))
        }
        (watched, _) => watched,
    }
}

/// The same on the demo's mesh, whose gateway marks some flows of every lane.
///
/// # Errors
/// When its gateway does not know the lane.
pub(super) async fn demo(args: &Args, lane: &LaneName, mesh: &DemoMesh) -> Result<usize, Failure> {
    known(lane, std::iter::once(&mesh.edge))?;
    let mut samples = mesh.edge.trace.iter().flat_map(|tracing| &tracing.samples);
    let watcher =
        samples.find_map(|text| Some(Sample::read(text).filter(|sample| sample.lane == *lane)?.watcher));
    let watching = Watching { args, lane, watcher: watcher.unwrap_or_default() };
    let look = async || Ok(Demo::new(mesh.clone()));
    tokio::select! {
        watched = watching.flows(look) => watched,
        () = signals::stopped() => Err(Failure::silent(Code::Interrupted)),
    }
}

/// Whether an edge puts requests in the lane.
fn known<'a>(lane: &LaneName, edges: impl Iterator<Item = &'a FilterConfig>) -> Result<(), Failure> {
    let lanes: BTreeSet<&str> = edges.flat_map(|edge| &edge.lanes).map(|lane| lane.name.as_str()).collect();
    if lanes.contains(lane.as_str()) {
        return Ok(());
    }
    let failure = Failure::new(Code::Failed, format!("no gateway puts requests in a lane {lane}"));
    Err(match lanes.is_empty() {
        true => failure.help("canaryctl enable turns a lane on"),
        false => {
            failure.help(format!("lanes that are on: {}", lanes.into_iter().collect::<Vec<_>>().join(", ")))
        }
    })
}

impl Watching<'_> {
    /// Shows one flow after the other. `look` is called again and again: pods come and go.
    async fn flows<M: Mesh>(&self, look: impl AsyncFn() -> Result<M, Failure>) -> Result<usize, Failure> {
        let (mut mesh, mut looked) = (look().await?, Instant::now());
        let (mut left, mut lost) = (self.args.count, 0);
        let mut known = BTreeSet::new();
        let mut silence = Silence { since: Instant::now(), is_said: false };
        while left != Some(0) {
            let asked = Instant::now();
            let told = mesh.told(Wanted::Entries(self.watcher)).await;
            let fresh = told.records.iter().filter(|record| !known.contains(&record.trace));
            let latest = fresh.max_by_key(|record| record.at_us).cloned();
            // As far back as logs are read, and no further.
            known = told.records.iter().map(|record| record.trace).collect();
            match latest {
                Some(entry) => {
                    let late = Duration::from_secs(self.args.late);
                    let (trace, unheard) = mesh::follow(&mesh, entry.trace, late, without_late_guesses).await;
                    lost += usize::from(!trace.culprits.is_empty());
                    self.show(&entry, &trace, &unheard);
                    left = left.map(|left| left - 1);
                    silence = Silence { since: Instant::now(), is_said: true };
                    if left != Some(0) {
                        tokio::time::sleep(self.args.every.saturating_sub(asked.elapsed())).await;
                    }
                }
                None => {
                    silence.say(self.lane, &told.unheard);
                    tokio::time::sleep(ASK_EVERY).await;
                }
            }
            if looked.elapsed() > LOOK_ANEW {
                (mesh, looked) = (look().await?, Instant::now());
            }
        }
        Ok(lost)
    }

    fn show(&self, entry: &Record, trace: &Trace, unheard: &[String]) {
        let at = i64::try_from(entry.at_us).ok().and_then(|at| Timestamp::from_microsecond(at).ok());
        let at = at.unwrap_or_else(Timestamp::now);
        match self.args.output {
            TextOrJson::Text => print::watched(at, trace, unheard),
            TextOrJson::Json => print::watched_json(at, trace, unheard),
        }
    }
}

/// That nothing comes, said once.
struct Silence {
    since: Instant,
    is_said: bool,
}

impl Silence {
    fn say(&mut self, lane: &LaneName, unheard: &[String]) {
        if self.is_said || self.since.elapsed() < SILENT_FOR {
            return;
        }
        self.is_said = true;
        eprintln!(
            "no flow of lane {lane} for {} s: who is in it? canaryctl lanes describe {lane}",
            SILENT_FOR.as_secs()
        );
        for why in unheard {
            eprintln!("not heard: {why}");
        }
    }
}
