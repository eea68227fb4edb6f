//! Mints request ids that say their lane, and reads them back.
//!
//! A minted id is the UUID that was there with a new tail: of its last twelve hex digits four are the lane's
//! code and eight a keyed MAC (SipHash-2-4) over everything else. Knows neither the header nor what a code means.
//!
//! Envoy rewrites one digit of a UUID-shaped `x-request-id` to note its tracing decision (index 14, `4` to `9`,
//! `a` or `b`; `uuid_request_id_config`, Envoy 1.40). That digit and the case of letters never count.

use alloc::vec::Vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::hex::{self, Eight};
use crate::name::LaneCode;

#[cfg(test)]
mod tests;

/// Length of a UUID as text.
pub const UUID_BYTES: usize = 36;
/// What stays of the id that was there: `xxxxxxxx-xxxx-Mxxx-Nxxx-`.
const HEAD_BYTES: usize = 24;

/// What a request id says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It is not UUID-shaped: it can carry nothing.
    NotUuid,
    /// A UUID that none of the keys minted.
    Unminted,
    /// Minted for this lane, or for the baseline.
    Minted(LaneCode),
}

/// Mints and reads request ids with the mesh's keys.
#[derive(Clone)]
pub struct RequestIds {
    hashers: Vec<SipHasher24>,
}

impl RequestIds {
    /// The first key mints, all keys read. Without a key nothing is minted.
    pub fn new(keys: impl IntoIterator<Item = [u8; 16]>) -> Self {
        Self { hashers: keys.into_iter().map(|key| SipHasher24::new_with_key(&key)).collect() }
    }

    /// The id with a tail that says the lane; its first 24 bytes stay as they are. `None` if it is not UUID-shaped.
    #[must_use]
    pub fn mint(&self, id: &[u8], code: LaneCode) -> Option<[u8; UUID_BYTES]> {
        let id = Uuid::read(id)?;
        Some(id.with_tail(tail(self.hashers.first()?, &id, code)))
    }

    /// As [`RequestIds::mint`], but also `None` if the id says the lane already.
    #[must_use]
    pub fn remint(&self, id: &[u8], code: LaneCode) -> Option<[u8; UUID_BYTES]> {
        self.remint_uuid(&Uuid::read(id)?, code)
    }

    pub(crate) fn remint_uuid(&self, id: &Uuid<'_>, code: LaneCode) -> Option<[u8; UUID_BYTES]> {
        let mut tails = self.hashers.iter().map(|hasher| tail(hasher, id, code));
        let wanted = tails.next()?;
        // Only an id that names this lane may have been minted for it with another key.
        let says_it =
            id.tail == wanted || (id.tail >> 32 == wanted >> 32 && tails.any(|tail| tail == id.tail));
        (!says_it).then(|| id.with_tail(wanted))
    }

    /// What the id says.
    #[must_use]
    pub fn read(&self, id: &[u8]) -> Reading {
        Uuid::read(id).map_or(Reading::NotUuid, |id| self.read_uuid(&id))
    }

    pub(crate) fn read_uuid(&self, id: &Uuid<'_>) -> Reading {
        let code = LaneCode(u16::try_from(id.tail >> 32).unwrap_or_default());
        if self.hashers.iter().any(|hasher| tail(hasher, id, code) == id.tail) {
            Reading::Minted(code)
        } else {
            Reading::Unminted
        }
    }
}

impl core::fmt::Debug for RequestIds {
    /// Shows no key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RequestIds")
    }
}

/// A random UUID (version 4) as text.
#[must_use]
pub fn fresh(entropy: [u8; 16]) -> [u8; UUID_BYTES] {
    let mut uuid = *b"00000000-0000-4000-8000-000000000000";
    let random = u128::from_be_bytes(entropy);
    let version = 0x4 << 76;
    let variant = 0x8 << 60;
    let bits = random & !(0xF << 76) & !(0xC << 60) | version | variant;
    let mut digits = [0; 32];
    for (digits, bits) in digits.as_chunks_mut::<16>().0.iter_mut().zip(bits.to_be_bytes().as_chunks().0) {
        hex::write(digits, u64::from_be_bytes(*bits));
    }
    uuid.iter_mut().filter(|byte| **byte != b'-').zip(digits).for_each(|(byte, digit)| *byte = digit);
    uuid
}

/// A UUID-shaped id.
#[derive(Clone, Copy)]
pub(crate) struct Uuid<'a> {
    given: &'a [u8; UUID_BYTES],
    spelling: Spelling,
    /// Its last twelve digits.
    tail: u64,
}

/// The one spelling of a UUID: lower case, the digit that Envoy rewrites masked.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Spelling {
    time_low: [u8; 8],
    dash_1: u8,
    time_middle: [u8; 4],
    dash_2: u8,
    version: [u8; 4],
    dash_3: u8,
    variant: [u8; 4],
    dash_4: u8,
    code: [u8; 4],
    mac: [u8; 8],
}

impl<'a> Uuid<'a> {
    /// None of ids that have another shape.
    pub(crate) fn read(id: &'a [u8]) -> Option<Self> {
        let given: &[u8; UUID_BYTES] = id.try_into().ok()?;
        let mut spelling = Spelling::read_from_bytes(given).ok()?;
        let Spelling { dash_1, dash_2, dash_3, dash_4, .. } = spelling;
        if [dash_1, dash_2, dash_3, dash_4] != *b"----" {
            return None;
        }
        let low = Eight::read(spelling.time_low)?;
        let middle = Eight::read(joined(spelling.time_middle, spelling.version))?;
        let high = Eight::read(joined(spelling.variant, spelling.code))?;
        let mac = Eight::read(spelling.mac)?;
        (spelling.time_low, spelling.mac) = (low.lower, mac.lower);
        (spelling.time_middle, spelling.version) = halves(middle.lower);
        (spelling.variant, spelling.code) = halves(high.lower);
        let [_, a, b, c] = spelling.version;
        spelling.version = [b'0', a, b, c];
        let tail = u64::from(high.value & 0xFFFF) << 32 | u64::from(mac.value);
        Some(Self { given, spelling, tail })
    }

    /// Its one spelling.
    pub(crate) fn spelling(&self) -> &[u8] {
        self.spelling.as_bytes()
    }

    fn with_tail(&self, tail: u64) -> [u8; UUID_BYTES] {
        let mut minted = *self.given;
        if let Some(digits) = minted.get_mut(HEAD_BYTES..) {
            hex::write(digits, tail);
        }
        minted
    }
}

fn joined(first: [u8; 4], second: [u8; 4]) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (first, second);
    [a, b, c, d, e, f, g, h]
}

fn halves(text: [u8; 8]) -> ([u8; 4], [u8; 4]) {
    let [a, b, c, d, e, f, g, h] = text;
    ([a, b, c, d], [e, f, g, h])
}

/// What a minted id ends with: the lane's code, and a MAC of it and of all before.
fn tail(hasher: &SipHasher24, id: &Uuid<'_>, code: LaneCode) -> u64 {
    let mut hasher = *hasher;
    hasher.write(id.spelling().get(..HEAD_BYTES).unwrap_or_default());
    hasher.write(&code.0.to_be_bytes());
    u64::from(code.0) << 32 | hasher.finish() >> 32
}
