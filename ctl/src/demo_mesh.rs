//! Where a mesh of `canaryctl demo` runs, for other runs of this program on the same machine.
//!
//! A file per gateway port, readable by its user alone: whoever can read it may take traces.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use canary_rules::trace::TraceKey;
use canary_rules::wire::FilterConfig;
use serde::{Deserialize, Serialize};

use crate::failure::{Code, Failure};

/// A mesh that runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoMesh {
    /// Makes marks that its proxies believe.
    pub trace_key: TraceKey,
    /// What its gateway's filter is told.
    pub edge: FilterConfig,
    /// Its proxies.
    pub proxies: Vec<DemoProxy>,
}

/// A proxy of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoProxy {
    /// Its name.
    pub name: String,
    /// What it logs.
    pub log: PathBuf,
    /// The service behind it; empty for the gateway.
    pub service: String,
    /// The service's version.
    pub version: String,
    /// The lane that it serves.
    pub lane: Option<String>,
}

/// Says where a mesh runs, as long as it is there.
#[derive(Debug)]
pub struct Announced(PathBuf);

impl DemoMesh {
    /// Tells other runs of this program, until what is returned is dropped.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, port: u16) -> Result<Announced, Failure> {
        let path = file_of(port);
        let failed = |error: std::io::Error| {
            Failure::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
        };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let text = serde_json::to_vec(self).map_err(|error| Failure::from_error(Code::Failed, &error))?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let announced = Announced(path.clone());
        file.write_all(&text).map_err(failed)?;
        Ok(announced)
    }

    /// The mesh whose gateway has this port, if this user runs one here.
    #[must_use]
    pub fn at(port: u16) -> Option<Self> {
        let path = file_of(port);
        let is_ours = path.symlink_metadata().is_ok_and(|file| {
            file.is_file() && file.uid() == rustix::process::geteuid().as_raw() && file.mode() & 0o077 == 0
        });
        let text = std::fs::read(path).ok().filter(|_| is_ours)?;
        serde_json::from_slice(&text).ok()
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A file that is left behind is found to lead nowhere.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn file_of(port: u16) -> PathBuf {
    let dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_dir());
    dir.as_deref().unwrap_or(&std::env::temp_dir()).join(Path::new(&format!("canaryctl-demo-{port}.json")))
}
