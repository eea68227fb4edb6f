//! The proxy that goes into the images.

use std::path::{Path, PathBuf};

use crate::error::{LabError, file};

/// An Envoy binary and what tells it from another one.
pub(super) struct Envoy {
    pub(super) path: PathBuf,
    /// Its path, size and time: it is far too large to be read at every start.
    pub(super) fingerprint: String,
}

impl Envoy {
    pub(super) fn at(path: &Path) -> Result<Self, LabError> {
        let path = path.canonicalize().map_err(file("find Envoy at", path))?;
        let metadata = path.metadata().map_err(file("read", &path))?;
        let modified = metadata.modified().map_err(file("read", &path))?;
        let fingerprint = format!("{} {} {modified:?}", path.display(), metadata.len());
        Ok(Self { path, fingerprint })
    }
}
