//! Packages of npm, each pinned by the digest of its tarball.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Node;
use super::wheel::Scratch;
use crate::{filter, process};

/// A package.
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Of its tarball.
    pub(super) sha256: &'static str,
}

impl Package {
    /// Puts these files of it into a directory that is not there yet.
    pub(super) fn fetch(&self, node: &Node, files: &[&str], dir: &Path) -> Result<()> {
        let Self { name, version, sha256 } = self;
        let scratch = Scratch::new(name)?;
        process::capture(
            node.npm()
                .args(["pack", "--silent", &format!("{name}@{version}"), "--pack-destination"])
                .arg(scratch.path())
                .current_dir(scratch.path()),
        )?;
        let tarball = scratch.path().join(format!("{name}-{version}.tgz"));
        let bytes = std::fs::read(&tarball).with_context(|| format!("reading {}", tarball.display()))?;
        let there = filter::sha256(&bytes);
        if there != *sha256 {
            bail!("npm handed out another {name} {version} than the pinned one: sha256 {there}");
        }
        let files = files.iter().map(|file| format!("package/{file}"));
        process::capture(
            Command::new("tar").arg("-xzf").arg(&tarball).arg("-C").arg(scratch.path()).args(files),
        )?;
        scratch.publish(&scratch.path().join("package"), dir)
    }
}
