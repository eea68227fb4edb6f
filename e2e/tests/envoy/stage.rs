//! A running mesh and what tests ask of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use canary_e2e::staged::{Lanes, Tools};
use canary_localmesh::{Client, Mesh, MeshSpec, Protocol, Reply, Tree};

/// The host that clients ask for.
pub(crate) const HOST: &str = "shop.test";
/// How the filter's counters are called in Envoy's statistics.
const COUNTERS: &str = "wasmcustom.canaryctl.";
/// How long a stated condition may take to come true, in seconds.
const WAIT_S_MAX: u64 = 15;
/// Between two looks at a condition, in milliseconds.
const POLL_MS: u64 = 20;

/// A mesh with the filter in it.
pub(crate) struct Stage {
    pub(crate) mesh: Mesh,
    pub(crate) lanes: Lanes,
}

/// A response, and the tree in it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) tree: Tree,
}

/// The filter's counters of one proxy at one time.
#[derive(Debug)]
pub(crate) struct Counters {
    proxy: String,
    values: BTreeMap<String, u64>,
}

/// The programs of every mesh here.
pub(crate) fn tools() -> Tools {
    Tools::from_env(PathBuf::from(env!("CARGO_BIN_EXE_canary-soak")))
}

/// Looks again and again until there is something to see.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let asked_at = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(WAIT_S_MAX);
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(Instant::now() < deadline, "not within {WAIT_S_MAX} s: {what} ({asked_at})");
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }
}

impl Stage {
    /// Starts a mesh; with `CANARY_KEEP` set its run directory stays.
    pub(crate) async fn start(mut spec: MeshSpec, lanes: Lanes) -> Self {
        spec.keep_run_dir = std::env::var_os("CANARY_KEEP").is_some();
        let mesh = Mesh::start(spec).await.unwrap_or_else(|error| panic!("{error}"));
        if std::env::var_os("CANARY_KEEP").is_some() {
            eprintln!("run directory: {}", mesh.run_dir().display());
        }
        Self { mesh, lanes }
    }

    /// A client of the gateway.
    pub(crate) fn client(&self) -> Client {
        self.mesh.client(Protocol::Http1)
    }

    /// `GET path` through the gateway; the answer is a tree.
    pub(crate) async fn get(&self, client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
        let reply = client.get(HOST, path, headers).await.unwrap_or_else(|error| panic!("{error:?}"));
        Answer::read(reply)
    }

    /// The filter's counters in a proxy.
    pub(crate) async fn counters(&self, proxy: &str) -> Counters {
        let stats = self.mesh.stats(proxy, &format!("^{COUNTERS}")).await.expect("statistics");
        let short = |(name, value): (String, u64)| Some((name.strip_prefix(COUNTERS)?.to_owned(), value));
        Counters { proxy: proxy.into(), values: stats.into_iter().filter_map(short).collect() }
    }

    /// Waits until a counter has grown by at least so much since then, and says by how much.
    pub(crate) async fn grown(&self, before: &Counters, counter: &str, by: u64) -> u64 {
        let what = format!("{} of {} grows by {by}", counter, before.proxy);
        until(&what, async || {
            let grown = self.counters(&before.proxy).await.since(before, counter);
            (grown >= by).then_some(grown)
        })
        .await
    }

    /// Waits until the filters have handed over all that they have counted so far: each does every second.
    pub(crate) async fn flushed(&self, proxy: &str) -> Counters {
        let before = self.counters(proxy).await;
        let workers = self.vms(proxy).await;
        // Twice: the first may be of ticks that were before the last request.
        self.grown(&before, "heartbeat", 2 * workers).await;
        self.counters(proxy).await
    }

    /// VMs that tick: one per worker and one on the main thread.
    pub(crate) async fn vms(&self, proxy: &str) -> u64 {
        let active = self.mesh.stats(proxy, r"^wasm\.envoy\.wasm\.runtime\.v8\.active$").await;
        // One more is there to be copied from.
        active.expect("statistics").values().sum::<u64>() - 1
    }

    /// What is worth knowing when a test has failed.
    pub(crate) async fn dump(&self) -> String {
        let mut text = format!("counters that are not 0 (run directory {}):", self.mesh.run_dir().display());
        for proxy in self.mesh.proxies() {
            let Ok(stats) = self.mesh.stats(proxy, &format!("^{COUNTERS}")).await else { continue };
            let counted = stats.iter().filter(|(_, value)| **value > 0);
            let counted: Vec<_> =
                counted.map(|(name, n)| format!("{}={n}", &name[COUNTERS.len()..])).collect();
            text.push_str(&format!("\n  {proxy}: {}", counted.join(" ")));
        }
        text
    }
}

impl Counters {
    /// By how much a counter has grown since then; one that was not there was 0.
    pub(crate) fn since(&self, before: &Self, counter: &str) -> u64 {
        self.get(counter) - before.get(counter)
    }

    pub(crate) fn get(&self, counter: &str) -> u64 {
        self.values.get(counter).copied().unwrap_or_default()
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn read(reply: Reply) -> Self {
        let tree = serde_json::from_slice(&reply.body)
            .unwrap_or_else(|error| panic!("no tree ({error}): {} {}", reply.status, reply.text()));
        Self { reply, tree }
    }

    /// The instances that answered, callers first.
    pub(crate) fn path(&self) -> Vec<&str> {
        self.tree.instances()
    }
}
