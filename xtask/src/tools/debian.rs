//! Debian's packages, unpacked without being installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::wheel::Scratch;
use crate::{process, workspace};

/// The folder that has these packages unpacked in it, the first of which gives it its name. They are fetched if need be; apt
/// checks the signature of what it fetches.
pub(super) fn unpacked(packages: &[&str]) -> Result<PathBuf> {
    let name = packages.first().context("no package is named")?;
    let kept = workspace::tools_dir().join(format!("{name}-debian"));
    if kept.is_dir() {
        return Ok(kept);
    }
    if !process::exists("apt-get") {
        bail!("apt-get is not here, which it would come through");
    }
    let scratch = Scratch::new(name)?;
    let download = || {
        let mut apt = Command::new("apt-get");
        process::capture(apt.arg("download").args(packages).current_dir(scratch.path()))
    };
    if download().is_err() {
        // A fresh machine has no lists of packages, and only root may fetch them.
        process::capture(Command::new("apt-get").args(["-qq", "update"])).context(
            "apt-get does not know it; its lists may be old, and root may renew them: apt-get update",
        )?;
        download().context("apt-get cannot fetch it")?;
    }
    let unpacked = scratch.path().join("unpacked");
    for package in fetched(scratch.path())? {
        process::capture(Command::new("dpkg-deb").arg("--extract").args([&package, &unpacked]))?;
    }
    scratch.publish(&unpacked, &kept)?;
    Ok(kept)
}

fn fetched(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).context("listing what apt-get fetched")?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let packages: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_package).collect();
    if packages.is_empty() {
        bail!("apt-get fetched no package");
    }
    Ok(packages)
}
