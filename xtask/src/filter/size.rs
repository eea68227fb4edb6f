//! The filter's size budget. Every proxy of a mesh fetches and compiles it.

use std::io::Write;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::step::kilobytes;

/// Of the module as Envoy loads it.
const SIZE_BYTES_MAX: usize = 180_000;
/// Of the module as registries and `canaryctl` carry it.
const GZIP_BYTES_MAX: usize = 70_000;

/// How many bytes gzip's best level leaves.
pub(super) fn gzipped(wasm: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(wasm).context("compressing the filter")?;
    Ok(encoder.finish().context("compressing the filter")?.len())
}

pub(super) fn within_budget(size: usize, gzipped: usize) -> Result<()> {
    if size > SIZE_BYTES_MAX || gzipped > GZIP_BYTES_MAX {
        bail!(
            "the filter is too large: {} (limit {}), gzip {} (limit {})\n\
             help:  cargo bloat or twiggy on the compiled module show what grew",
            kilobytes(size),
            kilobytes(SIZE_BYTES_MAX),
            kilobytes(gzipped),
            kilobytes(GZIP_BYTES_MAX)
        );
    }
    Ok(())
}
