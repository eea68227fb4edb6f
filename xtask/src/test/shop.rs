//! What several tiers need, made once and only if a chosen tier asks for it.

use std::cell::OnceCell;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::build::{self, FILTER_ENV, PLAYGROUND_ENV};
use crate::tools::{Envoy, Node, Prometheus};
use crate::{filter, playground, workspace};

/// Tells tests which Envoy to run.
const ENVOY_ENV: &str = "CANARY_ENVOY";
/// Tells tests in which folder Prometheus's programs are.
const PROMETHEUS_ENV: &str = "CANARY_PROMETHEUS";

/// Errors are kept as text: each tier that needs the thing fails with the same words.
#[derive(Default)]
pub(super) struct Shop {
    envoy: OnceCell<Result<PathBuf, String>>,
    filter: OnceCell<Result<PathBuf, String>>,
    prometheus: OnceCell<Result<PathBuf, String>>,
    playground: OnceCell<Result<PathBuf, String>>,
    kubeconfig: Option<PathBuf>,
    labs: usize,
}

impl Shop {
    pub(super) fn new(kubeconfig: Option<PathBuf>, labs: NonZeroUsize) -> Self {
        Self { kubeconfig, labs: labs.get(), ..Self::default() }
    }

    /// The cluster that was named, if one was.
    pub(super) fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig.as_deref()
    }

    /// On how many labs the cluster's tests are run.
    pub(super) fn labs(&self) -> usize {
        self.labs
    }

    /// canaryctl, with the filter in it.
    pub(super) fn canaryctl(&self) -> Result<PathBuf> {
        build::canaryctl_of_tests(&filter::build()?)
    }

    fn envoy(&self) -> Result<PathBuf> {
        let make = || match Envoy::ensure() {
            Ok(envoy) => Ok(envoy.program().to_owned()),
            Err(error) => Err(format!("{error:#}")),
        };
        self.envoy.get_or_init(make).clone().map_err(|error| anyhow!(error))
    }

    fn filter(&self) -> Result<PathBuf> {
        let make = || match filter::build() {
            Ok(filter) => Ok(filter.path),
            Err(error) => Err(format!("{error:#}")),
        };
        self.filter.get_or_init(make).clone().map_err(|error| anyhow!(error))
    }

    fn prometheus(&self) -> Result<PathBuf> {
        let make = || match Prometheus::ensure() {
            Ok(prometheus) => Ok(prometheus.folder().to_owned()),
            Err(error) => Err(format!("{error:#}")),
        };
        self.prometheus.get_or_init(make).clone().map_err(|error| anyhow!(error))
    }

    /// A command that is told where Prometheus's programs are.
    pub(super) fn with_prometheus(&self, mut command: Command) -> Result<Command> {
        command.env(PROMETHEUS_ENV, self.prometheus()?);
        Ok(command)
    }

    fn playground(&self) -> Result<PathBuf> {
        let make = || match playground::build() {
            Ok(playground) => Ok(playground.dir),
            Err(error) => Err(format!("{error:#}")),
        };
        self.playground.get_or_init(make).clone().map_err(|error| anyhow!(error))
    }

    /// A Node, or why there is none.
    pub(super) fn node(&self) -> Result<Node> {
        Node::ensure()
    }

    /// `cargo test` of all packages, with the environment that tells tests where the built filter, the playground and
    /// Envoy are.
    pub(super) fn cargo_test(&self) -> Result<Command> {
        self.with_proxy(workspace::cargo_of_all("test"))
    }

    /// A command with that environment.
    pub(super) fn with_proxy(&self, mut cargo: Command) -> Result<Command> {
        cargo.env(FILTER_ENV, self.filter()?).env(PLAYGROUND_ENV, self.playground()?);
        cargo.env(ENVOY_ENV, self.envoy()?);
        Ok(cargo)
    }
}
