//! What can go wrong with a mesh, told so that a person can act on it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use canary_istio::{CompileError, Host};

use crate::http::ClientError;

/// Why a mesh does not start, or does not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The Envoy binary is not there.
    #[error("no Envoy at {path}")]
    NoEnvoy {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The filter's module is not there.
    #[error("no Wasm module at {path}")]
    NoModule {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The system does not let so many Envoys watch files.
    #[error(
        "{} Envoys need {} inotify instances, but of the {} that a user may have {} are taken",
        .0.needed / crate::inotify::PER_ENVOY, .0.needed, .0.limit, .0.taken
    )]
    Inotify(crate::inotify::Shortage),
    /// A program cannot be run.
    #[error("cannot run {program} as {name}")]
    Spawn {
        /// The process.
        name: String,
        /// Its program.
        program: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A port that was asked for is not free.
    #[error("port {port} for the {wanted_by} is taken")]
    PortTaken {
        /// The port on 127.0.0.1.
        port: u16,
        /// What it was wanted for.
        wanted_by: String,
    },
    /// No free port.
    #[error("no free port for the {wanted_by}")]
    NoPort {
        /// What it was wanted for.
        wanted_by: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Two instances of one name, or one named like the gateway.
    #[error("two proxies would be called {name}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A call to a service that has no instance.
    #[error("{caller} shall call {host}, which has no instance")]
    UnknownService {
        /// Who calls: an app or the gateway.
        caller: String,
        /// Whom.
        host: Host,
    },
    /// No instance of this name.
    #[error("no instance is called {name}")]
    NoInstance {
        /// The name.
        name: String,
    },
    /// The lanes make no plan.
    #[error("the lanes make no plan")]
    Plan(#[from] CompileError),
    /// A file of the run directory cannot be written or read.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A process ended by itself.
    #[error("{name} ended ({status}); its log ends:\n{log_tail}")]
    Ended {
        /// The process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log_tail: String,
    },
    /// A process did not get ready.
    #[error("{name} is not ready after {} s: {waiting_for}; its log ends:\n{log_tail}", waited.as_secs())]
    NotReady {
        /// The process.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// What it was waited for.
        waiting_for: String,
        /// The end of its log.
        log_tail: String,
    },
    /// A proxy refused a configuration; it keeps the one before.
    #[error("{name} refuses {what}; its log ends:\n{log_tail}")]
    Refused {
        /// The proxy.
        name: String,
        /// Which configuration.
        what: String,
        /// The end of its log.
        log_tail: String,
    },
    /// A proxy's admin interface does not answer.
    #[error("the admin interface of {name} at {address} does not answer")]
    Admin {
        /// The proxy.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// What the client says.
        #[source]
        source: Box<ClientError>,
    },
}
