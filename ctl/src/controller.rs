//! The controller: the only writer of what lanes need, and of what became of them.
//!
//! One loop, driven by what is rather than by what happened: look at everything, plan, make the changes phase
//! by phase, each phase only once every proxy has the one before. Whatever ends it at whatever point, the
//! next run looks again and goes on.

mod events;
mod finalizers;
mod held;
mod lease;
mod metrics;
mod releases;
mod report;
mod run;
mod takeovers;
mod traces;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::webhook::{self, Hook, Shown};
use crate::world::Watched;
use lease::Leadership;
use metrics::Metrics;
use run::Run;
use takeovers::HandingOn;

/// How long a controller that is told to stop goes on answering: until API servers are sent to others.
const ANSWERS_ON: Duration = Duration::from_secs(3);

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
    /// Where the API server's questions are answered, if they are.
    pub webhook: Option<SocketAddr>,
}

/// Runs until told to stop, or until another controller has taken over.
///
/// # Errors
/// When the cluster cannot be watched or the port is taken.
pub async fn run(client: Client, options: Options) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::default());
    let listener = listen(options.listen, "--listen").await?;
    let serve = axum::serve(listener, metrics::router(metrics.clone()));
    let hook = match options.webhook {
        Some(address) => Some(listen(address, "--webhook").await?),
        None => None,
    };
    let watching = Watched::start(&client).await;
    let (watched, keep_watching) = watching.map_err(|error| api_failure("watch the cluster", &error))?;
    let leadership = Leadership::new(client.clone(), &options.namespace, options.identity.clone());

    let (certified, mut has_certificate) = watch::channel(hook.is_none());
    let ready = async {
        watched.ready().await;
        // Its sender lives as long as this.
        let _ = has_certificate.wait_for(|has| *has).await;
        metrics.ready.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let answer = async {
        match hook {
            Some(listener) => webhook(listener, &client, &options, &watched, &metrics, &certified).await,
            None => std::future::pending().await,
        }
    };
    let lead = async {
        watched.ready().await;
        leadership.acquire().await;
        tracing::info!(identity = options.identity, "leads");
        metrics.leads.store(true, Ordering::Relaxed);
        let handing_on = Arc::new(HandingOn::default());
        let mut run =
            Run::new(client.clone(), options.clone(), &watched, metrics.clone(), handing_on.clone());
        let renew = async {
            match options.webhook {
                Some(_) => webhook::renew(&client, &options.namespace).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Looked at first, so that who lost the Lease writes no more.
            biased;
            () = leadership.hold() => {}
            () = run.forever() => {}
            never = handing_on.follow(&client, &watched) => match never {},
            () = renew => {}
        }
        metrics.leads.store(false, Ordering::Relaxed);
    };
    // The lead ends before its Lease is given back; answers go on while others are sent here.
    let lead = async {
        tokio::select! {
            () = lead => return Err(Failure::new(Code::Conflict, "the Lease is lost to another controller")),
            () = crate::signals::stopped() => {}
        }
        metrics.leads.store(false, Ordering::Relaxed);
        leadership.release().await;
        if options.webhook.is_some() {
            tokio::time::sleep(ANSWERS_ON).await;
        }
        Ok(())
    };
    tokio::select! {
        ended = lead => ended,
        () = ready => Ok(()),
        answered = answer => answered,
        served = serve.into_future() => Err(Failure::new(Code::Failed, format!("stopped serving: {served:?}"))),
        () = keep_watching => Err(Failure::new(Code::Failed, "stopped watching")),
    }
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(Code::Failed, format!("cannot listen on {address}: {error}"))
            .help(format!("give another address with {flag}"))
    })
}

/// Answers the API server, leader or not. Never ends but by an error.
async fn webhook(
    listener: TcpListener,
    client: &Client,
    options: &Options,
    watched: &Watched,
    metrics: &Metrics,
    certified: &watch::Sender<bool>,
) -> Result<(), Failure> {
    let (tell, known) = watch::channel(None);
    let (tell_lanes, lanes) = watch::channel(Arc::default());
    let shown = Arc::new(Shown::default());
    let router = webhook::router(Arc::new(Hook { known, lanes, counts: metrics.webhook.clone() }));
    let namespace = options.namespace.as_str();
    tokio::select! {
        served = webhook::serve(listener, shown.clone(), router) => {
            served.map_err(|error| Failure::from_error(Code::Failed, &error))
        }
        () = webhook::keep(client, namespace, watched, &tell) => Ok(()),
        () = webhook::keep_lanes(watched, &tell_lanes) => Ok(()),
        () = webhook::follow(client, namespace, &shown, &metrics.webhook, certified) => Ok(()),
    }
}
