//! What a release is measured by, from flags.

use canary_release::{Analysis, Latency, OnFailure, Prometheus, Source, SuccessRate};

/// Who is asked, and what is good.
#[derive(Debug, clap::Args)]
pub(super) struct AnalysisArgs {
    /// Measure each step by this Prometheus, as the controller reaches it: a step that is worse than the baseline
    /// does not go on.
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Whose metrics it has: Istio's standard ones, or Envoy's own per cluster.
    #[arg(long, value_enum, default_value_t, requires = "prometheus")]
    metrics: Metrics,
    /// How many percent of requests more than the baseline's may fail, in percentage points.
    #[arg(long, value_name = "POINTS", default_value_t = 1.0, requires = "prometheus")]
    max_errors: f64,
    /// How much slower than the baseline the 95th percentile may be, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 25.0, requires = "prometheus")]
    max_slower: f64,
    /// The fewest requests in five minutes that say anything.
    #[arg(long, value_name = "REQUESTS", default_value_t = 100, requires = "prometheus")]
    min_requests: u32,
    /// What is done when it is worse, a Job fails, or leave is refused.
    #[arg(long, value_enum, default_value_t, requires = "judges")]
    on_failure: Then,
}

/// Whose metrics are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Metrics {
    /// `istio_requests_total` and `istio_request_duration_milliseconds`.
    #[default]
    Istio,
    /// `envoy_cluster_upstream_rq` and `envoy_cluster_upstream_rq_time`.
    Envoy,
}

/// What is done when measurements are bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Then {
    /// It stays where it is until somebody promotes, retries or aborts it.
    #[default]
    Pause,
    /// Every user is taken back.
    Abort,
}

impl AnalysisArgs {
    /// As a Release says it; nothing where no Prometheus is named.
    pub(super) fn document(&self) -> Option<Analysis> {
        let url = self.prometheus.clone()?;
        Some(Analysis {
            prometheus: Some(Prometheus { url }),
            metrics: match self.metrics {
                Metrics::Istio => None,
                Metrics::Envoy => Some(Source::Envoy),
            },
            success_rate: Some(SuccessRate { max_drop: Some(self.max_errors), min: None }),
            latency: Some(Latency { max_rise: Some(self.max_slower), ..Latency::default() }),
            min_samples: Some(self.min_requests),
            on_failure: self.on_failure(),
            ..Analysis::default()
        })
    }

    /// What is done at a failure; nothing where it is the default.
    pub(super) fn on_failure(&self) -> Option<OnFailure> {
        match self.on_failure {
            Then::Pause => None,
            Then::Abort => Some(OnFailure::Abort),
        }
    }
}
