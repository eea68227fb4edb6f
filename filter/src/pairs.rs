//! The ABI's form of a header map, read without a copy or an allocation per header.
//!
//! Layout (proxy-wasm ABI 0.2.1): count, then per header the lengths of name and value, all u32
//! little-endian; then per header name, NUL, value, NUL.

/// A header map as the proxy handed it over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderPairs(Vec<u8>);

/// A header's name in lower case, and its value, any bytes.
pub type Line<'a> = (&'a [u8], &'a [u8]);

impl HeaderPairs {
    /// Wraps the proxy's bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The lines in wire order. Stops at the first that the bytes do not hold in full.
    #[must_use]
    pub fn lines(&self) -> Vec<Line<'_>> {
        let Some((count, rest)) = self.0.split_first_chunk() else { return Vec::new() };
        let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(usize::MAX);
        let Some((lengths, mut text)) =
            count.checked_mul(LENGTHS_BYTES).and_then(|bytes| rest.split_at_checked(bytes))
        else {
            return Vec::new();
        };
        let mut lines = Vec::with_capacity(count);
        for [a, b, c, d, e, f, g, h] in lengths.as_chunks().0 {
            let name = take(&mut text, u32::from_le_bytes([*a, *b, *c, *d]));
            let value = take(&mut text, u32::from_le_bytes([*e, *f, *g, *h]));
            let (Some(name), Some(value)) = (name, value) else { break };
            lines.push((name, value));
        }
        lines
    }

    /// Writes lines in the ABI's form.
    #[must_use]
    pub fn encode(lines: &[Line<'_>]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let mut bytes = count.to_le_bytes().to_vec();
        for (name, value) in lines {
            bytes.extend(length(name).into_iter().chain(length(value)));
        }
        for part in lines.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
        bytes
    }
}

/// Length of one header's two lengths.
const LENGTHS_BYTES: usize = 8;

/// The next `length` bytes and the NUL behind them.
fn take<'a>(text: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (part, rest) = text.split_at_checked(usize::try_from(length).ok()?)?;
    *text = rest.split_first()?.1;
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(lines: &[Line<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
        lines.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn values_are_bytes_and_may_be_empty() {
        let lines: [Line<'_>; 3] = [(b":path", b"/"), (b"x", b"caf\xe9\x00\xff"), (b"empty", b"")];
        assert_eq!(HeaderPairs::new(HeaderPairs::encode(&lines)).lines(), lines);
    }

    #[test]
    fn no_bytes_are_no_lines() {
        assert_eq!(HeaderPairs::default().lines(), []);
    }

    #[test]
    fn a_count_beyond_the_bytes_is_no_line_and_no_allocation() {
        assert_eq!(HeaderPairs::new(vec![0xff; 64]).lines(), []);
    }

    #[test]
    fn cut_short_it_shows_the_lines_that_are_whole() {
        let lines: [Line<'_>; 2] = [(b"a", b"1"), (b"b", b"2")];
        let mut bytes = HeaderPairs::encode(&lines);
        bytes.pop();
        assert_eq!(HeaderPairs::new(bytes).lines(), lines[..1]);
    }

    proptest! {
        #[test]
        fn lines_survive_the_round_trip(
            lines in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..20),
        ) {
            let borrowed: Vec<Line<'_>> = lines.iter().map(|(n, v)| (&n[..], &v[..])).collect();
            let pairs = HeaderPairs::new(HeaderPairs::encode(&borrowed));
            prop_assert_eq!(owned(&pairs.lines()), lines);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in any::<Vec<u8>>()) {
            let _ = HeaderPairs::new(bytes).lines();
        }
    }
}
