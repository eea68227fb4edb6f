//! What a release is measured by while a step is held: the document's part of it, and what it comes to.

mod queries;
mod verdict;

use serde::{Deserialize, Serialize};

use crate::document::Release;

pub(crate) use queries::due;
pub use queries::{About, Question, Questions, Side, questions};
pub(crate) use verdict::judge;
pub use verdict::{AnalysisStatus, Figure, Measured, Reading, Traffic, Verdict};

/// How long back is looked, how often, in seconds; the fewest requests that say anything.
const WINDOW_S: u32 = 300;
const INTERVAL_S: u32 = 30;
const MIN_SAMPLES: u32 = 100;
/// The quantile of latencies that is compared.
const QUANTILE: f64 = 0.95;

/// What is measured while a step is held. A step's own fields win over the release's, one by one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Analysis {
    /// Who is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,
    /// Whose metrics tell requests, failures and latencies; default: Istio's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Source>,
    /// Bounds of the lane's failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<SuccessRate>,
    /// Bounds of the lane's latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Queries of one's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promql: Vec<OwnQuery>,
    /// The fewest requests in the window, of the lane and of what it is compared with, that say anything;
    /// default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_samples: Option<u32>,
    /// How long back is looked, in seconds, but never before the step was reached; default 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u32>,
    /// How often it is measured, in seconds; default 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// How many times in a row it has to be good before a step goes on by itself; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<u32>,
    /// How many times in a row it has to be bad before something is done; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// What is done then; default: pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Whether it is only told of: the release goes as if nothing were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// A Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prometheus {
    /// Its address as the controller reaches it: `http://prometheus.monitoring:9090`.
    pub url: String,
}

/// Whose metrics are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Istio's standard metrics, as the called pods report them.
    #[default]
    Istio,
    /// Envoy's own counts per cluster, as the callers' proxies report them.
    Envoy,
}

/// Bounds of the lane's failures. One of them at least.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SuccessRate {
    /// How many percent of requests more than the baseline's may fail, in percentage points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_drop: Option<f64>,
    /// How many percent of requests have to succeed, whatever the baseline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
}

/// Bounds of the lane's latency. One of them at least.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// The quantile that is looked at, between 0 and 1; default 0.95.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// How much slower than the baseline it may be, in percent of the baseline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rise: Option<f64>,
    /// How slow it may be, in milliseconds, whatever the baseline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
}

/// A query of one's own, which gives one number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnQuery {
    /// What it is called in what is said of it.
    pub name: String,
    /// PromQL; `$lane` and `$window` in it stand for the lane's name and the time looked at, such as `300s`.
    pub query: String,
    /// The least that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// What is done when measurements are bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// The release stays where it is, until somebody promotes, retries or aborts it.
    #[default]
    Pause,
    /// Every user is taken back.
    Abort,
}

/// An analysis that makes sense, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checks {
    pub(crate) url: String,
    pub(crate) source: Source,
    pub(crate) success_rate: Option<SuccessRate>,
    pub(crate) latency: Option<Latency>,
    pub(crate) quantile: f64,
    pub(crate) own: Vec<OwnQuery>,
    pub(crate) min_samples: u32,
    pub(crate) window_s: u32,
    pub(crate) interval_s: u32,
    pub(crate) passes: u32,
    pub(crate) failures: u32,
    pub(crate) on_failure: OnFailure,
    pub(crate) dry_run: bool,
}

impl Analysis {
    /// These fields, and where they say nothing those of another.
    fn over(&self, other: &Self) -> Self {
        let own = self.clone();
        Self {
            prometheus: own.prometheus.or_else(|| other.prometheus.clone()),
            metrics: own.metrics.or(other.metrics),
            success_rate: own.success_rate.or_else(|| other.success_rate.clone()),
            latency: own.latency.or_else(|| other.latency.clone()),
            promql: if own.promql.is_empty() { other.promql.clone() } else { own.promql },
            min_samples: own.min_samples.or(other.min_samples),
            window_seconds: own.window_seconds.or(other.window_seconds),
            interval_seconds: own.interval_seconds.or(other.interval_seconds),
            passes: own.passes.or(other.passes),
            failures: own.failures.or(other.failures),
            on_failure: own.on_failure.or(other.on_failure),
            dry_run: own.dry_run.or(other.dry_run),
        }
    }
}

impl Checks {
    /// What a step is measured by; nothing where neither it nor the release says anything.
    ///
    /// # Errors
    /// What makes no sense, in words.
    pub(crate) fn of(release: &Release, step: usize) -> Result<Option<Self>, String> {
        let analysis = match (release.step(step).analysis, &release.spec.analysis) {
            (None, None) => return Ok(None),
            (Some(own), None) => own,
            (None, Some(all)) => all.clone(),
            (Some(own), Some(all)) => own.over(all),
        };
        Self::new(analysis).map(Some)
    }

