//! A mesh that tells of a marked request: one way of asking for the demo's and a cluster's.

use std::time::{Duration, Instant};

use canary_rules::trace::TraceKey;
use canary_rules::wire::FilterConfig;
use canary_trace::{Pod, Record, Trace};

/// What is asked of a mesh.
pub(super) trait Mesh {
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
    /// All that is told of a trace by now.
    async fn told(&self, trace: u64) -> Told;
}

/// What proxies tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) records: Vec<Record>,
    /// Of whom it is not known what they tell, with the reason.
    pub(super) unheard: Vec<String>,
}

/// What is told of a trace, once it is whole and `late` has gone by without anything new; and whom nobody heard.
pub(super) async fn follow<M: Mesh>(mesh: &M, trace: u64, late: Duration) -> (Trace, Vec<String>) {
    let began = Instant::now();
    let mut known = 0;
    let mut quiet_since = began;
    loop {
        let Told { records, unheard } = mesh.told(trace).await;
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
