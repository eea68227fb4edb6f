//! What the filter costs: on a real Envoy beside other ways to do the same, and in exact counts.
//!
//! Envoy's side is one process with one worker and a listener per [`Variant`](variants::Variant), each with 20
//! copies of what is measured in one chain, and a listener pair per [`Hop`](hops::Hop) with a single copy. All
//! of them are loaded in turns, in shuffled order, round after round, so that whatever the machine does besides
//! hits all alike; what is reported are medians over rounds of differences and ratios within a round.
//!
//! Times are never asserted, only reported. What a run asserts is that every variant did what it is there for,
//! and that the exact counts keep their budgets.

pub use canary_report::{document, stats, usage};

pub mod configs;
pub mod envoy;
pub mod exact;
pub mod hops;
pub mod load;
pub mod lua;
pub mod map;
pub mod options;
pub mod plans;
pub mod report;
pub mod requests;
pub mod rounds;
pub mod starts;
pub mod variants;
