//! What proxies have counted of their calls, look by look, as traffic of each edge of the graph. Pure.
//!
//! Counters only grow, so two looks tell what was between them. As many looks are kept as fill the time that is shown.

mod counts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use counts::Counts;

use super::service_graph::Call;

/// How often proxies are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What a gateway is called where a service would be.
pub const GATEWAY: &str = "gateway";
/// Asks a proxy for what is read here.
pub const PATH: &str = "/stats/prometheus?filter=upstream_rq_(.xx%7Ctime)$%7Cistio_request";

/// Most looks that are kept: half a minute.
const LOOKS_MAX: usize = 7;
/// The quantile of latencies that is shown.
const QUANTILE: f64 = 0.95;

/// Traffic as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// By caller and called.
    pub edges: Vec<Edge>,
    /// What is not in it, in words.
    pub lacks: Option<String>,
}

/// What proxies have counted, as it is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counted {
    /// Of the last half a minute.
    pub traffic: Traffic,
    /// Of all the time.
    pub calls: BTreeSet<Call>,
}

/// The traffic from one service to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    /// Who calls, as `namespace/name`, or [`GATEWAY`].
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Requests in a second.
    pub per_s: f64,
    /// How many of a hundred were answered with 5xx.
    pub failed_percent: f64,
    /// How long the fastest 95 % took at most, in milliseconds; none where no proxy says.
    pub p95_ms: Option<f64>,
}

/// What one proxy has counted since it started: by who is called.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proxy {
    /// Whose calls they are.
    pub from: String,
    /// By who is called, as `namespace/name`.
    pub to: BTreeMap<String, Counts>,
}

impl Proxy {
    /// Reads a proxy's answer to [`PATH`].
    #[must_use]
    pub fn read(from: &str, answer: &str) -> Self {
        Self { from: from.into(), to: counts::read(answer) }
    }
}

/// The last looks at all proxies.
#[derive(Debug, Default)]
pub struct History(VecDeque<Look>);

#[derive(Debug)]
struct Look {
    at: Instant,
    proxies: BTreeMap<String, Proxy>,
}

impl History {
    /// Keeps a look at proxies, by their names.
    pub fn add(&mut self, at: Instant, proxies: BTreeMap<String, Proxy>) {
        self.0.push_back(Look { at, proxies });
        if self.0.len() > LOOKS_MAX {
            self.0.pop_front();
        }
    }

    /// Who has called whom since the proxies started.
    #[must_use]
    pub fn calls(&self) -> BTreeSet<Call> {
        let proxies = self.0.back().into_iter().flat_map(|look| look.proxies.values());
        let calls = proxies.flat_map(|proxy| {
            let called = proxy.to.iter().filter(|(_, counts)| counts.requests > 0);
            called.map(|(to, _)| Call { from: proxy.from.clone(), to: to.clone() })
        });
        calls.collect()
    }

    /// What was between the first and the last look that are kept.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return Vec::new() };
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        let mut edges: BTreeMap<(&str, &str), Counts> = BTreeMap::new();
        for (name, proxy) in &last.proxies {
            // What one counted that was not there before is told by the next look.
            let Some(before) = first.proxies.get(name) else { continue };
            for (to, counts) in &proxy.to {
                let since = counts.since(before.to.get(to));
                edges.entry((&proxy.from, to)).or_default().add(&since);
            }
        }
        let edge = |((from, to), counts): ((&str, &str), Counts)| Edge {
            from: from.into(),
            to: to.into(),
            per_s: tenths(counts.requests as f64 / seconds),
            failed_percent: tenths(100.0 * counts.failures as f64 / counts.requests as f64),
            p95_ms: counts.quantile(QUANTILE).map(tenths),
        };
        edges.into_iter().filter(|(_, counts)| seconds > 0.0 && counts.requests > 0).map(edge).collect()
    }
}

/// Rounded, so that nothing changes that nobody could see.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(from: &str, to: &str, requests: u64, failures: u64) -> (String, Proxy) {
        let counts = Counts { requests, failures, ..Counts::default() };
        (format!("{from}-1"), Proxy { from: from.into(), to: [(to.into(), counts)].into() })
    }

    #[test]
    fn an_edge_has_what_was_between_the_first_and_the_last_look() {
        let (mut history, start) = (History::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        history.add(
            at(0),
            [proxy("shop/web", "shop/cart", 100, 10), proxy("shop/old", "shop/cart", 9, 0)].into(),
        );
        assert_eq!(history.edges(), []);
        history.add(
            at(5),
            [proxy("shop/web", "shop/cart", 120, 11), proxy("shop/new", "shop/cart", 7, 0)].into(),
        );
        let edge = |per_s, failed_percent| Edge {
            from: "shop/web".into(),
            to: "shop/cart".into(),
            per_s,
            failed_percent,
            p95_ms: None,
        };
        assert_eq!(history.edges(), [edge(4.0, 5.0)], "who is new or gone tells nothing of the time between");
        let calls: Vec<Call> = history.calls().into_iter().collect();
        let call = |from: &str| Call { from: from.into(), to: "shop/cart".into() };
        assert_eq!(calls, [call("shop/new"), call("shop/web")]);
        history.add(at(10), [proxy("shop/web", "shop/cart", 30, 0)].into());
        assert_eq!(history.edges(), [edge(3.0, 0.0)], "a proxy that began anew has counted all since");
    }

    #[test]
    fn half_a_minute_is_kept() {
        let (mut history, start) = (History::default(), Instant::now());
        for look in 0..100_u32 {
            let requests = if look < 90 { 0 } else { 600 };
            history.add(start + LOOK_EVERY * look, [proxy("shop/web", "shop/cart", requests, 0)].into());
        }
        assert_eq!(history.0.len(), LOOKS_MAX);
        assert_eq!(history.edges(), [], "of before nothing is known");
    }
}
