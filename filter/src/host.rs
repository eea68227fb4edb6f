//! What the filter asks of the proxy it runs in.
//!
//! Every call has a declared outcome for "no": the proxy's status codes never become a panic. The real
//! proxy is [`envoy`], all unsafe code of the crate but the names of callbacks; tests have a fake with the same semantics.

#[cfg(target_family = "wasm")]
pub mod envoy;
#[cfg(test)]
pub(crate) mod fake;

use crate::pairs::HeaderPairs;

/// A stream's header maps, each only there in its own callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderMap {
    /// In the request headers callback. After a change of it the proxy chooses the route anew.
    Request,
    /// In the response headers callback.
    Response,
}

/// A value of the shared map, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The value; empty where a key was "removed", which leaves it in place.
    pub value: Vec<u8>,
    /// For [`Host::set_shared`]; changes with every write to the key.
    pub cas: u32,
}

/// Why a write to the shared map did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetError {
    /// The key has another version: someone wrote in between.
    CasMismatch,
    /// The proxy refused, for reasons of its own.
    Refused,
}

/// A defined counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterId(pub u32);

/// A version no key ever has: writing with it succeeds only where the key is not there yet.
///
/// Envoy writes unconditionally on version 0, refuses any other version that differs from an existing
/// key's, and creates a missing key whatever the version. (Source: proxy-wasm-cpp-host, shared_data.cc.)
pub const CAS_ABSENT: u32 = u32::MAX;

/// The proxy.
pub trait Host {
    /// Every line of a header map, in wire order; none when the proxy cannot show them.
    fn headers(&self, map: HeaderMap) -> Option<HeaderPairs>;

    /// Replaces every line of this name with one; false when the proxy refused.
    fn set_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> bool;

    /// Adds a line of this name; false when the proxy refused.
    fn add_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> bool;

    /// Removes every line of this name; false when the proxy refused.
    fn remove_header(&self, map: HeaderMap, name: &str) -> bool;

    /// A property of the stream or the proxy.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// A value of the map that all workers and plugins of this proxy share; none where there is no key.
    fn shared(&self, key: &[u8]) -> Option<Shared>;

    /// Writes a value if the key's version is still `cas`.
    ///
    /// # Errors
    /// [`SetError`].
    fn set_shared(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), SetError>;

    /// Answers the request in the upstream's place.
    fn respond(&self, status: u32, headers: &[(&str, &[u8])]);

    /// The plugin's configuration; only in the configure callback.
    fn configuration(&self) -> Vec<u8>;

    /// Asks for a tick every so many milliseconds.
    fn tick_every_ms(&self, period_ms: u32);

    /// Defines a counter; the same name is the same counter in every worker.
    fn define_counter(&self, name: &str) -> Option<CounterId>;

    /// Defines a number that goes up and down.
    fn define_gauge(&self, name: &str) -> Option<CounterId>;

    /// Adds to a counter.
    fn count(&self, counter: CounterId, by: i64);

    /// What a counter has come to, in all workers.
    fn value(&self, counter: CounterId) -> Option<u64>;

    /// Seconds since 1970.
    fn unix_s(&self) -> u64 {
        self.unix_us().checked_div(1_000_000).unwrap_or_default()
    }

    /// Microseconds since 1970.
    fn unix_us(&self) -> u64;

    /// Milliseconds of a clock that never steps and that all workers share.
    fn monotonic_ms(&self) -> u64;

    /// Bytes that nobody can predict.
    fn entropy(&self) -> [u8; 16];

    /// A line in the proxy's log. Of requests only for one that is traced.
    fn warn(&self, text: &str);
}
