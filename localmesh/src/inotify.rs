//! Whether the system lets as many Envoys watch files as a mesh has: one that may not aborts as it starts.

use std::fs;
use std::path::Path;

/// How many instances of inotify an Envoy takes (1.40).
pub const PER_ENVOY: usize = 4;
/// The limit, per user.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
/// What a file descriptor of an instance is a link to.
const INSTANCE: &str = "anon_inode:inotify";

/// Too little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// How many instances a user may have.
    pub limit: usize,
    /// How many are taken.
    pub taken: usize,
    /// How many more are needed.
    pub needed: usize,
}

/// Whether there is no room for so many Envoys more. Where the system does not tell, there is.
#[must_use]
pub fn shortage(envoys: usize) -> Option<Shortage> {
    let limit = fs::read_to_string(LIMIT).ok()?.trim().parse().ok()?;
    judge(limit, taken(Path::new("/proc")), envoys)
}

fn judge(limit: usize, taken: usize, envoys: usize) -> Option<Shortage> {
    let needed = envoys * PER_ENVOY;
    (taken + needed > limit).then_some(Shortage { limit, taken, needed })
}

/// Instances of processes that this user may look at, which are those of the user.
fn taken(processes: &Path) -> usize {
    let own = fs::metadata("/proc/self").map(|own| owner(&own)).ok();
    let processes = fs::read_dir(processes).into_iter().flatten().flatten();
    let of_user = processes.filter(|process| process.metadata().map(|its| owner(&its)).ok() == own);
    let descriptors = of_user.filter_map(|process| fs::read_dir(process.path().join("fd")).ok());
    let links = descriptors.flat_map(|all| all.flatten()).filter_map(|fd| fs::read_link(fd.path()).ok());
    links.filter(|link| link.as_os_str() == INSTANCE).count()
}

#[cfg(unix)]
fn owner(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(metadata)
}

#[cfg(not(unix))]
fn owner(_: &fs::Metadata) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_envoys_need_thirty_six() {
        assert_eq!(judge(128, 92, 9), None);
        assert_eq!(judge(128, 93, 9), Some(Shortage { limit: 128, taken: 93, needed: 36 }));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_instance_of_ones_own_is_counted() {
        let before = taken(Path::new("/proc"));
        let one = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).expect("an instance");
        // Others come and go beside this test; that one is there is what can be said.
        assert!(taken(Path::new("/proc")) >= 1, "{before} before");
        drop(one);
    }
}
