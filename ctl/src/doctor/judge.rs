//! What of a workload's facts somebody should mend. Pure.

use std::time::Duration;

use super::log::Seen;
use super::mutual_tls::Mode;
use super::proxy::{Filter, Proxy};
use super::{Block, PodFacts};
use crate::check::{Issue, Weight};

/// How far this machine's clock may be off.
const SKEW_MAX: Duration = Duration::from_secs(30);

fn issue(code: &'static str, weight: Weight, message: String, mend: impl Into<String>) -> Issue {
    Issue { code, weight, message, mend: mend.into() }
}

/// What is wrong with a workload of a namespace.
pub(super) fn workload(namespace: &str, pods: &[PodFacts], block: &Block) -> Vec<Issue> {
    let mut issues = Vec::new();
    for pod in pods {
        let name = &pod.name;
        if !pod.is_ready {
            let message = format!("pod {namespace}/{name} is not ready: nobody is sent there");
            issues.push(issue(
                "CC401",
                Weight::Warning,
                message,
                format!("kubectl -n {namespace} describe pod {name}"),
            ));
        }
        if !pod.has_proxy {
            let message = format!("pod {namespace}/{name} has no sidecar: what it calls is in no lane");
            let mend =
                format!("kubectl label namespace {namespace} istio-injection=enabled, then restart the pod");
            issues.push(issue("CC402", Weight::Warning, message, mend));
        }
    }
    issues.extend(block.proxies.iter().flat_map(|proxy| of_proxy(namespace, proxy)));
    issues.extend(counted(namespace, block));
    issues
}

fn of_proxy(namespace: &str, proxy: &Proxy) -> Vec<Issue> {
    let mut issues = Vec::new();
    let name = &proxy.pod;
    let restart =
        || format!("kubectl -n {namespace} delete pod {name}, once canaryctl check finds nothing in the way");
    let faults = proxy.log.as_ref().and_then(|log| log.faults.as_ref());
    let last = |faults: &Seen| {
        format!("the last fault of a Wasm module that its log has was at {}: {}", faults.last, faults.says)
    };
    match &proxy.filter {
        Filter::Live { .. } => {
            if let Some(faults) = faults {
                let message = format!(
                    "threads of the proxy of pod {namespace}/{name} may be without the filter; {}",
                    last(faults)
                );
                issues.push(issue("CC413", Weight::Warning, message, restart()));
            }
        }
        Filter::Unknown(why) => issues.push(issue(
            "CC403",
            Weight::Warning,
            format!("the proxy of pod {namespace}/{name} does not answer: {why}"),
            format!("kubectl -n {namespace} logs {name} -c istio-proxy"),
        )),
        Filter::Failed(why) => issues.push(issue(
            "CC404",
            Weight::Error,
            format!(
                "the filter of pod {namespace}/{name} does nothing: {why}{}",
                faults.map_or_else(String::new, |faults| format!("; {}", last(faults)))
            ),
            restart(),
        )),
        Filter::None => issues.push(issue(
            "CC405",
            Weight::Error,
            format!("the proxy of pod {namespace}/{name} has no filter: it carries no tags"),
            "canaryctl check says whether one is installed for that namespace",
        )),
    }
    if let Some(refused) = proxy.log.as_ref().and_then(|log| log.refused_http10.as_ref()) {
        let message = format!(
            "the proxy of pod {namespace}/{name} refused {} requests with 426 because they are HTTP/1.0; the last at {}, of {}",
            refused.count, refused.last, refused.says
        );
        let mend = "let the caller speak HTTP/1.1 (nginx: `proxy_http_version 1.1`), or set PILOT_HTTP10=true for istiod";
        issues.push(issue("CC412", Weight::Warning, message, mend));
    }
    issues
}

fn counted(namespace: &str, block: &Block) -> Vec<Issue> {
    let mut issues = Vec::new();
    let (workload, ids) = (&block.workload, &block.ids);
    let forward = "let it hand on `baggage` or `traceparent` with its calls (docs/propagate.md)";
    if ids.drops_all() {
        let message = format!(
            "{namespace}/{workload} drops every tag: {} tagged requests came, none of its {} calls carries one",
            ids.tagged, ids.calls
        );
        issues.push(issue("CC406", Weight::Warning, message, forward));
    } else if ids.lost > 0 && ids.tagged > 0 {
        let message = format!(
            "{} of {} calls of {namespace}/{workload} had ids that nobody knows",
            ids.lost, ids.calls
        );
        issues.push(issue("CC407", Weight::Info, message, forward));
    }
    if ids.ambiguous > 0 {
        let message = format!(
            "{} requests of {namespace}/{workload} went to the baseline: their ids are of two flows at once",
            ids.ambiguous
        );
        issues.push(issue("CC408", Weight::Info, message, "let each flow have a trace id of its own"));
    }
    if ids.stripped > 0 || block.mutual_tls == Some(Mode::Disable) {
        let message = match block.mutual_tls {
            Some(Mode::Disable) => {
                format!("{namespace}/{workload} takes no mutual TLS: no tag that comes is believed")
            }
            _ => format!(
                "{} tags for {namespace}/{workload} came from callers outside the mesh and were removed",
                ids.stripped
            ),
        };
        issues.push(issue(
            "CC409",
            Weight::Warning,
            message,
            "give the caller a sidecar; a PeerAuthentication with mode STRICT keeps others away",
        ));
    }
    if ids.rejected > 0 {
        let message =
            format!("filters of {namespace}/{workload} refused a configuration {} times", ids.rejected);
        issues.push(issue("CC410", Weight::Warning, message, "canaryctl version shows both versions"));
    }
    issues
}

