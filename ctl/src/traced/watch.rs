//! Live flows of a lane: the ways of some that an edge marks by itself.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use canary_rules::name::LaneName;
use canary_rules::wire::FilterConfig;
use canary_trace::{Trace, without_late_guesses};
use jiff::Timestamp;
use kube::Client;

use super::in_cluster::InCluster;
use super::mesh::{self, Mesh, Wanted};
use crate::edges_now;
use crate::failure::{Code, Failure};
use crate::rights::{self, Command};
use crate::trace_key::{Turn, Watch};

/// How often edges are asked whether a flow has come.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long what is known of pods and read of logs goes back.
const LOOK_ANEW: Duration = Duration::from_secs(30);

/// What is watched, and how.
#[derive(Debug, Clone)]
pub(crate) struct Watching {
    /// Whose flows.
    pub(crate) lane: LaneName,
    /// How often one is looked at, at most.
    pub(crate) every: Duration,
    /// How long to listen for calls after the response.
    pub(crate) late: Duration,
}

/// A flow that somebody sent.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// When it came to the gateway.
    pub(crate) at: Timestamp,
    /// Its way.
    pub(crate) trace: Trace,
    /// Whose words are missing, and why.
    pub(crate) unheard: Vec<String>,
}

/// What whoever watches is told.
#[derive(Debug)]
pub(crate) enum News {
    /// A flow has come.
    Flow(Flow),
    /// None has; and who does not say.
    Nothing { unheard: Vec<String> },
}

impl Watching {
    /// Watches a cluster until `see` has enough or `stop` ends: proxies have a key meanwhile, within `timeout`.
    ///
    /// # Errors
    /// When a right is missing, no edge knows the lane, the key does not come everywhere, or `stop` fails.
    pub(crate) async fn cluster(
        &self,
        client: &Client,
        timeout: Duration,
        stop: impl Future<Output = Result<(), Failure>>,
        see: impl FnMut(News) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        rights::held(client, Command::Trace, &[], &[rights::command::WATCH]).await?;
        let edges = edges_now::some(client).await?;
        known(&self.lane, edges.iter().filter(|edge| !edge.is_off).filter_map(|edge| edge.config.as_ref()))?;
        let every_s = u32::try_from(self.every.as_secs()).unwrap_or(u32::MAX).max(1);
        let turn = Turn::begin(client, Some(&Watch { lane: self.lane.clone(), every_s })).await?;
        let watched = async {
            turn.arrived(timeout).await?;
            self.flows(turn.watcher(), || InCluster::new(client, turn.key()), see).await
        };
        let watched = tokio::select! {
            watched = watched => watched,
            failure = turn.keep() => Err(failure),
            stopped = stop => stopped,
        };
        match (watched, turn.end().await) {
            (Ok(()), Err(left)) => {
                Err(left.context("the flows were shown, but the key for traces ends later, by itself"))
            }
            (watched, _) => watched,
        }
    }

    /// Tells of one flow after the other that edges mark for this watcher, until `see` has enough. `look` is called again
    /// and again: pods come and go.
    ///
    /// # Errors
    /// When `look` fails.
    pub(crate) async fn flows<M: Mesh>(
        &self,
        watcher: u32,
        look: impl AsyncFn() -> Result<M, Failure>,
        mut see: impl FnMut(News) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let (mut mesh, mut looked) = (look().await?, Instant::now());
        let mut known = BTreeSet::new();
        loop {
            let asked = Instant::now();
            let told = mesh.told(Wanted::Entries(watcher)).await;
            let fresh = told.records.iter().filter(|record| !known.contains(&record.trace));
            let latest = fresh.max_by_key(|record| record.at_us).cloned();
            // As far back as logs are read, and no further.
            known = told.records.iter().map(|record| record.trace).collect();
            let (news, wait) = match latest {
                Some(entry) => {
                    let (trace, unheard) =
                        mesh::follow(&mesh, entry.trace, self.late, without_late_guesses).await;
                    let at =
                        i64::try_from(entry.at_us).ok().and_then(|at| Timestamp::from_microsecond(at).ok());
                    let flow = Flow { at: at.unwrap_or_else(Timestamp::now), trace, unheard };
                    (News::Flow(flow), self.every.saturating_sub(asked.elapsed()))
                }
                None => (News::Nothing { unheard: told.unheard }, ASK_EVERY),
            };
            if see(news).is_break() {
                return Ok(());
            }
            tokio::time::sleep(wait).await;
            if looked.elapsed() > LOOK_ANEW {
                (mesh, looked) = (look().await?, Instant::now());
            }
        }
    }
}

/// Whether an edge puts requests in the lane.
///
/// # Errors
/// When none does, with the lanes that there are.
pub(crate) fn known<'a>(
    lane: &LaneName,
    edges: impl Iterator<Item = &'a FilterConfig>,
) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use canary_rules::trace::{Sample, TraceKey};
    use canary_trace::{Place, Pod, Record};

    use super::super::mesh::Told;
    use super::*;

    const WATCHER: u32 = 7;

    /// A mesh whose edge tells of these traces, the further ones from the next question on.
    struct Fake(Mutex<Vec<u64>>);

    fn entry(trace: u64) -> Record {
        Record {
            pod: "gateway".into(),
            place: Place::Edge,
            trace,
            span: 1,
            causes: Vec::new(),
            others: None,
            at_us: 1_000_000 + trace,
            took_us: 10,
            method: "GET".into(),
            authority: "shop.test".into(),
            path: format!("/{}", trace & 0xff),
            tag_in: None,
            tag_out: Some("gray".into()),
            counted: Vec::new(),
            carriers: Vec::new(),
            status: Some(200),
            cluster: None,
            route: None,
            upstream: None,
        }
    }

    impl Mesh for &Fake {
        const ASK_EVERY: Duration = Duration::ZERO;
        const TOLD_WITHIN: Duration = Duration::ZERO;

        fn key(&self) -> TraceKey {
            TraceKey::new([0; 16])
        }

        fn edge(&self) -> Option<&FilterConfig> {
            None
        }

        fn client(&self) -> Option<&str> {
            None
        }

        fn pod(&self, _: &str) -> Option<Pod> {
            None
        }

        async fn told(&self, wanted: Wanted) -> Told {
            let traces = self.0.lock().expect("nobody panicked").clone();
            let records = traces.into_iter().map(entry).filter(|record| wanted.has(record)).collect();
            Told { records, unheard: vec!["web: forbidden".into()] }
        }
    }

    #[tokio::test]
    async fn each_flow_that_is_marked_for_the_watcher_is_told_once() {
        let trace = |watcher: u32, number: u64| (u64::from(watcher) << 32) | number;
        assert_eq!(Sample::watcher_of(trace(WATCHER, 1)), u64::from(WATCHER));
        let mesh = Fake(Mutex::new(vec![trace(WATCHER, 1), trace(WATCHER + 1, 2)]));
        let watching = Watching {
            lane: LaneName::new("gray").expect("a lane"),
            every: Duration::ZERO,
            late: Duration::ZERO,
        };
        let mut told = Vec::new();
        let see = |news: News| {
            match news {
                News::Flow(flow) => told.push(flow.trace.hops[0].request.clone()),
                News::Nothing { unheard } => {
                    told.push(unheard.join(", "));
                    mesh.0.lock().expect("nobody panicked").push(trace(WATCHER, 3));
                }
            }
            if told.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        watching.flows(WATCHER, async || Ok(&mesh), see).await.expect("it can be looked at");
        assert_eq!(told, ["GET /1", "web: forbidden", "GET /3"]);
    }
}
