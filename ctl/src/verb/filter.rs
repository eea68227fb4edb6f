//! `canaryctl filter`: the Wasm filter that this binary carries.

use std::net::SocketAddr;

use crate::cluster::block_on;
use crate::failure::{Code, Failure};
use crate::filter_server;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Serve the filter to proxies; runs in the cluster, started by `install`.
    Serve {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
}

/// Runs the verb.
///
/// # Errors
/// When the port is taken, or this binary carries no filter.
pub fn run(args: &Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Serve { listen } => serve(listen),
    }
}

fn serve(listen: SocketAddr) -> Result<(), Failure> {
    let router = filter_server::router()?;
    block_on(async {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .map_err(|error| Failure::new(Code::Failed, format!("cannot listen on {listen}: {error}")))?;
        let stop = async {
            use tokio::signal::unix::{SignalKind, signal};
            match signal(SignalKind::terminate()) {
                Ok(mut terminated) => drop(terminated.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        let served = axum::serve(listener, router).with_graceful_shutdown(stop).await;
        served.map_err(|error| Failure::new(Code::Failed, format!("stopped serving: {error}")))
    })
}
