//! Killing a part of the control plane and starting it again, as a machine that dies and comes back would.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::component::{Component, apiserver, controller_manager, etcd};
use crate::error::LabError;
use crate::interrupt::Interrupt;
use crate::lab::{Lab, require_root};
use crate::{status, wait};

/// A killed process is gone at once, or something is wrong with the machine; in seconds.
const GONE_WITHIN_S: u64 = 10;

/// What can be killed and started again while everything else runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restartable {
    /// kube-apiserver.
    ApiServer,
    /// etcd. What it has acknowledged, it has afterwards.
    Etcd,
    /// kube-controller-manager: without it no Service gets or loses an endpoint.
    ControllerManager,
}

impl Lab {
    /// Kills a component without a word of warning and, so much later, starts it again and waits until it is ready.
    ///
    /// # Errors
    /// When it does not run, or is not ready again in time.
    pub fn restart(&self, what: Restartable, after: Duration) -> Result<Duration, LabError> {
        require_root()?;
        let interrupt = Interrupt::default();
        let component = self.restartable(what);
        let name = component.name;
        let started = Instant::now();
        if let Some(id) = status::process_of(self, name).and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended by itself just now.
            let _ = kill_process(id, Signal::KILL);
        }
        let gone = || match status::process_of(self, name) {
            None => Ok(()),
            Some(id) => Err(format!("process {id} is still there")),
        };
        wait::until(name, Duration::from_secs(GONE_WITHIN_S), &interrupt, gone)?;
        std::thread::sleep(after);
        component.start(self)?.wait_until_ready(&interrupt)?;
        Ok(started.elapsed())
    }

    fn restartable(&self, what: Restartable) -> Component {
        match what {
            Restartable::ApiServer => apiserver::component(self),
            Restartable::Etcd => etcd::component(self),
            Restartable::ControllerManager => controller_manager::component(self),
        }
    }
}
