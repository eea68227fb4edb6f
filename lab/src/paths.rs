//! Where one lab keeps what it writes: one directory, so that nothing else has to be looked for.

use std::path::{Path, PathBuf};

use crate::name::LabName;

/// Where labs live. Namespaces and control groups are the machine's, so their state is no user's either.
const STATE_ROOT: &str = "/var/lib/canary-lab";

/// The files of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn of(name: &LabName) -> Self {
        Self { root: Path::new(STATE_ROOT).join(name.as_str()) }
    }

    /// The directory of all labs.
    pub(crate) fn all_labs() -> &'static Path {
        Path::new(STATE_ROOT)
    }

    /// The lab's directory; everything it writes is below it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file or directory of the lab.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// What a component prints.
    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.root.join("logs").join(format!("{component}.log"))
    }

    /// Which process a component is.
    pub(crate) fn process(&self, component: &str) -> PathBuf {
        self.processes().join(component)
    }

    pub(crate) fn processes(&self) -> PathBuf {
        self.root.join("processes")
    }

    /// Links to the programs that belong to the lab, such as `kubectl`.
    pub(crate) fn programs(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// The administrator's way in.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// Exists once the lab has started whole.
    pub(crate) fn up_marker(&self) -> PathBuf {
        self.root.join("up")
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.root.join("containerd.sock")
    }
}
