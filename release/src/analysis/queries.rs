//! What Prometheus is asked. Every question gives one number or none.

use canary_istio::SubsetName;
use serde_json::Value;

use super::{Checks, Source};
use crate::document::{Release, WorkloadRef};
use crate::engine::World;
use crate::journal::Phase;

/// Whose requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The lane's.
    Lane,
    /// The baseline's.
    Base,
}

/// What a number is about. Workloads and own queries are counted from 0, in the order of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Requests of a workload in the window.
    Requests(usize, Side),
    /// Those that failed.
    Failures(usize, Side),
    /// A quantile of their latencies, in milliseconds.
    Latency(usize, Side),
    /// A query of one's own.
    Own(usize),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What the number is about.
    pub about: About,
    /// PromQL that gives a vector of one element, or none where there is nothing to count.
    pub query: String,
}

/// What is to be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// Address of the Prometheus.
    pub url: String,
    /// The moment that all of them are about, Unix, in seconds.
    pub at: i64,
    /// The step, counted from 0.
    pub step: usize,
    /// The questions.
    pub list: Vec<Question>,
}

/// What is to be asked about a release at this time (Unix, in seconds), if it is time to.
#[must_use]
pub fn questions(release: &Release, world: &World, now: i64) -> Option<Questions> {
    let status = release.status.as_ref()?;
    let since = status.held_since.filter(|_| status.phase == Phase::Stepping && !release.spec.paused)?;
    let checks = Checks::of(release, status.step).ok().flatten()?;
    let last = status.analysis.as_ref().filter(|last| last.step == status.step);
    if last.is_some_and(|last| last.failed) || now < due(since, last.map(|last| last.at), &checks) {
        return None;
    }
    // What came before the step was of other users, or of nobody.
    let window = now.saturating_sub(since).clamp(i64::from(checks.interval_s), i64::from(checks.window_s));
    let list = asked(release, world, &checks, &format!("{window}s"));
    Some(Questions { url: checks.url, at: now, step: status.step, list })
}

/// When it is to be measured next.
pub(crate) fn due(held_since: i64, last: Option<i64>, checks: &Checks) -> i64 {
    held_since.max(last.unwrap_or(held_since)).saturating_add(checks.interval_s.into())
}

fn asked(release: &Release, world: &World, checks: &Checks, window: &str) -> Vec<Question> {
    let mut list = Vec::new();
    for (at, spec) in release.spec.workloads.iter().enumerate() {
        for side in [Side::Lane, Side::Base] {
            let Some(series) = Series::of(checks.source, release, world, &spec.deployment, side) else {
                continue;
            };
            let ask = |about, query| Question { about, query };
            list.push(ask(About::Requests(at, side), format!("sum({})", grown(&series.requests, window))));
            let failed =
                series.failures.iter().map(|one| grown(one, window)).collect::<Vec<_>>().join(" or ");
            list.push(ask(About::Failures(at, side), format!("sum({failed})")));
            let buckets = grown(&series.buckets, window);
            let quantile = checks.quantile;
            list.push(ask(
                About::Latency(at, side),
                format!("histogram_quantile({quantile}, sum by (le) ({buckets}))"),
            ));
        }
    }
    for (at, own) in checks.own.iter().enumerate() {
        let query = own.query.replace("$lane", release.lane().as_str()).replace("$window", window);
        list.push(Question { about: About::Own(at), query });
    }
    list
}

/// How much counters have grown. `increase` does not see how far a counter had come when it was seen first, and a
/// lane's pods and failures are always new: a counter that was not there before the window has grown by all of it.
fn grown(series: &str, window: &str) -> String {
    format!(
        "((increase({series}[{window}]) and {series} offset {window}) or ({series} unless {series} offset {window}))"
    )
}

/// Selectors of a workload's counters.
struct Series {
    requests: String,
    /// Disjoint.
    failures: Vec<String>,
    buckets: String,
}

/// gRPC's statuses that are the server's fault: unknown, deadline exceeded, unimplemented, internal, unavailable,
/// data loss. Source: OpenTelemetry's semantic conventions for gRPC spans.
const GRPC_FAULTS: &str = "2|4|12|13|14|15";

impl Series {
    fn of(
        source: Source,
        release: &Release,
        world: &World,
        stable: &WorkloadRef,
        side: Side,
    ) -> Option<Self> {
        let copy = release.copy_of(stable);
        match source {
            Source::Istio => Some(Self::istio(if side == Side::Lane { &copy } else { stable })),
            Source::Envoy => Self::envoy(release, world, &copy, side),
        }
    }

    /// The called pods say what they were asked and by which answer it ended.
    fn istio(workload: &WorkloadRef) -> Self {
        let who = format!(
            "reporter=\"destination\",destination_workload=\"{}\",destination_workload_namespace=\"{}\"",
            workload.name, workload.namespace
        );
        Self {
            requests: format!("istio_requests_total{{{who}}}"),
            failures: vec![
                format!("istio_requests_total{{{who},response_code=~\"5..\"}}"),
                format!(
                    "istio_requests_total{{{who},response_code!~\"5..\",grpc_response_status=~\"{GRPC_FAULTS}\"}}"
                ),
            ],
            buckets: format!("istio_request_duration_milliseconds_bucket{{{who}}}"),
        }
    }

    /// The callers' proxies count per cluster: the lane's subset of its Services, and every subset but lanes'.
    fn envoy(release: &Release, world: &World, copy: &WorkloadRef, side: Side) -> Option<Self> {
        let hosts = hosts(world.lanes.get(release.lane().as_str())?, copy);
        if hosts.is_empty() {
            return None;
        }
        let host = format!("({})[.]svc[.].+", hosts.join("|"));
        let cluster = |subset: &str| format!("outbound[|][0-9]+[|]{subset}[|]{host}");
        let who = match side {
            Side::Lane => format!("cluster_name=~\"{}\"", cluster(SubsetName::of(release.lane()).as_str())),
            Side::Base => format!(
                "cluster_name=~\"{}\",cluster_name!~\"outbound[|][0-9]+[|]{}.*\"",
                cluster("[^|]*"),
                SubsetName::PREFIX
            ),
        };
        Some(Self {
            // The same counts are there by code, too.
            requests: format!("envoy_cluster_upstream_rq{{{who},response_code_class!=\"\"}}"),
            failures: vec![format!("envoy_cluster_upstream_rq{{{who},response_code_class=\"5xx\"}}")],
            buckets: format!("envoy_cluster_upstream_rq_time_bucket{{{who}}}"),
        })
    }
}

/// The Services that a copy serves the lane for, as patterns of `name.namespace`.
fn hosts(lane: &Value, copy: &WorkloadRef) -> Vec<String> {
    let members = lane["status"]["members"].as_array().into_iter().flatten();
    let services = members.filter_map(|member| {
        let (namespace, name) = member["service"].as_str()?.split_once('/')?;
        (member["workload"] == *copy.name && namespace == copy.namespace)
            .then(|| format!("{name}[.]{namespace}"))
    });
    services.collect()
}

#[cfg(test)]
mod tests;
