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

use crate::name::LaneCode;

#[cfg(test)]
mod tests;

/// Length of a UUID as text.
pub const UUID_BYTES: usize = 36;
/// What stays of the id that was there: `xxxxxxxx-xxxx-Mxxx-Nxxx-`.
const HEAD_BYTES: usize = 24;
/// Where a UUID has dashes, a bit for each of its bytes.
const DASHES: u64 = 1 << 8 | 1 << 13 | 1 << 18 | 1 << 23;
/// Where Envoy notes its tracing decision.
const TRACE_DECISION_AT: usize = 14;

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
        let canonical = canonical_uuid(id)?;
        let head = canonical.first_chunk::<HEAD_BYTES>()?;
        with_tail(id, tail(self.hashers.first()?, head, code))
    }

    /// As [`RequestIds::mint`], but also `None` if the id says the lane already.
    #[must_use]
    pub fn remint(&self, id: &[u8], code: LaneCode) -> Option<[u8; UUID_BYTES]> {
        let canonical = canonical_uuid(id)?;
        let (head, claimed) = canonical.split_first_chunk::<HEAD_BYTES>()?;
        let claimed = number(claimed);
        let mut tails = self.hashers.iter().map(|hasher| tail(hasher, head, code));
        let wanted = tails.next()?;
        // Only an id that names this lane may have been minted for it with another key.
        let says_it =
            claimed == wanted || (claimed >> 32 == wanted >> 32 && tails.any(|tail| tail == claimed));
        if says_it { None } else { with_tail(id, wanted) }
    }

    /// What the id says.
    #[must_use]
    pub fn read(&self, id: &[u8]) -> Reading {
        let Some(canonical) = canonical_uuid(id) else { return Reading::NotUuid };
        let Some((head, claimed)) = canonical.split_first_chunk::<HEAD_BYTES>() else {
            return Reading::NotUuid;
        };
        let claimed = number(claimed);
        let code = LaneCode(u16::try_from(claimed >> 32).unwrap_or_default());
        if self.hashers.iter().any(|hasher| tail(hasher, head, code) == claimed) {
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
    let digits =
        (0..32_u32).rev().map(|place| u64::try_from(bits >> place.saturating_mul(4) & 0xF).unwrap_or(0));
    for (byte, digit) in uuid.iter_mut().filter(|byte| **byte != b'-').zip(digits) {
        *byte = hex_digit(digit);
    }
    uuid
}

/// A UUID-shaped id in its one spelling: lower case, the digit that Envoy rewrites masked. `None` for other ids.
pub(crate) fn canonical_uuid(id: &[u8]) -> Option<[u8; UUID_BYTES]> {
    let mut uuid: [u8; UUID_BYTES] = id.try_into().ok()?;
    let mut dashes_left = DASHES;
    for byte in &mut uuid {
        match (*byte, dashes_left & 1) {
            (b'0'..=b'9' | b'a'..=b'f', 0) | (b'-', 1) => {}
            (b'A'..=b'F', 0) => *byte |= 0x20,
            _ => return None,
        }
        dashes_left >>= 1;
    }
    if let Some(digit) = uuid.get_mut(TRACE_DECISION_AT) {
        *digit = b'0';
    }
    Some(uuid)
}

/// What a minted id ends with: the lane's code, and a MAC of it and of all before.
fn tail(hasher: &SipHasher24, head: &[u8; HEAD_BYTES], code: LaneCode) -> u64 {
    let mut hasher = *hasher;
    hasher.write(head);
    hasher.write(&code.0.to_be_bytes());
    u64::from(code.0) << 32 | hasher.finish() >> 32
}

fn with_tail(id: &[u8], tail: u64) -> Option<[u8; UUID_BYTES]> {
    let mut minted: [u8; UUID_BYTES] = id.try_into().ok()?;
    write_hex(minted.get_mut(HEAD_BYTES..)?, tail);
    Some(minted)
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number << 4 | u64::from(hex_value(*digit)))
}

pub(crate) fn write_hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = hex_digit(value & 0xF);
        value >>= 4;
    }
}

pub(crate) fn hex_digit(value: u64) -> u8 {
    usize::try_from(value).ok().and_then(|value| b"0123456789abcdef".get(value)).copied().unwrap_or(b'0')
}

fn hex_value(digit: u8) -> u32 {
    char::from(digit).to_digit(16).unwrap_or_default()
}
