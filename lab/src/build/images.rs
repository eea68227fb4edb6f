//! The images that a lab itself needs: pause, istiod and the proxy.

use std::path::{Path, PathBuf};

use super::cache::{Cache, Recipe};
use super::envoy::Envoy;
use crate::error::LabError;
use crate::image::{self, ImageSpec};

/// Where Istio's images seem to come from; they are imported, never pulled.
pub(crate) const HUB: &str = "canary-lab.test/istio";
pub(crate) const TAG: &str = "lab";
pub(crate) const PAUSE_IMAGE: &str = "canary-lab.test/pause:lab";

/// Changes when what this file makes of the same inputs changes.
const LAYOUT: &[u8] = b"1";

/// Whom istiod's image runs as, like Istio's own.
const ISTIO_USER: &str = "1337:1337";

pub(super) fn pause(cache: &Cache<'_>, pause: &Path) -> Result<PathBuf, LabError> {
    let spec = ImageSpec::new(PAUSE_IMAGE, "/pause").file(pause.join("pause"), "/pause");
    let made_from = [LAYOUT, path_bytes(pause)];
    archive(cache, &Recipe { name: "pause-image", doing: "packing", made_from: &made_from }, &[spec])
}

/// istiod and the proxy, out of one base and one layer: they are unpacked once.
pub(super) fn istio(
    cache: &Cache<'_>,
    base: &Path,
    istio: &Path,
    envoy: &Envoy,
) -> Result<PathBuf, LabError> {
    let with_programs = |name: &str, program: &str| {
        ImageSpec::new(&format!("{HUB}/{name}:{TAG}"), &format!("/usr/local/bin/{program}"))
            .on(base)
            .file(istio.join("pilot-discovery"), "/usr/local/bin/pilot-discovery")
            .file(istio.join("pilot-agent"), "/usr/local/bin/pilot-agent")
            .file(&envoy.path, "/usr/local/bin/envoy")
            .data(istio.join("envoy_bootstrap.json"), "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json")
    };
    let pilot = with_programs("pilot", "pilot-discovery").user(ISTIO_USER);
    let proxy = with_programs("proxyv2", "pilot-agent");
    let made_from = [LAYOUT, path_bytes(base), path_bytes(istio), envoy.fingerprint.as_bytes()];
    archive(cache, &Recipe { name: "istio-images", doing: "packing", made_from: &made_from }, &[pilot, proxy])
}

fn archive(cache: &Cache<'_>, recipe: &Recipe<'_>, images: &[ImageSpec]) -> Result<PathBuf, LabError> {
    let entry = cache.entry(recipe, |entry| image::write_archive(images, &entry.join("images.tar")))?;
    Ok(entry.join("images.tar"))
}

/// Paths of cache entries name what they were made from.
fn path_bytes(entry: &Path) -> &[u8] {
    entry.as_os_str().as_encoded_bytes()
}
