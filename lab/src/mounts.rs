//! Mounts that the kubelet and containerd leave below a lab's directory.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use crate::error::{LabError, file};

const MOUNTS: &str = "/proc/self/mountinfo";
/// Where the mount point stands in a line of it, counted from 0 (proc_pid_mountinfo(5)).
const MOUNT_POINT_FIELD: usize = 4;

/// Unmounts everything below a directory, last mounted first.
pub(crate) fn unmount_below(directory: &Path) -> Result<(), LabError> {
    let table = std::fs::read_to_string(MOUNTS).map_err(file("read", MOUNTS))?;
    for mount in points_below(&table, directory).iter().rev() {
        // Its users are dead; a lazy unmount needs no second try where the kernel still counts one.
        unmount(mount, UnmountFlags::DETACH).map_err(|errno| file("unmount", mount)(errno.into()))?;
    }
    Ok(())
}

fn points_below(table: &str, directory: &Path) -> Vec<PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(MOUNT_POINT_FIELD)).map(unescape);
    points.filter(|point| point.starts_with(directory)).collect()
}

/// The kernel writes blanks, tabs, line ends and backslashes as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let octal = (*byte == b'\\').then(|| field.get(at + 1..at + 4)).flatten();
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                at += 4;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_directory_counts_and_blanks_are_read() {
        let table = "29 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                     30 29 0:26 / /lab/dev/pods/a\\040b rw - tmpfs tmpfs rw\n\
                     31 29 0:27 / /lab/dev2/pods rw - tmpfs tmpfs rw\n";
        assert_eq!(points_below(table, Path::new("/lab/dev")), [PathBuf::from("/lab/dev/pods/a b")]);
    }
}
