//! The control group that holds every process of a lab: its components, their children, and the pods.
//!
//! It is how a lab is ended: who is in it was started by the lab, whatever happened since. Version 1 has a
//! tree per controller, of which one (pids) is looked at; version 2 has one tree.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{LabError, file};
use crate::name::LabName;

const MOUNTED_AT: &str = "/sys/fs/cgroup";
/// Exists at the root of a version 2 tree.
const VERSION_2_MARK: &str = "cgroup.controllers";
/// The child that the components are in; the kubelet's `kubepods` is beside it.
const COMPONENTS: &str = "components";

/// A lab's control group, in every tree.
#[derive(Debug, Clone)]
pub(crate) struct ControlGroup {
    name: String,
    trees: Vec<PathBuf>,
    unified: bool,
}

impl ControlGroup {
    pub(crate) fn of(lab: &LabName) -> Self {
        let root = PathBuf::from(MOUNTED_AT);
        let unified = root.join(VERSION_2_MARK).exists();
        let trees = if unified { vec![root] } else { directories(&root) };
        Self { name: format!("canary-lab-{lab}"), trees, unified }
    }

    /// As the kubelet calls it: a path from the tree's root.
    pub(crate) fn kubelet_root(&self) -> String {
        format!("/{}", self.name)
    }

    /// The tree that says which processes are in.
    pub(crate) fn path(&self) -> PathBuf {
        let tree = if self.unified { PathBuf::from(MOUNTED_AT) } else { Path::new(MOUNTED_AT).join("pids") };
        tree.join(&self.name)
    }

    pub(crate) fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Makes the group in every tree, as the kubelet wants to find it.
    pub(crate) fn create(&self) -> Result<(), LabError> {
        for tree in &self.trees {
            let group = tree.join(&self.name);
            match fs::create_dir_all(&group) {
                // A version 2 tree beside those of version 1 may be read-only and is not used.
                Err(_) if !self.unified && tree.join(VERSION_2_MARK).exists() => continue,
                made => made.map_err(file("create", &group))?,
            }
            for setting in ["cpuset.cpus", "cpuset.mems"] {
                // Version 1 starts these empty, and no process may enter before they are filled.
                if let Ok(inherited) = fs::read_to_string(tree.join(setting)) {
                    fs::write(group.join(setting), inherited).map_err(file("write", group.join(setting)))?;
                }
            }
        }
        if self.unified {
            self.hand_down_controllers()?;
        }
        let components = self.path().join(COMPONENTS);
        fs::create_dir_all(&components).map_err(file("create", &components))
    }

    /// Takes a process in. Its later children are in by birth.
    pub(crate) fn adopt(&self, process: u32) -> Result<(), LabError> {
        let members = self.path().join(COMPONENTS).join("cgroup.procs");
        fs::write(&members, process.to_string()).map_err(file("write", &members))
    }

    /// Everyone who is in, pods included.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let groups = below(&self.path());
        let members = groups.iter().filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
        let ids =
            members.flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>());
        ids.filter_map(Pid::from_raw).collect()
    }

    /// Kills everyone who is in right now, and returns how many there were.
    pub(crate) fn kill(&self) -> usize {
        let processes = self.processes();
        for process in &processes {
            // It may have ended by itself.
            let _ = kill_process(*process, Signal::KILL);
        }
        processes.len()
    }

    /// Removes the group, which must be empty, from every tree.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        for tree in &self.trees {
            for group in below(&tree.join(&self.name)).iter().rev() {
                match fs::remove_dir(group) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed.map_err(file("remove", group))?,
                }
            }
        }
        Ok(())
    }

    fn hand_down_controllers(&self) -> Result<(), LabError> {
        let root = Path::new(MOUNTED_AT);
        let mark = root.join(VERSION_2_MARK);
        let controllers = fs::read_to_string(&mark).map_err(file("read", &mark))?;
        let all: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
        for group in [root.to_owned(), self.path()] {
            let control = group.join("cgroup.subtree_control");
            fs::write(&control, all.join(" ")).map_err(file("write", &control))?;
        }
        Ok(())
    }
}

/// A group and the groups in it, parents first.
fn below(group: &Path) -> Vec<PathBuf> {
    if !group.is_dir() {
        return Vec::new();
    }
    let mut all = vec![group.to_owned()];
    let mut next = 0;
    while let Some(group) = all.get(next) {
        let children = directories(group);
        all.extend(children);
        next += 1;
    }
    all
}

/// The directories in a directory. Links are no trees of their own: `cpu` may be one to `cpu,cpuacct`.
fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(is_directory).map(|entry| entry.path()).collect()
}
