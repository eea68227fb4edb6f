//! A mesh that tells of a marked request: one way of asking for the demo's and a cluster's.

use std::time::{Duration, Instant};

use canary_rules::trace::{Sample, TraceKey};
use canary_rules::wire::FilterConfig;
use canary_trace::{Place, Pod, Record, Trace};

/// What is asked of a mesh.
pub(crate) trait Mesh {
    /// Between two questions.
    const ASK_EVERY: Duration;
    /// How long its proxies may take to tell all of what they did before the response.
    const TOLD_WITHIN: Duration;

    /// Makes marks that its proxies believe.
    fn key(&self) -> TraceKey;
    /// What its edges are told, where that is known.
    fn edge(&self) -> Option<&FilterConfig>;
    /// The address that the edge sees the request come from, where that is known.
    fn client(&self) -> Option<&str>;
    /// What is known of a pod that tells.
    fn pod(&self, name: &str) -> Option<Pod>;
    /// What is told by now of what is wanted.
    async fn told(&self, wanted: Wanted) -> Told;
}

/// What is to be told of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// All of one trace.
    Trace(u64),
    /// What edges did with the requests that they marked for a watcher.
    Entries(u32),
}

impl Wanted {
    /// Whether a record is of it.
    pub(crate) fn has(self, record: &Record) -> bool {
        match self {
            Self::Trace(trace) => record.trace == trace,
            Self::Entries(watcher) => {
                record.place == Place::Edge && Sample::watcher_of(record.trace) == u64::from(watcher)
            }
        }
    }
}

/// What proxies tell.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) records: Vec<Record>,
    /// Of whom it is not known what they tell, with the reason.
    pub(crate) unheard: Vec<String>,
}

/// What is told of a trace and picked, once it is whole and `late` has gone by without anything new; and whom nobody
/// heard.
pub(crate) async fn follow<M: Mesh>(
    mesh: &M,
    trace: u64,
    late: Duration,
    pick: fn(Vec<Record>) -> Vec<Record>,
) -> (Trace, Vec<String>) {
    let began = Instant::now();
    let mut known = 0;
    let mut quiet_since = began;
    loop {
        let Told { records, unheard } = mesh.told(Wanted::Trace(trace)).await;
        let records = pick(records);
        if records.len() != known {
            known = records.len();
            quiet_since = Instant::now();
        }
        let joined = Trace::new(&records, trace, |name| mesh.pod(name));
        let may_end = joined.is_whole() || began.elapsed() >= M::TOLD_WITHIN;
        if may_end && quiet_since.elapsed() >= late {
            return (joined, unheard);
        }
        tokio::time::sleep(M::ASK_EVERY).await;
    }
}
