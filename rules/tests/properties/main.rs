//! What holds for any lanes and any request, not only for those that somebody thought of.

mod decisions;
mod generators;
mod robustness;
mod shares;
mod sidecars;
