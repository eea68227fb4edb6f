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
    pub(super) lanes_refused: AtomicU64,
    lanes_waiting: AtomicU64,
    pub(super) releases_degraded: AtomicU64,
    late_proxies: AtomicU64,
    pub(super) last_run_ms: AtomicU64,
    pub(super) webhook: Arc<Counts>,
}

/// A metric as Prometheus reads it: its name, its type, what it is, and its value.
type Row = (&'static str, &'static str, &'static str, u64);

impl Metrics {
    /// So many lanes, and what else is under way, wait for so many proxies.
    pub(super) fn waits(&self, lanes: usize, late_proxies: usize) {
        self.lanes_waiting.store(lanes as u64, Ordering::Relaxed);
        self.late_proxies.store(late_proxies as u64, Ordering::Relaxed);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in self.of_the_loop().into_iter().chain(self.of_the_webhook()) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }

    fn of_the_loop(&self) -> [Row; 11] {
        let leads = u64::from(self.leads.load(Ordering::Relaxed));
        let number = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let (runs, failed) = (number(&self.runs), number(&self.failures));
        let took = number(&self.last_run_ms);
        [
            ("canaryctl_leader", "gauge", "1 if this controller is the one that writes", leads),
            ("canaryctl_reconciles_total", "counter", "Runs of the controller's loop", runs),
            ("canaryctl_reconcile_failures_total", "counter", "Runs that did not come to their end", failed),
            ("canaryctl_last_reconcile_milliseconds", "gauge", "How long the last run took", took),
            ("canaryctl_writes_total", "counter", "Objects written, status apart", number(&self.writes)),
            (
                "canaryctl_conflicts_total",
                "counter",
                "Writes that lost to somebody else's",
                number(&self.conflicts),
            ),
            ("canaryctl_lanes", "gauge", "Lanes that are on", number(&self.lanes)),
            (
                "canaryctl_lanes_waiting",
                "gauge",
                "Lanes that are on while the last run could not go on",
                number(&self.lanes_waiting),
            ),
            (
                "canaryctl_lanes_refused",
                "gauge",
                "Lanes that cannot be, and put nobody in them",
                number(&self.lanes_refused),
            ),
            (
                "canaryctl_late_proxies",
                "gauge",
                "Proxies that did not confirm the last change in time",
                number(&self.late_proxies),
            ),
            (
                "canaryctl_releases_degraded",
                "gauge",
                "Releases that do not go on without help",
                number(&self.releases_degraded),
            ),
        ]
    }

    fn of_the_webhook(&self) -> [Row; 4] {
        let number = |value: &AtomicU64| value.load(Ordering::Relaxed);
        [
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
            (
                "canaryctl_webhook_certificate_ends_seconds",
                "gauge",
                "When the certificate ends that the API server is shown, Unix; 0 for none",
                number(&self.webhook.certificate_ends_unix_s),
            ),
        ]
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

    #[test]
    fn the_documents_name_every_metric_and_no_other() {
        let (_, documented) = include_str!("../../../docs/metrics.md")
            .split_once("\n## What the controller counts\n")
            .expect("a section of its own");
        let (documented, _) = documented.split_once("\n## ").expect("a section after it");
        let named = documented.split('`').skip(1).step_by(2).filter(|name| name.starts_with("canaryctl_"));
        let named: std::collections::BTreeSet<&str> = named.collect();
        let metrics = Metrics::default();
        let rows = metrics.of_the_loop().into_iter().chain(metrics.of_the_webhook());
        let counted: std::collections::BTreeSet<&str> = rows.map(|(name, ..)| name).collect();
        assert_eq!(named, counted);
    }

    #[test]
    fn no_metric_has_labels() {
        assert!(!Metrics::default().text().contains('{'));
    }
}
