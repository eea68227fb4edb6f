//! What every benchmark's report takes: order statistics, the machine it ran on, a document of several sections.
//!
//! Knows nothing of what is measured.

pub mod document;
pub mod stats;
pub mod usage;
