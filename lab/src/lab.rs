//! A lab as a handle: its name, and the places and names that follow from it.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cgroup::ControlGroup;
use crate::error::{LabError, file};
use crate::identity::Identity;
use crate::image::{self, ImageSpec};
use crate::name::LabName;
use crate::namespace::NetworkNamespace;
use crate::paths::Paths;
use crate::program;

/// The namespace of containerd that the kubelet's pods and images are in.
const CONTAINERD_NAMESPACE: &str = "k8s.io";

/// The image that `canaryctl install` is to use there, for those who load one of that name.
const CANARYCTL_IMAGE: &str = "canary-lab.test/canaryctl:1";

/// One lab of this machine. A handle only: dropping it ends nothing.
#[derive(Debug, Clone)]
pub struct Lab {
    pub(crate) name: LabName,
    pub(crate) paths: Paths,
    pub(crate) namespace: NetworkNamespace,
    pub(crate) group: ControlGroup,
    pub(crate) identity: Identity,
}

impl Lab {
    pub(crate) fn named(name: &LabName) -> Self {
        let paths = Paths::of(name);
        Self {
            name: name.clone(),
            namespace: NetworkNamespace::of(name),
            group: ControlGroup::of(name),
            identity: Identity::of(&paths),
            paths,
        }
    }

    /// The lab of this name, which must be up.
    ///
    /// # Errors
    /// When it is not.
    pub fn running(name: &LabName) -> Result<Self, LabError> {
        let lab = Self::named(name);
        if lab.paths.up_marker().exists() { Ok(lab) } else { Err(LabError::NotUp { name: name.clone() }) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &LabName {
        &self.name
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.paths.kubeconfig()
    }

    /// The IstioOperator that Istio was installed from.
    #[must_use]
    pub fn istio_operator(&self) -> PathBuf {
        self.paths.at("istio.yaml")
    }

    /// The directory of the components' logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.paths.at("logs")
    }

    /// Moves the calling thread into the lab, for good: what it connects to or starts is inside.
    ///
    /// Threads that run already stay where they are, so call it before a runtime starts.
    ///
    /// # Errors
    /// When the lab is gone or the caller is not root.
    pub fn enter(&self) -> Result<(), LabError> {
        self.namespace.enter()
    }

    /// A command with the lab's kubeconfig and programs (`kubectl`, `istioctl`, `helm`). It runs inside the lab only
    /// if the thread that starts it has entered.
    #[must_use]
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let program = program.into();
        let own = self.paths.programs().join(&program);
        // The child's PATH is not the one that its program is looked up in.
        let mut command = Command::new(if own.exists() { own.into_os_string() } else { program });
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.paths.programs()).chain(std::env::split_paths(&path));
        command.env("KUBECONFIG", self.kubeconfig()).env("CANARYCTL_IMAGE", CANARYCTL_IMAGE);
        if let Ok(path) = std::env::join_paths(path) {
            command.env("PATH", path);
        }
        command
    }

    /// Makes images of these and puts the programs among those that commands in the lab find; what has the same
    /// name is replaced, and what runs already runs on.
    ///
    /// # Errors
    /// When a file is missing, or containerd does not take an image.
    pub fn load(&self, images: &[ImageSpec], programs: &[PathBuf]) -> Result<(), LabError> {
        if !images.is_empty() {
            let archive = self.paths.at("images.tar");
            image::write_archive(images, &archive)?;
            self.import_images(&archive)?;
            std::fs::remove_file(&archive).map_err(file("remove", &archive))?;
        }
        for program in programs {
            let Some(name) = program.file_name() else { continue };
            let link = self.paths.programs().join(name);
            if link.symlink_metadata().is_ok() {
                std::fs::remove_file(&link).map_err(file("remove", &link))?;
            }
            std::os::unix::fs::symlink(program, &link).map_err(file("link", &link))?;
        }
        Ok(())
    }

    /// Makes the images of an archive (`docker save`) known to the node.
    ///
    /// # Errors
    /// When the archive is none, or containerd does not take it.
    pub fn import_images(&self, archive: &Path) -> Result<(), LabError> {
        program::capture(self.containerd_client().args(["images", "import"]).arg(archive)).map(drop)
    }

    /// `ctr`, talking to this lab's containerd.
    pub(crate) fn containerd_client(&self) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.paths.containerd_socket()).args(["--namespace", CONTAINERD_NAMESPACE]);
        ctr
    }

    /// Whether anything of the lab is there.
    pub(crate) fn has_remains(&self) -> bool {
        let empty = |path: &Path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        let root = self.paths.root();
        (root.exists() && !empty(root)) || self.namespace.exists() || self.group.exists()
    }

    /// Makes the lab's directory and keeps others from starting or ending the lab, until dropped.
    pub(crate) fn lock(&self) -> Result<File, LabError> {
        let root = self.paths.root();
        loop {
            std::fs::create_dir_all(root).map_err(file("create", root))?;
            let lock = File::open(root).map_err(file("open", root))?;
            if lock.try_lock().is_err() {
                return Err(LabError::Busy { name: self.name.clone() });
            }
            // Whoever had it may have removed the directory, and then this lock is on nothing.
            let locked = lock.metadata().map_err(file("read", root))?.ino();
            if root.metadata().is_ok_and(|now| now.ino() == locked) {
                return Ok(lock);
            }
        }
    }
}

/// Namespaces, control groups and mounts are root's.
pub(crate) fn require_root() -> Result<(), LabError> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(LabError::NotRoot) }
}
