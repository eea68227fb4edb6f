//! The network namespace that holds everything of a lab.
//!
//! Only the network is its own: mounts and control groups stay the machine's, for the kubelet needs them.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::LabError;
use crate::name::LabName;
use crate::program;

/// Where `ip netns` keeps namespaces that have no process.
const NAMESPACES: &str = "/run/netns";

/// A named network namespace.
#[derive(Debug, Clone)]
pub(crate) struct NetworkNamespace {
    name: String,
}

impl NetworkNamespace {
    pub(crate) fn of(lab: &LabName) -> Self {
        Self { name: format!("canary-lab-{lab}") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(NAMESPACES).join(&self.name)
    }

    pub(crate) fn exists(&self) -> bool {
        self.path().exists()
    }

    pub(crate) fn create(&self) -> Result<(), LabError> {
        program::capture(Command::new("ip").args(["netns", "add", &self.name])).map(drop)
    }

    pub(crate) fn delete(&self) -> Result<(), LabError> {
        program::capture(Command::new("ip").args(["netns", "delete", &self.name])).map(drop)
    }

    /// Moves the calling thread in, for good: sockets, threads and processes that it makes are inside.
    pub(crate) fn enter(&self) -> Result<(), LabError> {
        let failed = |source| LabError::Namespace { action: "enter", namespace: self.name.clone(), source };
        let namespace = File::open(self.path()).map_err(failed)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| failed(errno.into()))
    }

    /// Does something inside, on a thread of its own; the caller stays where it is.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
