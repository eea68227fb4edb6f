//! Hexadecimal digits, eight at a time: every request has ids written in them, and a look at each digit alone
//! would be most of what a sidecar spends on one.

/// The highest bit of each byte.
const HIGH: u64 = each(0x80);

/// Eight digits.
#[derive(Clone, Copy)]
pub(crate) struct Eight {
    /// What they stand for.
    pub(crate) value: u32,
    /// Their spelling in lower case.
    pub(crate) lower: [u8; 8],
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

impl Eight {
    /// None where one of them is no digit.
    pub(crate) fn read(text: [u8; 8]) -> Option<Self> {
        // Little endian is the order in which Wasm loads bytes: the first digit is in the lowest one.
        let text = u64::from_le_bytes(text);
        if text & HIGH != 0 {
            return None;
        }
        // The highest bit of a byte is set where the byte is not less than the one in the name. All are below 0x80
        // and so is what is added: nothing is carried into a neighbour.
        let not_less_0 = text.wrapping_add(each(0x80 - b'0'));
        let above_9 = text.wrapping_add(each(0x7F - b'9'));
        let lower = text | each(0x20);
        let not_less_a = lower.wrapping_add(each(0x80 - b'a'));
        let above_f = lower.wrapping_add(each(0x7F - b'f'));
        let letters = not_less_a & !above_f & HIGH;
        if not_less_0 & !above_9 & HIGH | letters != HIGH {
            return None;
        }
        // A letter's low half counts from 1, which is ten.
        let digits = (text & each(0x0F)).wrapping_add((letters >> 7).wrapping_mul(9));
        let pairs = (digits << 4 | digits >> 8) & 0x00FF_00FF_00FF_00FF;
        let fours = (pairs << 8 | pairs >> 16) & 0x0000_FFFF_0000_FFFF;
        let value = (fours << 16 | fours >> 32) & 0xFFFF_FFFF;
        let lower = (text | letters >> 2).to_le_bytes();
        Some(Self { value: u32::try_from(value).ok()?, lower })
    }
}

/// The eight digits of a number.
pub(crate) fn text(value: u32) -> [u8; 8] {
    let value = u64::from(value);
    let fours = value >> 16 | (value & 0xFFFF) << 32;
    let pairs = fours >> 8 & 0x0000_00FF_0000_00FF | (fours & 0x0000_00FF_0000_00FF) << 16;
    let digits = pairs >> 4 & 0x000F_000F_000F_000F | (pairs & 0x000F_000F_000F_000F) << 8;
    let letters = digits.wrapping_add(each(6)) >> 4 & each(1);
    let text = digits.wrapping_add(each(b'0')).wrapping_add(letters.wrapping_mul(u64::from(b'a' - b'9' - 1)));
    text.to_le_bytes()
}

/// Whether these are digits and nothing else.
pub(crate) fn is_hex(text: &[u8]) -> bool {
    let (eights, rest) = text.as_chunks();
    eights.iter().all(|eight| Eight::read(*eight).is_some()) && rest.iter().all(u8::is_ascii_hexdigit)
}

/// One to 32 digits as a number.
pub(crate) fn number(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let mut padded = [b'0'; 32];
    match digits.try_into() {
        Ok(all) => padded = all,
        Err(_) => padded.iter_mut().rev().zip(digits.iter().rev()).for_each(|(to, digit)| *to = *digit),
    }
    padded
        .as_chunks()
        .0
        .iter()
        .try_fold(0_u128, |number, eight| Some(number << 32 | u128::from(Eight::read(*eight)?.value)))
}

/// Writes a number's last digits, as many as there is room for.
pub(crate) fn write(digits: &mut [u8], value: u64) {
    let halves = [value >> 32, value & 0xFFFF_FFFF].map(|half| text(u32::try_from(half).unwrap_or_default()));
    digits.iter_mut().rev().zip(halves.as_flattened().iter().rev()).for_each(|(to, digit)| *to = *digit);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_in_every_place_is_a_digit_or_none() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut text = *b"00000000";
                text[place] = byte;
                let digit = char::from(byte).to_digit(16);
                let read = Eight::read(text);
                let expected = digit.map(|digit| digit << (4 * (7 - place)));
                assert_eq!(read.map(|read| read.value), expected, "{byte:#x} at {place}");
                text[place] = byte.to_ascii_lowercase();
                assert_eq!(read.map(|read| read.lower), digit.map(|_| text), "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn a_number_has_one_to_32_digits() {
        assert_eq!(number(b""), None);
        assert_eq!(number(b"aB"), Some(0xab));
        assert_eq!(number(&[b'f'; 32]), Some(u128::MAX));
        assert_eq!(number(&[b'0'; 33]), None);
        assert_eq!(number(b"4bf92f3577b34da6x"), None);
    }

    proptest! {
        #[test]
        fn digits_are_as_the_standard_library_has_them(value in any::<u32>()) {
            let expected = format!("{value:08x}");
            prop_assert_eq!(&text(value)[..], expected.as_bytes());
            let upper: [u8; 8] = expected.to_uppercase().as_bytes().try_into().expect("eight");
            prop_assert_eq!(Eight::read(upper).map(|eight| eight.value), Some(value));
        }

        #[test]
        fn numbers_are_as_the_standard_library_has_them(value in any::<u128>(), digits in 1_usize..=32) {
            let text = format!("{value:032x}")[32 - digits..].to_owned();
            prop_assert_eq!(number(text.as_bytes()), u128::from_str_radix(&text, 16).ok());
            prop_assert!(is_hex(text.as_bytes()));
        }

        #[test]
        fn a_number_s_end_is_written(value in any::<u64>(), room in 0_usize..=16) {
            let mut digits = vec![b'-'; room];
            write(&mut digits, value);
            prop_assert_eq!(digits, format!("{value:016x}").as_bytes()[16 - room..].to_vec());
        }

        #[test]
        fn text_with_another_byte_is_no_hex(text in "[0-9a-fA-F]{0,40}", other in any::<u8>(), at in 0_usize..40) {
            let mut text = text.into_bytes();
            let at = at.min(text.len());
            text.insert(at, other);
            prop_assert_eq!(is_hex(&text), other.is_ascii_hexdigit());
        }
    }
}
