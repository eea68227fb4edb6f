//! What can go wrong with a lab, told so that a person can act on it.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::name::{LabName, NameError};

/// Why a lab cannot be built, started, entered or ended.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces, control groups and mounts are root's.
    #[error("a lab needs root: it makes a network namespace, control groups and mounts")]
    NotRoot,
    /// A name that names no lab.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is a lab of this name.
    #[error("lab {name} is there already")]
    Exists {
        /// The lab.
        name: LabName,
    },
    /// There is no lab of this name, or it does not run.
    #[error("no lab {name} is up")]
    NotUp {
        /// The lab.
        name: LabName,
    },
    /// Someone else starts or ends this lab right now.
    #[error("another process is starting or ending lab {name}")]
    Busy {
        /// The lab.
        name: LabName,
    },
    /// Ctrl-C, or a request to end.
    #[error("interrupted")]
    Interrupted,
    /// A program is not on this machine.
    #[error("no {program} here, which {needed_for}")]
    Missing {
        /// The program.
        program: &'static str,
        /// Completes "which …".
        needed_for: &'static str,
    },
    /// A program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A program said no.
    #[error("{command} ended with {status}:\n{said}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        said: String,
    },
    /// A component ended by itself.
    #[error("{component} ended by itself ({status}); its log {log} ends:\n{log_tail}")]
    Ended {
        /// The component.
        component: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        log_tail: String,
    },
    /// A component did not get ready.
    #[error("after {} s {component} is not ready: {why}; its log {log} ends:\n{log_tail}", waited.as_secs())]
    NotReady {
        /// The component.
        component: &'static str,
        /// How long it was waited for.
        waited: Duration,
        /// What the condition said last.
        why: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        log_tail: String,
    },
    /// Something else did not come about in time.
    #[error("after {} s still waiting until {what}: {why}", waited.as_secs())]
    TimedOut {
        /// The condition.
        what: String,
        /// How long it was waited for.
        waited: Duration,
        /// What the condition said last.
        why: String,
    },
    /// Processes that do not end.
    #[error("lab {name} does not end: {left} processes of {group} stay")]
    StillRuns {
        /// The lab.
        name: LabName,
        /// How many processes are left.
        left: usize,
        /// Their control group.
        group: PathBuf,
    },
    /// A file or directory.
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
    /// A file that cannot be fetched or does not hold what it should.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The network namespace.
    #[error("cannot {action} network namespace {namespace}")]
    Namespace {
        /// What was tried.
        action: &'static str,
        /// Its name.
        namespace: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Keys and certificates.
    #[error("cannot make the cluster's certificates")]
    Certificates(#[from] rcgen::Error),
}

/// Turns an error of the file system into ours: `.map_err(file("write", &path))`.
pub(crate) fn file(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> LabError {
    let path = path.into();
    move |source| LabError::File { action, path, source }
}
