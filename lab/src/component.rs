//! The processes that a cluster is made of: how each is started, and when it is ready.
//!
//! One file per component says what it runs and which condition makes it ready. Starting, watching and telling
//! its end are the same for all, here.

pub(crate) mod apiserver;
pub(crate) mod containerd;
pub(crate) mod controller_manager;
pub(crate) mod coredns;
pub(crate) mod etcd;
pub(crate) mod kube_proxy;
pub(crate) mod kubelet;
mod probe;
pub(crate) mod registry;
pub(crate) mod scheduler;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use crate::error::{LabError, file};
use crate::interrupt::Interrupt;
use crate::lab::Lab;
use crate::{program, status, wait};

/// Whether a component is ready; `Err` says what is missing.
type Ready = Box<dyn FnMut() -> Result<(), String> + Send>;

/// A component that does not run yet.
pub(crate) struct Component {
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    /// Asked inside the lab's network.
    pub(crate) ready: Ready,
    /// How long it may take, in seconds. Generous: the machine may be busy with other things.
    pub(crate) patience_s: u64,
}

/// A component that runs.
pub(crate) struct Running {
    name: &'static str,
    lab: Lab,
    child: Child,
    ready: Ready,
    patience: Duration,
    started: Instant,
}

impl Component {
    /// Starts it inside the lab: in its network, in its control group, with its output in its log.
    pub(crate) fn start(mut self, lab: &Lab) -> Result<Running, LabError> {
        let log_path = lab.paths.log(self.name);
        let log = File::create(&log_path).map_err(file("create", &log_path))?;
        let errors = log.try_clone().map_err(file("create", &log_path))?;
        self.command.stdin(Stdio::null()).stdout(log).stderr(errors).current_dir(lab.paths.root());
        // Ctrl-C is for us, and a lab outlives whoever started it.
        self.command.process_group(0);
        let spawned = lab.namespace.inside(|| self.command.spawn())?;
        let program = || self.command.get_program().to_string_lossy().into_owned();
        let child = spawned.map_err(|source| LabError::Start { program: program(), source })?;
        lab.group.adopt(child.id())?;
        status::remember(lab, self.name, child.id())?;
        Ok(Running {
            name: self.name,
            lab: lab.clone(),
            child,
            ready: self.ready,
            patience: Duration::from_secs(self.patience_s),
            started: Instant::now(),
        })
    }
}

impl Running {
    /// Waits until it is ready, and says how long that took since it was started.
    pub(crate) fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<Duration, LabError> {
        let Self { name, lab, child, ready, patience, .. } = self;
        let mut ended = None;
        let condition = || match child.try_wait() {
            Ok(Some(status)) => {
                ended = Some(status);
                Ok(())
            }
            Ok(None) | Err(_) => ready(),
        };
        let waited = lab.namespace.inside(|| wait::until(name, *patience, interrupt, condition))?;
        if let Some(status) = ended {
            let (log, log_tail) = self.log();
            return Err(LabError::Ended { component: self.name, status, log, log_tail });
        }
        match waited {
            Ok(()) => Ok(self.started.elapsed()),
            Err(LabError::TimedOut { waited, why, .. }) => {
                let (log, log_tail) = self.log();
                Err(LabError::NotReady { component: self.name, waited, why, log, log_tail })
            }
            Err(other) => Err(other),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn log(&self) -> (std::path::PathBuf, String) {
        let path = self.lab.paths.log(self.name);
        let log = std::fs::read(&path).unwrap_or_default();
        (path, program::tail(&String::from_utf8_lossy(&log)))
    }
}

impl Drop for Running {
    /// It goes on running; if it has been killed, this is its burial.
    fn drop(&mut self) {
        let _ = self.child.try_wait();
    }
}
