//! `canaryctl trace --watch`: live flows of a lane, as they come.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use canary_rules::name::LaneName;
use canary_rules::trace::Sample;

use super::Args;
use super::demo::Demo;
use super::print;
use crate::cluster::Cluster;
use crate::demo_mesh::DemoMesh;
use crate::failure::{Code, Failure};
use crate::output::TextOrJson;
use crate::signals;
use crate::traced::{Flow, News, Watching, known};

/// How long nothing comes before it is said that nothing comes.
const SILENT_FOR: Duration = Duration::from_secs(15);

/// Watches a lane of a cluster until so many flows were shown, or Ctrl-C. Returns how many of them lost their tag.
///
/// # Errors
/// When nobody can be asked for flows, or no edge knows the lane.
pub(super) async fn cluster(args: &Args, lane: &LaneName, cluster: &Cluster) -> Result<usize, Failure> {
    let mut shown = Shown::new(args, lane);
    let watching = watching(args, lane);
    watching.cluster(&cluster.client, args.timeout, interrupted(), |news| shown.see(news)).await?;
    Ok(shown.lost)
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
    let look = async || Ok(Demo::new(mesh.clone()));
    let mut shown = Shown::new(args, lane);
    let watching = watching(args, lane);
    let flows = watching.flows(watcher.unwrap_or_default(), look, |news| shown.see(news));
    tokio::select! {
        watched = flows => watched?,
        stopped = interrupted() => stopped?,
    }
    Ok(shown.lost)
}

fn watching(args: &Args, lane: &LaneName) -> Watching {
    Watching { lane: lane.clone(), every: args.every, late: Duration::from_secs(args.late) }
}

async fn interrupted() -> Result<(), Failure> {
    signals::stopped().await;
    Err(Failure::silent(Code::Interrupted))
}

/// What is shown, and what was.
struct Shown<'a> {
    lane: &'a LaneName,
    output: TextOrJson,
    /// How many flows are still to be shown; none without an end.
    left: Option<u64>,
    /// How many lost their tag.
    lost: usize,
    silent_since: Instant,
    /// Silence is said once, and only before the first flow.
    is_silence_said: bool,
}

impl<'a> Shown<'a> {
    fn new(args: &Args, lane: &'a LaneName) -> Self {
        let (output, left) = (args.output, args.count);
        Self { lane, output, left, lost: 0, silent_since: Instant::now(), is_silence_said: false }
    }

    fn see(&mut self, news: News) -> ControlFlow<()> {
        match news {
            News::Flow(Flow { at, trace, unheard }) => {
                self.lost += usize::from(!trace.culprits.is_empty());
                match self.output {
                    TextOrJson::Text => print::watched(at, &trace, &unheard),
                    TextOrJson::Json => print::watched_json(at, &trace, &unheard),
                }
                self.left = self.left.map(|left| left.saturating_sub(1));
                self.is_silence_said = true;
            }
            News::Nothing { unheard } => self.say_silence(&unheard),
        }
        if self.left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn say_silence(&mut self, unheard: &[String]) {
        if self.is_silence_said || self.silent_since.elapsed() < SILENT_FOR {
            return;
        }
        self.is_silence_said = true;
        let lane = self.lane;
        eprintln!(
            "no flow of lane {lane} for {} s: who is in it? canaryctl lanes describe {lane}",
            SILENT_FOR.as_secs()
        );
        for why in unheard {
            eprintln!("not heard: {why}");
        }
    }
}
