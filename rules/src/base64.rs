//! Base64 in both alphabets, for the few bytes that we write in it: keys, MACs, buckets, and the claims of tokens.
//!
//! The library that others read it with is for any alphabet, any padding and any length, and weighs three times
//! this in a Wasm module. This one is held against it in tests.

use alloc::string::String;
use alloc::vec::Vec;

/// The two digits that alphabets differ in: the 62nd and the 63rd.
pub(crate) type Alphabet = [u8; 2];

/// Of RFC 4648, section 4.
pub(crate) const STANDARD: Alphabet = *b"+/";
/// Of RFC 4648, section 5: it may stand in a URL, a cookie and a header.
pub(crate) const URL: Alphabet = *b"-_";

const BITS: u32 = 6;

/// Without padding.
pub(crate) fn encode(bytes: &[u8], alphabet: Alphabet) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let held = three.iter().fold(0_u32, |held, byte| held << 8 | u32::from(*byte));
        let (held, digits) = match three.len() {
            3 => (held, 4),
            2 => (held << 8, 3),
            _ => (held << 16, 2),
        };
        let all = [18, 12, 6, 0].map(|above| digit(held >> above & 0x3F, alphabet));
        text.extend(all.iter().take(digits).copied().map(char::from));
    }
    text
}

/// In the standard alphabet, with padding.
pub(crate) fn encode_padded(bytes: &[u8]) -> String {
    let mut text = encode(bytes, STANDARD);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Text without padding; none where it is not just what [`encode`] writes.
pub(crate) fn decode(text: &[u8], alphabet: Alphabet) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut held, mut bits) = (0_u32, 0_u32);
    for digit in text {
        held = held << BITS | value(*digit, alphabet)?;
        bits = bits.wrapping_add(BITS);
        if bits >= 8 {
            bits = bits.wrapping_sub(8);
            bytes.push(u8::try_from(held >> bits & 0xFF).ok()?);
            held &= !(u32::MAX << bits);
        }
    }
    // What is left over is less than a digit, and 0.
    (bits < BITS && held == 0).then_some(bytes)
}

/// The standard alphabet with all, some or none of its padding.
pub(crate) fn decode_padded(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let text = text.get(..text.len().saturating_sub(padding))?;
    let missing = text.len().next_multiple_of(4).saturating_sub(text.len());
    decode(text, STANDARD).filter(|_| padding <= missing)
}

fn digit(value: u32, alphabet: Alphabet) -> u8 {
    let value = u8::try_from(value).unwrap_or_default();
    match value {
        0..26 => value.wrapping_add(b'A'),
        26..52 => value.wrapping_sub(26).wrapping_add(b'a'),
        52..62 => value.wrapping_sub(52).wrapping_add(b'0'),
        62 => alphabet[0],
        _ => alphabet[1],
    }
}

fn value(digit: u8, alphabet: Alphabet) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit.wrapping_sub(b'A'),
        b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => digit.wrapping_sub(b'0').wrapping_add(52),
        _ if digit == alphabet[0] => 62,
        _ if digit == alphabet[1] => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::GeneralPurpose;
    use base64::engine::general_purpose as library;
    use proptest::prelude::*;

    use super::*;

    const BOTH: [(Alphabet, GeneralPurpose); 2] =
        [(STANDARD, library::STANDARD_NO_PAD), (URL, library::URL_SAFE_NO_PAD)];

    proptest! {
        #[test]
        fn it_writes_what_the_library_writes_and_reads_it_again(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
            for (alphabet, library) in BOTH {
                let text = encode(&bytes, alphabet);
                prop_assert_eq!(&text, &library.encode(&bytes));
                prop_assert_eq!(decode(text.as_bytes(), alphabet), Some(bytes.clone()));
            }
        }

        #[test]
        fn padding_is_written_and_may_be_left_out(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
            let text = encode_padded(&bytes);
            prop_assert_eq!(&text, &library::STANDARD.encode(&bytes));
            prop_assert_eq!(decode_padded(text.as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(decode_padded(text.trim_end_matches('=').as_bytes()), Some(bytes));
        }

        #[test]
        fn it_reads_what_the_library_reads(text in "[A-Da-d0+/_-]{0,9}={0,3}[A=]{0,1}") {
            for (alphabet, library) in BOTH {
                prop_assert_eq!(decode(text.as_bytes(), alphabet), library.decode(&text).ok());
            }
            prop_assert_eq!(
                decode_padded(text.as_bytes()),
                library::STANDARD_PAD_INDIFFERENT.decode(&text).ok()
            );
        }
    }
}
