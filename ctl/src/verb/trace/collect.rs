//! What the proxies of the demo's mesh tell, from the files that they log to.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use canary_trace::{Pod, Record, Trace};

use crate::demo_mesh::DemoProxy;

/// How long proxies may take to tell all of what they did before the response.
const TOLD_MS_MAX: u64 = 3_000;
/// Between two looks.
const POLL_MS: u64 = 20;

/// Every proxy's log, and how long it was.
pub(super) struct Logs<'m>(Vec<(&'m DemoProxy, u64)>);

impl<'m> Logs<'m> {
    /// What is logged from now on.
    pub(super) fn from_now_on(proxies: &'m [DemoProxy]) -> Self {
        let length = |proxy: &DemoProxy| std::fs::metadata(&proxy.log).map_or(0, |file| file.len());
        Self(proxies.iter().map(|proxy| (proxy, length(proxy))).collect())
    }

    /// What is told of a trace, once it is whole and `late` has gone by without anything new.
    pub(super) async fn trace(&self, trace: u64, pod: &dyn Fn(&str) -> Option<Pod>, late: Duration) -> Trace {
        let began = Instant::now();
        let mut told = 0;
        let mut quiet_since = began;
        loop {
            let records = self.records(trace);
            if records.len() != told {
                told = records.len();
                quiet_since = Instant::now();
            }
            let joined = Trace::new(&records, trace, pod);
            let may_end = joined.is_whole() || began.elapsed() >= Duration::from_millis(TOLD_MS_MAX);
            if may_end && quiet_since.elapsed() >= late {
                return joined;
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    fn records(&self, trace: u64) -> Vec<Record> {
        let mut records = Vec::new();
        for (proxy, from) in &self.0 {
            let mut text = Vec::new();
            let read = std::fs::File::open(&proxy.log).and_then(|mut log| {
                log.seek(SeekFrom::Start(*from))?;
                log.read_to_end(&mut text)
            });
            // A log that is gone tells nothing, and its hop shows as one that is not told of.
            if read.is_ok() {
                let text = String::from_utf8_lossy(&text);
                records.extend(text.lines().filter_map(|line| Record::read(&proxy.name, line)));
            }
        }
        records.retain(|record| record.trace == trace);
        records
    }
}
