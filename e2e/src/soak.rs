//! The randomized chain test: flows of several lanes that overlap in one pod, judged hop by hop.
//!
//! One pod's app is played in-process between the two listeners of its real sidecar, and so are the services
//! that it calls, each behind its own. So every flow's true lane is known at every hop, and ids are shared
//! between flows exactly when they shall be. A *hop* is a request's arrival at an app.
//!
//! The filter sees what real applications send and nothing else that would help it: [`TRUTH`] is no carrier.

pub mod apps;
pub mod draw;
pub mod drive;
pub mod flow;
pub mod judge;
pub mod options;
pub mod report;
pub mod scene;

pub use drive::run;
pub use options::Options;
pub use report::Report;

/// The header by which judges know a flow; the filter does not.
pub const TRUTH: &str = "x-truth";
