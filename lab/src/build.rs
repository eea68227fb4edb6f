//! What every lab is made of: pinned, built once per machine user, and kept.

mod base;
mod cache;
mod envoy;
mod go;
mod images;
mod packages;

use std::path::{Path, PathBuf};

pub(crate) use images::{HUB, PAUSE_IMAGE, TAG};

use crate::error::LabError;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use cache::Cache;

/// Everything built.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// Directories of programs.
    pub(crate) programs: Vec<PathBuf>,
    /// Archives of images.
    pub(crate) images: Vec<PathBuf>,
}

impl Inputs {
    /// Fetches and builds whatever is not there yet. `envoy` is the proxy to run in sidecars and gateways.
    pub(crate) fn ensure(
        envoy: &Path,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, LabError> {
        packages::ensure(progress, interrupt)?;
        let cache = Cache::of_user(progress, interrupt)?;
        let base = base::ensure(&cache)?;
        let pause = go::PAUSE.ensure(&cache)?;
        let coredns = go::COREDNS.ensure(&cache)?;
        let kubernetes = go::KUBERNETES.ensure(&cache)?;
        let istio = go::ISTIO.ensure(&cache)?;
        let helm = go::HELM.ensure(&cache)?;
        let envoy = envoy::Envoy::at(envoy)?;
        let images = vec![images::pause(&cache, &pause)?, images::istio(&cache, &base, &istio, &envoy)?];
        Ok(Self { programs: vec![kubernetes, istio, coredns, helm], images })
    }
}
