//! The controller: the only writer of what lanes need, and of what became of them.
//!
//! One loop, driven by what is rather than by what happened: look at everything, plan, make the changes phase
//! by phase, each phase only once every proxy has the one before. Whatever ends it at whatever point, the
//! next run looks again and goes on.

mod lease;
mod metrics;
mod releases;
mod report;
mod run;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::Client;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::world::Watched;
use lease::Leadership;
use metrics::Metrics;
use run::Run;

/// How a controller is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its own namespace.
    pub namespace: String,
    /// Its own name: that of its pod.
    pub identity: String,
    /// How long what no route leads to stays, for requests under way.
    pub collect_after: Duration,
    /// How long a phase may take to reach every proxy.
    pub arrival_timeout: Duration,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
}

/// Runs until told to stop, or until another controller has taken over.
///
/// # Errors
/// When the cluster cannot be watched or the port is taken.
pub async fn run(client: Client, options: Options) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::default());
    let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(|error| {
        Failure::new(Code::Failed, format!("cannot listen on {}: {error}", options.listen))
            .help("give another address with --listen")
    })?;
    let serve = axum::serve(listener, metrics::router(metrics.clone()));
    let watching = Watched::start(&client).await;
    let (watched, keep_watching) = watching.map_err(|error| api_failure("watch the cluster", &error))?;
    let leadership = Leadership::new(client.clone(), &options.namespace, options.identity.clone());

    let lead = async {
        watched.ready().await;
        metrics.ready.store(true, Ordering::Relaxed);
        leadership.acquire().await;
        tracing::info!(identity = options.identity, "leads");
        metrics.leads.store(true, Ordering::Relaxed);
        let mut run = Run::new(client, options.clone(), &watched, metrics.clone());
        tokio::select! {
            () = leadership.hold() => {}
            () = run.forever() => {}
        }
        metrics.leads.store(false, Ordering::Relaxed);
    };
    tokio::select! {
        () = lead => Err(Failure::new(Code::Conflict, "the Lease is lost to another controller")),
        served = serve.into_future() => Err(Failure::new(Code::Failed, format!("stopped serving: {served:?}"))),
        () = keep_watching => Err(Failure::new(Code::Failed, "stopped watching")),
        () = stopped() => {
            leadership.release().await;
            Ok(())
        }
    }
}

/// Waits for Ctrl-C or a pod's end.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
