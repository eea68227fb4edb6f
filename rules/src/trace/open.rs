//! What a proxy keeps of the traced requests that its application has open: by what the calls that they cause
//! are known.
//!
//! Owns the bytes, as [`crate::flows`] does those of a bucket, and refuses to know where they are kept. A request
//! stays for a while after its response, for calls that are made only then.

use alloc::vec::Vec;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use super::Mark;
use crate::correlation::FlowId;
use crate::hop::IDS_MAX;
use crate::name::LaneCode;

/// Most traced requests that a proxy keeps at a time; of more, the one that would go first goes.
pub const SPANS_MAX: usize = 16;
/// Most calls without any known id that are told of one request.
pub const GUESSES_MAX: u8 = 16;
/// How long a request stays that does not end, in seconds.
pub const OPEN_S_MAX: u32 = 600;

/// How the bytes begin; those of another version read as empty.
const LAYOUT: [u8; 4] = [1, 0, 0, 0];

/// The traced requests of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub struct OpenSpans {
    layout: [u8; 4],
    spans: [Span; SPANS_MAX],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Span {
    trace: U64,
    span: U64,
    until_s: U32,
    code: U16,
    is_open: u8,
    guesses_left: u8,
    /// 0 where there is none.
    ids: [U64; IDS_MAX + 1],
}

/// What a call may be caused by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Causes {
    /// The trace.
    pub trace: u64,
    /// Its requests here; of several, those that are open.
    pub spans: Vec<u64>,
    /// How many traced requests are open here, of this trace and of others.
    pub open: u64,
}

impl Default for OpenSpans {
    fn default() -> Self {
        Self { layout: LAYOUT, spans: [Span::default(); SPANS_MAX] }
    }
}

impl OpenSpans {
    /// Reads what was kept; anything that is not the [`OpenSpans::bytes`] of this version is empty.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let spans = Self::read_from_bytes(bytes).ok();
        spans.filter(|spans| spans.layout == LAYOUT).unwrap_or_default()
    }

    /// What is to be kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(&self, now_s: u32) -> bool {
        self.spans.iter().any(|span| span.is_live(now_s))
    }

    /// A request of this lane comes in, and has these ids.
    pub fn begin(&mut self, mark: Mark, code: LaneCode, ids: &[FlowId], now_s: u32) {
        let Some(place) = self.spans.iter_mut().min_by_key(|span| span.until_s.get()) else { return };
        *place = Span {
            trace: mark.trace.into(),
            span: mark.span.into(),
            until_s: now_s.saturating_add(OPEN_S_MAX).into(),
            code: code.0.into(),
            is_open: 1,
            guesses_left: GUESSES_MAX,
            ids: [U64::ZERO; IDS_MAX + 1],
        };
        for (place, id) in place.ids.iter_mut().zip(ids) {
            *place = id.0.into();
        }
    }

    /// A request is over; calls that it causes are known until then.
    pub fn end(&mut self, mark: Mark, until_s: u32) {
        let is_it =
            |span: &&mut Span| span.trace == mark.trace && span.span == mark.span && span.is_open == 1;
        if let Some(span) = self.spans.iter_mut().find(is_it) {
            span.is_open = 0;
            span.until_s = until_s.into();
        }
    }

    /// What a call with these ids is caused by.
    #[must_use]
    pub fn causes(&self, ids: &[FlowId], now_s: u32) -> Option<Causes> {
        let shares_one = |span: &Span| ids.iter().any(|id| span.ids.iter().any(|known| *known == id.0));
        self.of_last(now_s, &shares_one)
    }

    /// What a call of this lane, or of none, may be caused by that has no id that anybody knows.
    #[must_use]
    pub fn guess(&mut self, code: LaneCode, now_s: u32) -> Option<Causes> {
        let may = |span: &Span| span.guesses_left > 0 && (code.is_baseline() || span.code == code.0);
        let causes = self.of_last(now_s, &may)?;
        for span in self.spans.iter_mut().filter(|span| span.trace == causes.trace) {
            span.guesses_left = span.guesses_left.saturating_sub(1);
        }
        Some(causes)
    }

    /// The wanted requests of one trace: of several traces, the last one with a request that is open, or was.
    fn of_last(&self, now_s: u32, is_wanted: &dyn Fn(&Span) -> bool) -> Option<Causes> {
        let live = || self.spans.iter().filter(|span| span.is_live(now_s));
        let wanted = || live().filter(|span| is_wanted(span));
        let last = wanted().max_by_key(|span| (span.is_open, span.until_s.get()))?;
        let alike = wanted().filter(|span| span.trace == last.trace && span.is_open == last.is_open);
        let open = live().map(|span| u64::from(span.is_open)).sum();
        Some(Causes { trace: last.trace.get(), spans: alike.map(|span| span.span.get()).collect(), open })
    }
}

impl Span {
    fn is_live(&self, now_s: u32) -> bool {
        now_s < self.until_s.get()
    }
}
