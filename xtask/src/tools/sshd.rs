//! The OpenSSH server that a benchmark compares with: Debian's, unpacked without being installed, and its client, which has to
//! be here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian;
use crate::step::Step;
use crate::{process, workspace};

/// The server, and the library of it that few machines have.
const PACKAGES: [&str; 2] = ["openssh-server", "libwrap0"];

/// An OpenSSH server that is unpacked.
pub(crate) struct Sshd {
    folder: PathBuf,
}

impl Sshd {
    /// Debian's, fetched if need be.
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("sshd", "looking for OpenSSH");
        if process::capture(Command::new("ssh").arg("-V")).is_err() {
            bail!("there is no ssh here\nhelp:  apt-get install openssh-client");
        }
        let folder = debian::unpacked(&PACKAGES).context("no OpenSSH server to compare with")?;
        step.done("there", &workspace::show(&folder));
        Ok(Self { folder })
    }

    /// The root of what is unpacked.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}
