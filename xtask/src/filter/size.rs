//! The filter's size and its budget. Every proxy of a mesh fetches and compiles it.

use std::fmt;
use std::io::Write;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::step::kilobytes;

/// How large a build of the filter is, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// As Envoy loads it.
    pub(crate) whole: usize,
    /// As registries and `canaryctl` carry it, by gzip's best level.
    gzipped: usize,
}

impl Size {
    pub(crate) fn of(wasm: &[u8]) -> Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(wasm).context("compressing a module")?;
        let gzipped = encoder.finish().context("compressing a module")?.len();
        Ok(Self { whole: wasm.len(), gzipped })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (gzip {})", kilobytes(self.whole), kilobytes(self.gzipped))
    }
}

/// The most that a build of the filter may take.
#[derive(Clone, Copy)]
pub(super) struct Budget(Size);

impl Budget {
    /// Of what every sidecar fetches and compiles.
    pub(super) const OF_A_SIDECAR: Self = Self(Size { whole: 113_000, gzipped: 52_000 });
    /// Of what gateways fetch and compile, rules and all; there are few of them.
    pub(super) const OF_A_GATEWAY: Self = Self(Size { whole: 256_000, gzipped: 116_000 });

    /// Refuses what is over it.
    pub(super) fn holds(self, name: &str, size: Size) -> Result<()> {
        let Self(limit) = self;
        if size.whole > limit.whole || size.gzipped > limit.gzipped {
            bail!(
                "{name} is too large: {size}, but at most {limit}\n\
                 help:  cargo bloat or twiggy on the compiled module show what grew"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(whole: usize, gzipped: usize, holds: bool) {
        assert_eq!(Budget::OF_A_SIDECAR.holds("filter", Size { whole, gzipped }).is_ok(), holds);
    }

    #[test]
    fn either_limit_can_be_exceeded() {
        check(113_000, 52_000, true);
        check(113_001, 1, false);
        check(1, 52_001, false);
    }
}