    fn new(analysis: Analysis) -> Result<Self, String> {
        let url = analysis.prometheus.map(|prometheus| prometheus.url).unwrap_or_default();
        let host = ["http://", "https://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
        if host
            .is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace))
        {
            return Err(format!(
                "prometheus.url is `{url}`: wanted an address such as http://prometheus.monitoring:9090"
            ));
        }
        let is_bound =
            |value: Option<f64>, most: f64| value.is_none_or(|value| (0.0..=most).contains(&value));
        if let Some(rate) = &analysis.success_rate {
            if rate.max_drop.is_none() && rate.min.is_none() {
                return Err("successRate has no bound: give maxDrop, min or both".into());
            }
            if !is_bound(rate.max_drop, 100.0) || !is_bound(rate.min, 100.0) {
                return Err("successRate: maxDrop and min are percentages, 0 to 100".into());
            }
        }
        let quantile = analysis.latency.as_ref().and_then(|latency| latency.quantile).unwrap_or(QUANTILE);
        if let Some(latency) = &analysis.latency {
            if latency.max_rise.is_none() && latency.max_ms.is_none() {
                return Err("latency has no bound: give maxRise, maxMs or both".into());
            }
            if !(quantile > 0.0 && quantile < 1.0) {
                return Err(format!("latency.quantile is {quantile}: wanted a number between 0 and 1"));
            }
            if !is_bound(latency.max_rise, f64::MAX) || !is_bound(latency.max_ms, f64::MAX) {
                return Err("latency: maxRise and maxMs are not below 0".into());
            }
        }
        if let Some(query) = analysis.promql.iter().find(|one| one.min.is_none() && one.max.is_none()) {
            return Err(format!("promql {} has no bound: give min, max or both", query.name));
        }
        if analysis.success_rate.is_none() && analysis.latency.is_none() && analysis.promql.is_empty() {
            return Err("the analysis has nothing to judge by: give successRate, latency or promql".into());
        }
        let interval_s = analysis.interval_seconds.unwrap_or(INTERVAL_S).max(1);
        Ok(Self {
            url,
            source: analysis.metrics.unwrap_or_default(),
            success_rate: analysis.success_rate,
            latency: analysis.latency,
            quantile,
            own: analysis.promql,
            min_samples: analysis.min_samples.unwrap_or(MIN_SAMPLES),
            window_s: analysis.window_seconds.unwrap_or(WINDOW_S).max(interval_s),
            interval_s,
            passes: analysis.passes.unwrap_or(1).max(1),
            failures: analysis.failures.unwrap_or(1).max(1),
            on_failure: analysis.on_failure.unwrap_or_default(),
            dry_run: analysis.dry_run.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(of_release: Value, of_step: Value) -> Release {
        let document = json!({
            "apiVersion": "", "kind": "", "metadata": {"name": "r"},
            "spec": {"workloads": [], "analysis": of_release, "steps": [{"share": 1, "analysis": of_step}]},
        });
        serde_json::from_value(document).expect("a release")
    }

    #[track_caller]
    fn check_refused(analysis: Value, want: &str) {
        let error = Checks::of(&release(analysis, Value::Null), 0).expect_err("it makes no sense");
        assert!(error.contains(want), "{error}");
    }

    fn at(url: &str, mut more: Value) -> Value {
        more["prometheus"] = json!({"url": url});
        more
    }

    #[test]
    fn an_analysis_without_address_bound_or_anything_to_judge_by_is_refused() {
        let rate = || json!({"successRate": {"maxDrop": 1}});
        check_refused(rate(), "prometheus.url is ``");
        check_refused(at("prometheus:9090", rate()), "prometheus.url is `prometheus:9090`");
        check_refused(at("http:///x", rate()), "prometheus.url");
        let url = "http://prometheus:9090";
        check_refused(at(url, json!({})), "nothing to judge by");
        check_refused(at(url, json!({"successRate": {}})), "successRate has no bound");
        check_refused(at(url, json!({"successRate": {"maxDrop": 101}})), "0 to 100");
        check_refused(at(url, json!({"latency": {"quantile": 0.9}})), "latency has no bound");
        check_refused(at(url, json!({"latency": {"quantile": 95, "maxRise": 1}})), "between 0 and 1");
        check_refused(at(url, json!({"latency": {"maxMs": -1}})), "not below 0");
        check_refused(
            at(url, json!({"promql": [{"name": "queue", "query": "1"}]})),
            "promql queue has no bound",
        );
    }

    #[test]
    fn a_steps_own_fields_win_one_by_one() {
        let all = at("http://p:9090", json!({"successRate": {"maxDrop": 1}, "minSamples": 7, "failures": 3}));
        let own = json!({"minSamples": 9, "onFailure": "abort", "latency": {"maxRise": 20}});
        let checks = Checks::of(&release(all.clone(), own), 0).expect("it makes sense").expect("an analysis");
        assert_eq!((checks.min_samples, checks.failures, checks.on_failure), (9, 3, OnFailure::Abort));
        assert!(checks.success_rate.is_some() && checks.latency.is_some());
        let checks = Checks::of(&release(all, Value::Null), 0).expect("it makes sense").expect("an analysis");
        assert_eq!((checks.min_samples, checks.on_failure), (7, OnFailure::Pause));
        assert_eq!(Checks::of(&release(Value::Null, Value::Null), 0), Ok(None));
    }
}
