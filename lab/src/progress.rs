//! What a lab does, as it does it. How that is shown is the caller's affair.

use std::time::Duration;

/// Hears what is going on.
pub trait Progress: Sync {
    /// Something that takes a while has begun, or is still going on and has come this far.
    fn doing(&self, what: &str, details: &str);
    /// It is done, after this time.
    fn done(&self, what: &str, details: &str, took: Duration);
}
