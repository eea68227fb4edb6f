//! A proxy's counters of its calls, in Prometheus's text: Istio's where it has them, else Envoy's own.

use std::collections::BTreeMap;

use canary_istio::Host;

use crate::dashboard::service_graph::id;

/// What a proxy has counted of its calls of one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// All of them.
    pub requests: u64,
    /// Those that were answered with 5xx.
    pub failures: u64,
    /// How many took at most so many milliseconds, the shortest first.
    pub within_ms: Vec<(f64, u64)>,
}

/// Whose counters a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Istio,
    Envoy,
}

/// What a line counts.
enum What {
    Requests { failed: bool },
    WithinMs(f64),
}

impl Counts {
    /// What was counted since then; all of it where the proxy began anew meanwhile.
    #[must_use]
    pub fn since(&self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|before| before.requests <= self.requests) else {
            return self.clone();
        };
        let same = before.within_ms.len() == self.within_ms.len();
        let earlier = |at: usize| before.within_ms.get(at).filter(|_| same).map_or(0, |(_, count)| *count);
        let within = self.within_ms.iter().enumerate();
        Self {
            requests: self.requests - before.requests,
            failures: self.failures.saturating_sub(before.failures),
            within_ms: within.map(|(at, (ms, count))| (*ms, count.saturating_sub(earlier(at)))).collect(),
        }
    }

    /// Another proxy's beside it.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        for (ms, count) in &other.within_ms {
            self.within(*ms, *count);
        }
    }

    /// The latency that this part of the requests keeps to, in milliseconds: spread evenly between two bounds, as
    /// Prometheus has it.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.within_ms.last().map(|(_, count)| *count).filter(|all| *all > 0)? as f64;
        let wanted = part * all;
        let mut below = (0.0, 0.0);
        for (ms, count) in &self.within_ms {
            let count = *count as f64;
            if count >= wanted {
                let share = if count > below.1 { (wanted - below.1) / (count - below.1) } else { 0.0 };
                // Nothing is known of what took longer than the last bound.
                return Some(if ms.is_finite() { below.0 + (ms - below.0) * share } else { below.0 });
            }
            below = (*ms, count);
        }
        None
    }

    fn within(&mut self, ms: f64, count: u64) {
        match self.within_ms.iter_mut().find(|(known, _)| known.total_cmp(&ms).is_eq()) {
            Some((_, known)) => *known += count,
            None => {
                self.within_ms.push((ms, count));
                self.within_ms.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            }
        }
    }
}

/// By who is called, as `namespace/name`.
pub(super) fn read(text: &str) -> BTreeMap<String, Counts> {
    let mut all: BTreeMap<Source, BTreeMap<String, Counts>> = BTreeMap::new();
    for (source, host, what, count) in text.lines().filter_map(line) {
        let counts = all.entry(source).or_default().entry(id(&host)).or_default();
        match what {
            What::Requests { failed } => {
                counts.requests += count;
                counts.failures += if failed { count } else { 0 };
            }
            What::WithinMs(ms) => counts.within(ms, count),
        }
    }
    all.into_values().find(|counts| counts.values().any(|counts| counts.requests > 0)).unwrap_or_default()
}

fn line(line: &str) -> Option<(Source, Host, What, u64)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let label = |wanted: &str| {
        labels
            .split("\",")
            .find_map(|label| label.trim_end_matches('"').strip_prefix(wanted)?.strip_prefix("=\""))
    };
    let count = value.trim().parse().ok()?;
    let bound = || label("le")?.parse().ok().map(What::WithinMs);
    let (source, what) = match name {
        "istio_requests_total" => {
            // Of a request without an answer Istio says 0.
            let failed = matches!(label("response_code")?.as_bytes(), [b'5', ..] | b"0");
            (Source::Istio, What::Requests { failed })
        }
        "istio_request_duration_milliseconds_bucket" => (Source::Istio, bound()?),
        // The same counts are there by code, too.
        "envoy_cluster_upstream_rq" => {
            (Source::Envoy, What::Requests { failed: label("response_code_class")? == "5xx" })
        }
        "envoy_cluster_upstream_rq_time_bucket" => (Source::Envoy, bound()?),
        _ => return None,
    };
    let host = match source {
        Source::Istio if label("reporter")? == "source" => {
            Host::new(label("destination_service_name")?, label("destination_service_namespace")?).ok()?
        }
        Source::Istio => return None,
        Source::Envoy => of_cluster(label("cluster_name")?)?,
    };
    Some((source, host, what, count))
}

