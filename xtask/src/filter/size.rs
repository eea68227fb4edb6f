//! The filter's size budget. Every proxy of a mesh fetches and compiles it.

use std::io::Write;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::step::kilobytes;

/// The most that a build of the filter may take.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    /// Of the module as Envoy loads it.
    pub(super) size_bytes: usize,
    /// Of the module as registries and `canaryctl` carry it.
    pub(super) gzip_bytes: usize,
}

/// How many bytes gzip's best level leaves.
pub(super) fn gzipped(wasm: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(wasm).context("compressing the filter")?;
    Ok(encoder.finish().context("compressing the filter")?.len())
}

impl Budget {
    pub(super) fn holds(self, size: usize, gzipped: usize) -> Result<()> {
        if size > self.size_bytes || gzipped > self.gzip_bytes {
            bail!(
                "the filter is too large: {} (limit {}), gzip {} (limit {})\n\
                 help:  cargo bloat or twiggy on the compiled module show what grew",
                kilobytes(size),
                kilobytes(self.size_bytes),
                kilobytes(gzipped),
                kilobytes(self.gzip_bytes)
            );
        }
        Ok(())
    }
}
