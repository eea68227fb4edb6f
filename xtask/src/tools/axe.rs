//! axe-core, which tells what of a page keeps people from using it: one script from npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Node;
use super::wheel::Scratch;
use crate::step::Step;
use crate::{filter, process, workspace};

const VERSION: &str = "4.14.1";
/// Of the package's tarball.
const SHA256: &str = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745";

/// The script.
pub(crate) struct Axe {
    script: PathBuf,
}

impl Axe {
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("axe", &format!("looking for axe-core {VERSION}"));
        let dir = workspace::tools_dir().join(format!("axe-core-{VERSION}"));
        if !dir.is_dir() {
            fetch(&dir).with_context(|| format!("npm cannot fetch axe-core {VERSION}"))?;
        }
        let script = dir.join("axe.min.js");
        step.done(VERSION, &workspace::show(&script));
        Ok(Self { script })
    }

    pub(crate) fn script(&self) -> &Path {
        &self.script
    }
}

fn fetch(dir: &Path) -> Result<()> {
    let scratch = Scratch::new("axe-core")?;
    process::capture(
        Node::ensure()?
            .npm()
            .args(["pack", "--silent", &format!("axe-core@{VERSION}"), "--pack-destination"])
            .arg(scratch.path())
            .current_dir(scratch.path()),
    )?;
    let tarball = scratch.path().join(format!("axe-core-{VERSION}.tgz"));
    let bytes = std::fs::read(&tarball).with_context(|| format!("reading {}", tarball.display()))?;
    let sha256 = filter::sha256(&bytes);
    if sha256 != SHA256 {
        bail!("npm handed out another axe-core {VERSION} than the pinned one: sha256 {sha256}");
    }
    process::capture(
        Command::new("tar")
            .arg("-xzf")
            .arg(&tarball)
            .arg("-C")
            .arg(scratch.path())
            .args(["package/axe.min.js", "package/LICENSE"]),
    )?;
    scratch.publish(&scratch.path().join("package"), dir)
}
