//! What the controller tells Prometheus, and whether it is ready.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;

use crate::webhook::Counts;

/// Counters and gauges. All of them are few and without labels.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) ready: AtomicBool,
    pub(super) leads: AtomicBool,
    pub(super) runs: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) lanes: AtomicU64,
    pub(super) late_proxies: AtomicU64,
    pub(super) last_run_ms: AtomicU64,
    pub(super) webhook: Arc<Counts>,
}

impl Metrics {
    fn text(&self) -> String {
        let number = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let flag = |value: &AtomicBool| u64::from(value.load(Ordering::Relaxed));
        let rows = [
            ("canaryctl_leader", "gauge", "1 if this controller is the one that writes", flag(&self.leads)),
            ("canaryctl_reconciles_total", "counter", "Runs of the controller's loop", number(&self.runs)),
            (
                "canaryctl_reconcile_failures_total",
                "counter",
                "Runs that did not come to their end",
                number(&self.failures),
            ),
            ("canaryctl_writes_total", "counter", "Objects written, status apart", number(&self.writes)),
            (
                "canaryctl_conflicts_total",
                "counter",
                "Writes that lost to somebody else's",
                number(&self.conflicts),
            ),
            ("canaryctl_lanes", "gauge", "Lanes that are on", number(&self.lanes)),
            (
                "canaryctl_late_proxies",
                "gauge",
                "Proxies that did not confirm the last change in time",
                number(&self.late_proxies),
            ),
            (
                "canaryctl_last_reconcile_milliseconds",
                "gauge",
                "How long the last run took",
                number(&self.last_run_ms),
            ),
            (
                "canaryctl_webhook_requests_total",
                "counter",
                "Writes that the API server asked about",
                number(&self.webhook.requests),
            ),
            (
                "canaryctl_webhook_patched_total",
                "counter",
                "Writes that got back what is ours",
                number(&self.webhook.patched),
            ),
            (
                "canaryctl_webhook_failures_total",
                "counter",
                "Writes that could not be judged and went on as they came",
                number(&self.webhook.failures),
            ),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics`.
pub(super) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(|State(metrics): State<Arc<Metrics>>| async move { metrics.text() }))
        .with_state(metrics)
}

async fn readiness(State(metrics): State<Arc<Metrics>>) -> (StatusCode, &'static str) {
    match metrics.ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "has not listed the cluster or has no certificate yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_says_what_it_is() {
        let metrics = Metrics::default();
        metrics.lanes.store(3, Ordering::Relaxed);
        let text = metrics.text();
        assert!(text.contains("\ncanaryctl_lanes 3\n"), "{text}");
        assert_eq!(text.matches("# HELP").count(), text.matches("# TYPE").count());
    }
}
