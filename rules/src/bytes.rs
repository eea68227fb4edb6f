//! Looks through bytes eight at a time: every request at an edge has its cookies and its target looked through.

const EIGHT: usize = 8;
/// The lowest and the highest bit of each byte.
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;

/// Where the first of this byte is.
pub(crate) fn find(text: &[u8], byte: u8) -> Option<usize> {
    let wanted = LOW.wrapping_mul(u64::from(byte));
    let mut start = 0_usize;
    for eight in text.as_chunks::<EIGHT>().0 {
        if let Some(at) = first_in(*eight, wanted) {
            return Some(start.saturating_add(at));
        }
        start = start.saturating_add(EIGHT);
    }
    match text.last_chunk::<EIGHT>() {
        // What it shares with the eight before it has been looked at.
        Some(_) if start == text.len() => None,
        Some(last) => first_in(*last, wanted).map(|at| text.len().saturating_sub(EIGHT).saturating_add(at)),
        None => text.iter().position(|other| *other == byte),
    }
}

fn first_in(eight: [u8; EIGHT], wanted: u64) -> Option<usize> {
    let differing = u64::from_le_bytes(eight) ^ wanted;
    // The high bit of each byte that is zero, and maybe of bytes behind the first one that is.
    let found = differing.wrapping_sub(LOW) & !differing & HIGH;
    (found != 0).then(|| usize::try_from(found.trailing_zeros() >> 3).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::find;

    proptest! {
        #[test]
        fn it_finds_what_a_look_at_each_byte_finds(
            text in prop::collection::vec(prop::sample::select(vec![0, 1, b';' - 1, b';', b';' + 1, 0x80, 0xBB, 0xFF]), 0..40),
            byte in prop::sample::select(vec![0, b';', 0xFF]),
        ) {
            prop_assert_eq!(find(&text, byte), text.iter().position(|other| *other == byte));
        }
    }
}
