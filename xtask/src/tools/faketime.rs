//! The library that stands for a program's clock in tests: Debian's libfaketime, unpacked without being installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::debian;
use crate::step::Step;
use crate::workspace;

const PACKAGE: &str = "libfaketime";
/// For programs of several threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A libfaketime that is unpacked.
pub(crate) struct Faketime {
    library: PathBuf,
}

impl Faketime {
    /// Debian's, fetched if need be.
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("faketime", "looking for libfaketime");
        let folder = debian::unpacked(&[PACKAGE]).context("no libfaketime for the clocks of tests")?;
        let libraries = folder.join("usr/lib");
        // Each architecture has a folder of its own.
        let folders = std::fs::read_dir(&libraries).context("listing what was unpacked")?;
        let found = folders.flatten().map(|folder| folder.path().join(LIBRARY)).find(|path| path.is_file());
        let library = found.with_context(|| format!("no {LIBRARY} below {}", libraries.display()))?;
        step.done("there", &workspace::show(&library));
        Ok(Self { library })
    }

    /// What a program is to be loaded with.
    pub(crate) fn library(&self) -> &Path {
        &self.library
    }
}
