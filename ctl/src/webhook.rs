//! The admission webhook: what of ours an object lacks is put back in the write that left it out, and pods of a
//! lane's members carry its labels from their first moment.
//!
//! It only ever spares the controller a repair: it refuses nothing, and where it does not know enough it changes
//! nothing. What an object gets is decided by [`Standing`], of which every replica keeps one.
//!
//! [`Standing`]: canary_istio::Standing

mod answer;
pub mod certificates;
mod edit;
mod json_patch;
mod known;
mod renewal;
mod review;
mod serve;
#[cfg(test)]
mod tests;

pub use answer::{Counts, Hook, router};
pub use edit::EditError;
pub(crate) use edit::{KUBE_SYSTEM, account};
pub use known::{Known, keep, keep_lanes};
pub use renewal::{follow, renew};
pub use serve::{Shown, serve};

/// The path at which the API server asks.
pub const PATH: &str = "/mutate";
