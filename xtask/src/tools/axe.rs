//! axe-core, which tells what of a page keeps people from using it: one script from npm.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Node;
use super::npm::Package;
use crate::step::Step;
use crate::workspace;

const VERSION: &str = "4.14.1";
const PACKAGE: Package = Package {
    name: "axe-core",
    version: VERSION,
    sha256: "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
};

/// The script.
pub(crate) struct Axe {
    script: PathBuf,
}

impl Axe {
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("axe", &format!("looking for axe-core {VERSION}"));
        let dir = workspace::tools_dir().join(format!("axe-core-{VERSION}"));
        if !dir.is_dir() {
            let fetched = PACKAGE.fetch(&Node::ensure()?, &["axe.min.js", "LICENSE"], &dir);
            fetched.with_context(|| format!("npm cannot fetch axe-core {VERSION}"))?;
        }
        let script = dir.join("axe.min.js");
        step.done(VERSION, &workspace::show(&script));
        Ok(Self { script })
    }

    pub(crate) fn script(&self) -> &Path {
        &self.script
    }
}
