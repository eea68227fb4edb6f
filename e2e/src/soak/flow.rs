//! A flow as it really is: its lane, what its app hands on, and the calls it will make.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::carrier::Carrier;

/// The lanes of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// None.
    Baseline,
    /// Has instances of its own.
    Gray,
    /// Has instances of its own.
    Blue,
    /// Has none: the baseline serves, and the tag goes on.
    Green,
    /// Has none and is a child of gray: gray's serve, and the tag goes on.
    Tip,
}

impl Lane {
    /// All of them, the baseline included.
    pub const ALL: [Self; 5] = [Self::Baseline, Self::Gray, Self::Blue, Self::Green, Self::Tip];

    /// The tag.
    #[must_use]
    pub fn tag(self) -> Option<&'static str> {
        match self {
            Self::Baseline => None,
            Self::Gray => Some("gray"),
            Self::Blue => Some("blue"),
            Self::Green => Some("green"),
            Self::Tip => Some("tip"),
        }
    }

    /// Whose instances serve it.
    #[must_use]
    pub fn served_by(self) -> Self {
        match self {
            Self::Green => Self::Baseline,
            Self::Tip => Self::Gray,
            lane => lane,
        }
    }
}

/// What the app hands on from the request to its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// One correlation id.
    Id(Carrier),
    /// Ids of two tracing systems.
    TwoIds(Carrier, Carrier),
    /// A request id that is no UUID, so cannot say its lane itself.
    PlainRequestId,
    /// A correlation id beside the minted request id, which tells apart what the id does not.
    IdAndRequestId(Carrier),
    /// One of the carriers that say the lane themselves.
    Said(Carrier),
    /// Nothing at all.
    Nothing,
}

/// What is unique about a correlation id: flows with the same one cannot be told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Of `traceparent`, `b3`, `x-b3-traceid` and `uber-trace-id`, which are spellings of one.
    Trace(u64),
    /// Of SkyWalking.
    Sw8(u64),
    /// Of the tests' own header.
    Custom(u64),
    /// Of a request id that is no UUID.
    RequestId(u64),
}

impl Key {
    /// The number in it.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Trace(number) | Self::Sw8(number) | Self::Custom(number) | Self::RequestId(number) => {
                number
            }
        }
    }
}

/// How a call goes wrong at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It does not.
    None,
    /// The called app answers 500, and the app calls again.
    AppRetries,
    /// The called app cannot be reached, and the proxy tries the next in the fallback order.
    ProxyRetries,
}

/// A call that the app makes.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// How long after the request, or after the response.
    pub after: Duration,
    /// How it goes wrong at first.
    pub trouble: Trouble,
}

/// A flow.
#[derive(Debug)]
pub struct Flow {
    /// Its number, by which judges know it.
    pub number: u64,
    /// Its lane.
    pub lane: Lane,
    /// What its app hands on.
    pub handed: Handed,
    /// The ids that its app hands on, in the order of [`Flow::handed`]: all that the map could tell it by.
    pub keys: Vec<Key>,
    /// Calls made before the response, at once.
    pub calls: Vec<Call>,
    /// Calls made after it, at once.
    pub late: Vec<Call>,
    /// Bit per call: whether its called app was unreachable already.
    pub refused: AtomicU32,
}

impl Flow {
    /// Whether its tag can be told only by the correlation map.
    #[must_use]
    pub fn needs_map(&self) -> bool {
        matches!(self.handed, Handed::Id(_) | Handed::TwoIds(..) | Handed::PlainRequestId)
    }

    /// True the first time that it is asked of a call.
    pub fn refuse_once(&self, call: u32) -> bool {
        let bit = 1 << call.min(31);
        self.refused.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// The names of the headers that its app hands on.
    pub fn handed_on(&self) -> impl Iterator<Item = &'static str> {
        let request_id = Carrier::RequestId.header();
        let names = match self.handed {
            Handed::Id(carrier) | Handed::Said(carrier) => [Some(carrier.header()), None],
            Handed::TwoIds(one, other) => [Some(one.header()), Some(other.header())],
            Handed::IdAndRequestId(carrier) => [Some(carrier.header()), Some(request_id)],
            Handed::PlainRequestId => [Some(request_id), None],
            Handed::Nothing => [None, None],
        };
        names.into_iter().flatten()
    }
}
