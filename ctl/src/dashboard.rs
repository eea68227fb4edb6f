//! A page that shows lanes, releases and flows as they are: served on loopback, from this binary alone.
//!
//! Knows no cluster and no mesh: a [`Source`] says what there is and does what is asked of it. What is shown
//! is a [`Picture`]; the page gets each part of it again when that part changes.

pub mod cluster;
mod events;
mod guard;
mod lane_view;
mod page;
pub mod picture;
mod refusal;
mod release_view;
mod server;
pub mod service_graph;
#[cfg(test)]
mod tests;
pub mod traffic;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::releases::Turn;

pub use picture::Picture;
pub use server::Dashboard;

/// The port where the page is unless another is asked for.
pub const PORT_DEFAULT: &str = "8900";

/// What is shown, and who does what is asked for on the page.
pub trait Source: Send + Sync + 'static {
    /// What there is, now and later.
    fn pictures(&self) -> watch::Receiver<Arc<Picture>>;

    /// Does what was asked for; says in a sentence what came of it.
    ///
    /// # Errors
    /// When it cannot be done here, or is refused.
    fn act(&self, action: Action) -> BoxFuture<'_, Result<String, Failure>>;
}

/// Something that can be asked for on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Turn a lane on or off.
    Lane {
        /// Which.
        name: String,
        /// Whether it is to be on.
        on: bool,
    },
    /// Show some of a lane's flows as they come, or show no more.
    Watch {
        /// Whose.
        lane: String,
        /// Whether they are to be shown.
        on: bool,
    },
    /// Have a release go on, stay, or go back.
    Release {
        /// Which.
        name: String,
        /// What of it.
        turn: Turn,
        /// The step that the page showed it at, from 0; none if whoever asks does not care.
        step: Option<usize>,
    },
    /// Send a request through the mesh, and show where it went.
    Flow(FlowRequest),
}

/// A request to send through the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowRequest {
    /// Path and query, from `/` on.
    pub path: String,
    /// Headers: name and value.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}