/// The service of a cluster: `outbound|80|SUBSET|cart.shop.svc.cluster.local`, with a `;` behind it in some versions.
fn of_cluster(cluster: &str) -> Option<Host> {
    let mut parts = cluster.trim_end_matches(';').split('|');
    let name = (parts.next()? == "outbound").then(|| parts.nth(2)).flatten()?;
    let (host, domain) = name.split_once(".svc.")?;
    let (name, namespace) = host.split_once('.').filter(|_| !domain.is_empty())?;
    Host::new(name, namespace).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVOY: &str = r#"# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{cluster_name="outbound|80||cart.shop.svc.cluster.local",response_code_class="5xx"} 3
envoy_cluster_upstream_rq{cluster_name="outbound|80||cart.shop.svc.cluster.local",response_code_class="2xx"} 87
envoy_cluster_upstream_rq{cluster_name="outbound|80|canary-gray|cart.shop.svc.cluster.local;",response_code_class="2xx"} 10
envoy_cluster_upstream_rq{cluster_name="outbound|80||cart.shop.svc.cluster.local",response_code="200"} 87
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80||cart.shop.svc.cluster.local",le="10"} 50
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80||cart.shop.svc.cluster.local",le="25"} 100
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80||cart.shop.svc.cluster.local",le="+Inf"} 100
envoy_cluster_upstream_rq{cluster_name="inbound|80||",response_code_class="2xx"} 7
envoy_cluster_upstream_rq{cluster_name="outbound|443||example.org",response_code_class="2xx"} 7
"#;

    #[test]
    fn envoys_own_counters_are_told_by_service() {
        let read = read(ENVOY);
        assert_eq!(read.keys().collect::<Vec<_>>(), ["shop/cart"]);
        let cart = &read["shop/cart"];
        assert_eq!((cart.requests, cart.failures), (100, 3));
        assert_eq!(cart.within_ms, [(10.0, 50), (25.0, 100), (f64::INFINITY, 100)]);
        assert_eq!(cart.quantile(0.95), Some(23.5));
        assert_eq!(cart.quantile(0.25), Some(5.0));
    }

    #[test]
    fn istios_counters_count_instead_where_there_are_some() {
        let total = |reporter: &str, code: &str, count: u64| {
            format!(
                "istio_requests_total{{reporter=\"{reporter}\",response_code=\"{code}\",\
                 destination_service_name=\"cart\",destination_service_namespace=\"shop\"}} {count}\n"
            )
        };
        let istio = [total("source", "200", 5), total("source", "503", 1), total("source", "0", 2)].concat();
        let text = [ENVOY, &istio, &total("destination", "200", 50)].concat();
        let cart = &read(&text)["shop/cart"];
        assert_eq!((cart.requests, cart.failures), (8, 3));
    }

    #[test]
    fn what_took_longer_than_the_last_bound_is_shown_as_that() {
        let counts = Counts { within_ms: vec![(10.0, 1), (f64::INFINITY, 10)], ..Counts::default() };
        assert_eq!(counts.quantile(0.95), Some(10.0));
        assert_eq!(Counts::default().quantile(0.95), None);
    }

    #[test]
    fn another_proxys_counts_are_added_bound_by_bound() {
        let one = Counts { requests: 2, failures: 1, within_ms: vec![(10.0, 1), (25.0, 2)] };
        let mut sum = Counts { within_ms: vec![(5.0, 1)], ..one.clone() };
        sum.add(&one);
        assert_eq!(sum, Counts { requests: 4, failures: 2, within_ms: vec![(5.0, 1), (10.0, 1), (25.0, 2)] });
    }
}
