//! What a mesh tells of marked requests, and live flows of a lane by it: for `trace` and for the dashboard.
//!
//! Prints nothing.

pub(crate) mod in_cluster;
pub(crate) mod mesh;
mod watch;

pub(crate) use watch::{Flow, News, Watching, known};
