//! Draws flows at random, so that many share their ids with flows of other lanes at the same time.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use fastrand::Rng;

use crate::carrier::Carrier;
use crate::soak::flow::{Call, Flow, Handed, Key, Lane, Trouble};

/// The latest ids, which are drawn again: few enough that most are still in the pod.
const RECENT: usize = 32;
/// Ids that come again and again, so that they are shared all the time.
const HOT: u64 = 16;
/// Longest wait before a call, in milliseconds.
const CALL_DELAY_MS_MAX: u64 = 30;
/// Longest wait of a call after the response, in milliseconds.
const LATE_DELAY_MS_MAX: u64 = 900;

/// Spellings of one trace.
const TRACES: [Carrier; 4] = [Carrier::TraceParent, Carrier::B3, Carrier::XB3TraceId, Carrier::UberTraceId];

/// The dice.
pub struct Dice {
    rng: Rng,
    flows: u64,
    fresh: u64,
    recent: VecDeque<Key>,
}

impl Dice {
    /// The same flows from the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), flows: 0, fresh: HOT, recent: VecDeque::new() }
    }

    /// The next flow.
    pub fn flow(&mut self) -> Flow {
        self.flows += 1;
        let lane = match self.rng.u8(0..10) {
            0..=3 => Lane::Baseline,
            4..=5 => Lane::Gray,
            6..=7 => Lane::Blue,
            8 => Lane::Green,
            _ => Lane::Tip,
        };
        let (handed, keys) = self.handed();
        let (calls, late) = (self.rng.usize(0..=3), self.rng.usize(0..=2));
        Flow {
            number: self.flows,
            lane,
            handed,
            keys,
            calls: (0..calls).map(|_| self.call(CALL_DELAY_MS_MAX)).collect(),
            late: (0..late).map(|_| self.call(LATE_DELAY_MS_MAX)).collect(),
            refused: AtomicU32::new(0),
        }
    }

    /// What the app hands on, and the ids in it.
    fn handed(&mut self) -> (Handed, Vec<Key>) {
        let said = match self.rng.u8(0..100) {
            0..=2 => Handed::Said(Carrier::Tag),
            3..=5 => Handed::Said(Carrier::Baggage),
            6..=8 => Handed::Said(Carrier::RequestId),
            9 => Handed::Nothing,
            10..=15 => {
                let keys = vec![self.fresh(Key::Trace), self.fresh(Key::Sw8)];
                return (Handed::TwoIds(Carrier::TraceParent, Carrier::Sw8), keys);
            }
            _ => {
                let key = self.key();
                return (self.handed_with(key), vec![key]);
            }
        };
        (said, Vec::new())
    }

    fn handed_with(&mut self, key: Key) -> Handed {
        let carrier = match key {
            Key::Trace(_) => TRACES[self.rng.usize(0..TRACES.len())],
            Key::Sw8(_) => Carrier::Sw8,
            Key::Custom(_) => Carrier::Custom,
            Key::RequestId(_) => return Handed::PlainRequestId,
        };
        if self.rng.u8(0..10) == 0 { Handed::IdAndRequestId(carrier) } else { Handed::Id(carrier) }
    }

    /// An id that is new, or a recent flow's, or hot.
    fn key(&mut self) -> Key {
        match self.rng.u8(0..100) {
            0..=29 if !self.recent.is_empty() => self.recent[self.rng.usize(0..self.recent.len())],
            30..=31 => Key::Trace(self.rng.u64(0..HOT)),
            32..=39 => self.fresh(Key::Sw8),
            40..=47 => self.fresh(Key::Custom),
            48..=55 => self.fresh(Key::RequestId),
            _ => self.fresh(Key::Trace),
        }
    }

    fn fresh(&mut self, key: fn(u64) -> Key) -> Key {
        self.fresh += 1;
        let key = key(self.fresh);
        self.recent.push_back(key);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        key
    }

    fn call(&mut self, delay_ms_max: u64) -> Call {
        let trouble = match self.rng.u8(0..100) {
            0..=4 => Trouble::AppRetries,
            5..=6 => Trouble::ProxyRetries,
            _ => Trouble::None,
        };
        let late = self.rng.bool();
        let after = if late { Duration::from_millis(self.rng.u64(0..=delay_ms_max)) } else { Duration::ZERO };
        Call { after, trouble }
    }
}
