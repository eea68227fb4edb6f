//! The Prometheus that tests ask: the machine's own if it has one, else Debian's, unpacked without being installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::wheel::Scratch;
use crate::step::Step;
use crate::{process, workspace};

/// Names another folder that has the programs.
const OVERRIDE: &str = "CANARY_PROMETHEUS";
const PACKAGE: &str = "prometheus";
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// The programs of a Prometheus.
pub(crate) struct Prometheus {
    folder: PathBuf,
}

impl Prometheus {
    /// Those of the folder that `CANARY_PROMETHEUS` names, those on the path, or Debian's, fetched if need be.
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("prometheus", "looking for a Prometheus");
        let named = std::env::var_os(OVERRIDE).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let folder = match named.or_else(on_the_path) {
            Some(folder) => folder,
            None => fetch().with_context(|| {
                format!(
                    "no Prometheus here ({OVERRIDE}=FOLDER names one that has {})",
                    PROGRAMS.join(" and ")
                )
            })?,
        };
        for program in PROGRAMS {
            let program = folder.join(program);
            process::capture(Command::new(&program).arg("--version"))
                .with_context(|| format!("{} does not start here", program.display()))?;
        }
        step.done("there", &workspace::show(&folder));
        Ok(Self { folder })
    }

    /// Where the programs are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn on_the_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
}

/// apt checks the signature of what it fetches.
fn fetch() -> Result<PathBuf> {
    let kept = workspace::tools_dir().join(format!("{PACKAGE}-debian"));
    let programs = |folder: &Path| folder.join("usr/bin");
    if kept.is_dir() {
        return Ok(programs(&kept));
    }
    if !process::exists("apt-get") {
        bail!("apt-get is not here, which it would come through");
    }
    let scratch = Scratch::new(PACKAGE)?;
    let download =
        || process::capture(Command::new("apt-get").args(["download", PACKAGE]).current_dir(scratch.path()));
    if download().is_err() {
        // A fresh machine has no lists of packages, and only root may fetch them.
        process::capture(Command::new("apt-get").args(["-qq", "update"])).context(
            "apt-get does not know it; its lists may be old, and root may renew them: apt-get update",
        )?;
        download().context("apt-get cannot fetch it")?;
    }
    let entries = std::fs::read_dir(scratch.path()).context("listing what apt-get fetched")?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let package = entries.flatten().map(|entry| entry.path()).find(is_package);
    let unpacked = scratch.path().join("unpacked");
    let package = package.context("apt-get fetched no package")?;
    process::capture(Command::new("dpkg-deb").arg("--extract").args([&package, &unpacked]))?;
    scratch.publish(&unpacked, &kept)?;
    Ok(programs(&kept))
}
