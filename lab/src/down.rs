//! Ending a lab: its processes, its mounts, its control group, its network, its files, and its strays.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::component::{containerd, kubelet};
use crate::error::{LabError, file};
use crate::lab::{Lab, require_root};
use crate::mounts;
use crate::name::LabName;

/// How long killed processes may take to be gone, in seconds: a shim in a disk operation takes its time.
const GONE_WITHIN_S: u64 = 30;
const LOOK_EVERY_MS: u64 = 20;

impl Lab {
    /// Ends the lab of this name, or what is left of it. Returns whether there was anything to end.
    ///
    /// # Errors
    /// When something of it cannot be ended or removed. Another try goes on where this one stopped.
    pub fn down(name: &LabName) -> Result<bool, LabError> {
        require_root()?;
        let lab = Self::named(name);
        if !lab.paths.root().exists() && !lab.has_remains() {
            return Ok(false);
        }
        let _lock = lab.lock()?;
        lab.clear()?;
        Ok(true)
    }

    /// Removes everything. Nothing is asked to end in order: nobody will read what it would write.
    pub(crate) fn clear(&self) -> Result<(), LabError> {
        self.end_processes()?;
        // Named by what is in the lab's directory, so removed before it.
        for stray in containerd::strays(self).into_iter().chain(kubelet::strays(self)) {
            remove(&stray)?;
        }
        mounts::unmount_below(self.paths.root())?;
        self.group.remove()?;
        if self.namespace.exists() {
            self.namespace.delete()?;
        }
        let root = self.paths.root();
        std::fs::remove_dir_all(root).map_err(file("remove", root))?;
        // The last lab takes the directory of all labs along; it is not empty while there are others.
        let _ = std::fs::remove_dir(crate::paths::Paths::all_labs());
        Ok(())
    }

    /// Kills whoever is in the lab's control group until nobody is: some may be starting others just now.
    fn end_processes(&self) -> Result<(), LabError> {
        let deadline = Instant::now() + Duration::from_secs(GONE_WITHIN_S);
        loop {
            let left = self.group.kill();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let group = self.group.path();
                return Err(LabError::StillRuns { name: self.name.clone(), left, group });
            }
            std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS));
        }
    }
}

fn remove(path: &Path) -> Result<(), LabError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(file("remove", path)),
    }
}
