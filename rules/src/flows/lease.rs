//! How long a flow counts as live, and when its stream has to say that it still is.

/// Shortest lease, in seconds: most streams end within it and never renew.
pub const LEASE_S_MIN: u32 = 5;

/// Longest lease, in seconds: what a long stream's id stays live for beyond its end and linger.
pub const LEASE_S_MAX: u32 = 600;

/// Least time between a renewal's due second and the lease's end, in seconds: what a worker's timer may
/// be late.
pub const RENEWAL_SLACK_S: u32 = 5;

/// How long a flow counts as live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Seconds after its end during which a flow still counts at least: calls made after the response.
    /// Below [`RENEWAL_SLACK_S`] it counts as that.
    pub linger_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { linger_s: 30 }
    }
}

/// A stretch of a flow's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// A stream that is open at this second takes a new lease.
    pub renew_s: u32,
    /// The flow is live before this second.
    pub until_s: u32,
}

impl Limits {
    /// The lease of a stream that is open now.
    ///
    /// It grows with the stream's age, so that a stream renews a number of times that is logarithmic
    /// in its age and then every [`LEASE_S_MAX`].
    #[must_use]
    pub fn lease(&self, began_s: u32, now_s: u32) -> Lease {
        let age_s = now_s.saturating_sub(began_s);
        let renew_s = now_s.saturating_add(age_s.clamp(LEASE_S_MIN, LEASE_S_MAX));
        Lease { renew_s, until_s: renew_s.saturating_add(self.linger_s.max(RENEWAL_SLACK_S)) }
    }
}