/// What is wrong with this machine's clock, which is ahead of the API server's by this many seconds.
pub(super) fn clock(ahead_s: i64) -> Option<Issue> {
    let is_off = ahead_s.unsigned_abs() > SKEW_MAX.as_secs();
    let which = if ahead_s > 0 { "ahead of" } else { "behind" };
    is_off.then(|| {
        issue(
            "CC411",
            Weight::Warning,
            format!(
                "this machine's clock is {} s {which} the API server's: an expiry given from here is off",
                ahead_s.abs()
            ),
            "set the clock, or give `--expires` a time that the cluster means",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::ids::Ids;
    use super::super::log::Log;
    use super::super::proxy::Proxy;
    use super::*;

    fn codes(pods: &[PodFacts], block: &Block) -> Vec<&'static str> {
        workload("shop", pods, block).iter().map(|issue| issue.code).collect()
    }

    fn block(filters: &[Filter], ids: Ids) -> Block {
        let proxy = |filter: &Filter| Proxy { filter: filter.clone(), ..Proxy::default() };
        Block {
            workload: "web".into(),
            pods: 1,
            ready: 1,
            mutual_tls: Some(Mode::Strict),
            mutual_tls_by_port: BTreeMap::new(),
            proxies: filters.iter().map(proxy).collect(),
            ids,
            issues: Vec::new(),
        }
    }

    fn pod(is_ready: bool, has_proxy: bool) -> PodFacts {
        PodFacts { name: "web-1".into(), is_ready, has_proxy }
    }

    #[test]
    fn pods_and_proxies_are_judged_one_by_one() {
        let live = Filter::Live { modules: Vec::new() };
        assert_eq!(codes(&[pod(true, true)], &block(&[live], Ids::default())), Vec::<&str>::new());
        assert_eq!(
            codes(&[pod(false, true), pod(true, false)], &block(&[], Ids::default())),
            ["CC401", "CC402"]
        );
        let broken = [Filter::Unknown("x".into()), Filter::Failed("x".into()), Filter::None];
        assert_eq!(codes(&[], &block(&broken, Ids::default())), ["CC403", "CC404", "CC405"]);
    }

    #[test]
    fn what_a_log_tells_is_said_with_its_moment() {
        let seen = |says: &str| {
            let last = "2026-11-27T10:00:00Z".parse().expect("a moment");
            Some(Seen { count: 2, last, says: says.into() })
        };
        let log = Log { faults: seen("Function: x"), refused_http10: seen("10.0.0.7:43210") };
        let told = |filter: Filter| {
            let mut block = block(&[filter], Ids::default());
            block.proxies[0].log = Some(log.clone());
            workload("shop", &[], &block)
        };
        let issues = told(Filter::Live { modules: Vec::new() });
        assert_eq!(issues.iter().map(|issue| issue.code).collect::<Vec<_>>(), ["CC413", "CC412"]);
        assert!(issues[0].message.ends_with("at 2026-11-27T10:00:00Z: Function: x"), "{}", issues[0].message);
        assert!(issues[1].message.contains("refused 2 requests"), "{}", issues[1].message);
        let issues = told(Filter::Failed("none of its threads beats".into()));
        assert_eq!(issues.iter().map(|issue| issue.code).collect::<Vec<_>>(), ["CC404", "CC412"]);
        assert!(issues[0].message.contains("beats; the last fault"), "{}", issues[0].message);
    }

    #[test]
    fn what_was_counted_is_judged_together() {
        let drops = Ids { tagged: 5, calls: 5, lost: 2, ..Ids::default() };
        assert_eq!(codes(&[], &block(&[], drops.clone())), ["CC406"]);
        let carries = Ids { by_carrier: [("baggage".to_owned(), 3)].into(), ..drops };
        assert_eq!(codes(&[], &block(&[], carries)), ["CC407"]);
        let rest = Ids { ambiguous: 1, stripped: 1, rejected: 1, lost: 9, ..Ids::default() };
        assert_eq!(codes(&[], &block(&[], rest)), ["CC408", "CC409", "CC410"]);
        let plain = Block { mutual_tls: Some(Mode::Disable), ..block(&[], Ids::default()) };
        assert_eq!(codes(&[], &plain), ["CC409"]);
    }

    #[test]
    fn a_clock_may_be_off_a_little() {
        assert_eq!(clock(30), None);
        assert_eq!(clock(-30), None);
        assert!(clock(31).is_some_and(|issue| issue.message.contains("31 s ahead of")));
        assert!(clock(-90).is_some_and(|issue| issue.message.contains("90 s behind")));
    }
}
