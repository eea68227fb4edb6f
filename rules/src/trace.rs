//! The mark by which one request asks to be told of at every hop, and what the proxies keep and tell of it.
//!
//! Only who has the key can make a mark. A mark rides in a header of its own between proxies: applications never see
//! it, so a marked request is served as any other would be. What joins the two sides of an application is
//! [`open`], what is told is a [`line`].

pub mod line;
pub mod open;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::correlation::{FlowId, FlowIds, IdSource};
use crate::hex;
use crate::name::LaneName;

/// The header that carries a mark.
pub const TRACE_HEADER: &str = "x-canary-trace";
/// Length of a mark as text.
pub const MARK_BYTES: usize = 3 * NUMBER_BYTES;

/// Length of a number of a mark as text.
const NUMBER_BYTES: usize = 16;
const KEY_BYTES: usize = 16;

/// What a mesh is told while traces may be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// Makes and proves marks.
    pub key: TraceKey,
    /// From this second on no mark is believed.
    pub expires_unix_s: u64,
    /// Whose requests an edge marks by itself: what a [`Sample`] writes, read by edges alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

/// Some of a lane's requests, marked by an edge. Written as lane, seconds and watcher, with a space between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The lane.
    pub lane: LaneName,
    /// At most one request in so many seconds, of each worker of each gateway.
    pub every_s: u32,
    /// Who watches: the upper half of the number of each trace; never 0.
    pub watcher: u32,
}

impl Sample {
    /// Reads it; none where it is something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let lane = LaneName::new(parts.next()?).ok()?;
        let every_s = parts.next()?.parse().ok()?;
        let watcher = parts.next()?.parse().ok().filter(|watcher| *watcher != 0)?;
        parts.next().is_none().then_some(Self { lane, every_s, watcher })
    }

    /// The number of a trace, by something that nobody else draws.
    #[must_use]
    pub fn trace(&self, drawn: u32) -> u64 {
        u64::from(self.watcher) << u32::BITS | u64::from(drawn)
    }

    /// Who watches a trace of this number.
    #[must_use]
    pub fn watcher_of(trace: u64) -> u64 {
        trace >> u32::BITS
    }
}

/// Which trace, and which call of it: the one that brought the request here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The trace; never 0.
    pub trace: u64,
    /// The call; 0 is the one that starts the trace.
    pub span: u64,
}

impl core::fmt::Display for Sample {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { lane, every_s, watcher } = self;
        write!(f, "{lane} {every_s} {watcher}")
    }
}

/// A key to make marks with. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceKey([u8; KEY_BYTES]);

/// Not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for traces has 32 hexadecimal digits")]
pub struct TraceKeyError;

impl TraceKey {
    /// A key of these bytes, which ought to be random.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`TraceKeyError`].
    pub fn parse(text: &str) -> Result<Self, TraceKeyError> {
        let digits = Some(text.as_bytes()).filter(|digits| digits.len() == 2 * KEY_BYTES);
        digits.and_then(hex::number).map(|key| Self(key.to_be_bytes())).ok_or(TraceKeyError)
    }

    /// The mark as the header carries it: trace, call, and a MAC of both.
    #[must_use]
    pub fn sign(&self, mark: Mark) -> [u8; MARK_BYTES] {
        let mut text = [0; MARK_BYTES];
        let (said, mac) = text.split_at_mut(2 * NUMBER_BYTES);
        let (trace, span) = said.split_at_mut(NUMBER_BYTES);
        hex::write(trace, mark.trace);
        hex::write(span, mark.span);
        hex::write(mac, self.mac(said).unwrap_or_default());
        text
    }

    /// The mark that a header's value holds, if this key made it.
    #[must_use]
    pub fn verify(&self, value: &[u8]) -> Option<Mark> {
        let (said, mac) = value.split_at_checked(2 * NUMBER_BYTES)?;
        let is_ours = mac.len() == NUMBER_BYTES && hex::number(mac)? == u128::from(self.mac(said)?);
        let number = hex::number(said).filter(|_| is_ours)?;
        let half = |number| u64::try_from(number).ok();
        Some(Mark { trace: half(number >> 64)?, span: half(number & u128::from(u64::MAX))? })
    }

    /// The keyed hash that ids of traces have: what is signed is as long as one. As no trace is 0, none has none.
    fn mac(&self, said: &[u8]) -> Option<u64> {
        FlowIds::new(self.0).id(&IdSource::XB3TraceId, said).map(|FlowId(hash)| hash)
    }
}

impl core::fmt::Debug for TraceKey {
    /// Shows no key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TraceKey")
    }
}

impl TryFrom<String> for TraceKey {
    type Error = TraceKeyError;

    fn try_from(text: String) -> Result<Self, TraceKeyError> {
        Self::parse(&text)
    }
}

impl From<TraceKey> for String {
    fn from(TraceKey(bytes): TraceKey) -> Self {
        alloc::format!("{:032x}", u128::from_be_bytes(bytes))
    }
}
