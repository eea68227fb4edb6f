//! `connect --tun` where there is none.

use std::convert::Infallible;

use serde_json::Value;

use super::TunArgs;
use crate::cluster::{Cluster, ClusterArgs};
use crate::develop::network::Network;
use crate::develop::report::Format;
use crate::develop::session::Session;
use crate::failure::Failure;

/// There are none.
pub(super) struct Prepared(Infallible);

/// There are none.
pub(super) struct Tun(Infallible);

/// Always refuses.
pub(super) async fn prepare(
    _: &TunArgs,
    _: &Cluster,
    _: &ClusterArgs,
    _: Format,
) -> Result<Prepared, Failure> {
    Err(super::elsewhere())
}

impl Prepared {
    pub(super) async fn bring(self, _: &Cluster, _: &Session) -> Result<Tun, Failure> {
        match self.0 {}
    }
}

impl Tun {
    pub(super) fn network(&self) -> &Network {
        match self.0 {}
    }

    pub(super) async fn keep(&mut self) -> Failure {
        match self.0 {}
    }

    pub(super) async fn end(self) {
        match self.0 {}
    }

    pub(super) fn event(&self) -> Value {
        match self.0 {}
    }

    pub(super) fn print(&self, _: &str) {
        match self.0 {}
    }
}
