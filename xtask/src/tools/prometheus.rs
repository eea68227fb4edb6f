//! The Prometheus that tests ask: the machine's own if it has one, else Debian's, unpacked without being installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian;
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
            None => fetched().with_context(|| {
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

fn fetched() -> Result<PathBuf> {
    Ok(debian::unpacked(&[PACKAGE])?.join("usr/bin"))
}

fn on_the_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
}
