//! A Chromium, for the tests of the dashboard: the machine's own, else Debian's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::step::Step;

/// What Chromium is called by those who package it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Debian's package.
const PACKAGE: &str = "chromium";
const APT_GET: &str = "/usr/bin/apt-get";

/// A Chromium, ready to run.
pub(crate) struct Chromium(PathBuf);

impl Chromium {
    /// Finds one, or installs it where that can be done.
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("chromium", "looking for a browser");
        if let Some(found) = on_path() {
            step.done("found", &found.display().to_string());
            return Ok(Self(found));
        }
        if !Path::new(APT_GET).exists() {
            bail!("no Chromium here\nhelp:  install one, e.g. your system's package `{PACKAGE}`");
        }
        let step = Step::start("chromium", &format!("apt-get install {PACKAGE}"));
        let apt = |args: &[&str]| {
            process::capture(
                Command::new(APT_GET).env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(args),
            )
        };
        apt(&["update"])?;
        apt(&["install", "--yes", "--no-install-recommends", PACKAGE])
            .context("Debian's Chromium cannot be installed; root may do so")?;
        let found = on_path().with_context(|| format!("the package {PACKAGE} brought no browser"))?;
        step.done("installed", &found.display().to_string());
        Ok(Self(found))
    }

    /// The program.
    pub(crate) fn program(&self) -> &Path {
        &self.0
    }
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}
