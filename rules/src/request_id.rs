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
        let mac = mac(self.hashers.first()?, head, code);
        let tail = u64::from(code.0) << 32 | u64::from(mac);
        let mut minted: [u8; UUID_BYTES] = id.try_into().ok()?;
        write_hex(minted.get_mut(HEAD_BYTES..)?, tail);
        Some(minted)
    }

    /// What the id says.
    #[must_use]
    pub fn read(&self, id: &[u8]) -> Reading {
        let Some(canonical) = canonical_uuid(id) else { return Reading::NotUuid };
        let Some((head, tail)) = canonical.split_first_chunk::<HEAD_BYTES>() else { return Reading::NotUuid };
        let tail = tail.iter().fold(0_u64, |tail, digit| tail << 4 | u64::from(hex_value(*digit)));
        let code = LaneCode(u16::try_from(tail >> 32).unwrap_or_default());
        let claimed = tail & u64::from(u32::MAX);
        if self.hashers.iter().any(|hasher| u64::from(mac(hasher, head, code)) == claimed) {
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
    for (at, byte) in uuid.iter_mut().enumerate() {
        let fits = if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() };
        if !fits {
            return None;
        }
        *byte = if at == TRACE_DECISION_AT { b'0' } else { byte.to_ascii_lowercase() };
    }
    Some(uuid)
}

fn mac(hasher: &SipHasher24, head: &[u8; HEAD_BYTES], code: LaneCode) -> u32 {
    let mut hasher = *hasher;
    for part in [head.as_slice(), &code.0.to_be_bytes()] {
        hasher.write(part);
    }
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

fn write_hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = hex_digit(value & 0xF);
        value >>= 4;
    }
}

fn hex_digit(value: u64) -> u8 {
    usize::try_from(value).ok().and_then(|value| b"0123456789abcdef".get(value)).copied().unwrap_or(b'0')
}

fn hex_value(digit: u8) -> u32 {
    char::from(digit).to_digit(16).unwrap_or_default()
}
