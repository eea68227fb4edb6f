//! The file system below Istio's images: a small Debian with iptables.

use std::path::PathBuf;
use std::process::Command;

use super::cache::{Cache, Recipe};
use crate::error::LabError;
use crate::program;

const SUITE: &str = "bookworm";
/// What Istio's own images have, as far as a lab uses it: capture of traffic, trust, and a look inside.
const PACKAGES: &str = "iptables,ca-certificates,curl,busybox-static";

/// The layer, an uncompressed tar.
pub(super) fn ensure(cache: &Cache<'_>) -> Result<PathBuf, LabError> {
    let made_from = [SUITE.as_bytes(), PACKAGES.as_bytes()];
    let recipe = Recipe { name: "debian", doing: "bootstrapping the images' base", made_from: &made_from };
    let entry = cache.entry(&recipe, |entry| {
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap
            .args(["--quiet", "--variant=essential"])
            .arg(format!("--include={PACKAGES}"))
            .arg(SUITE)
            .arg(entry.join("base.tar"))
            .env("SOURCE_DATE_EPOCH", "0");
        program::watch(&mut mmdebstrap, cache.interrupt, |_| {}).map(drop)
    })?;
    Ok(entry.join("base.tar"))
}
