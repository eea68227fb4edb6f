//! Reads request cookies as bytes, as tolerant as browsers and servers are. Knows nothing of what a cookie means.
//!
//! Source: RFC 6265bis (draft-ietf-httpbis-rfc6265bis) section 4.2; HTTP/2 crumbs are joined by the proxy,
//! repeated HTTP/1.1 `cookie` lines are not, so all functions take every line.

use crate::bytes;
use crate::name::CookieName;

#[cfg(test)]
mod tests;

/// The name-value pairs of all `cookie` lines, in wire order.
///
/// White space around names and values is dropped; so are empty pieces and pairs without a name or `=`.
/// A value is any bytes, and quotes around it belong to it: `a="1"` has the three-byte value `"1"`.
pub fn pairs<'a, I>(lines: I) -> impl Iterator<Item = (&'a [u8], &'a [u8])>
where
    I: Iterator<Item = &'a [u8]>,
{
    lines.flat_map(|line| Pairs { rest: line })
}

/// The pairs of a line.
struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = bytes::find(self.rest, b';').unwrap_or(self.rest.len());
            let (piece, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.get(1..).unwrap_or_default();
            let equals = bytes::find(piece, b'=');
            let Some((name, value)) = equals.and_then(|at| piece.split_at_checked(at)) else { continue };
            let name = name.trim_ascii();
            if !name.is_empty() {
                return Some((name, value.get(1..).unwrap_or_default().trim_ascii()));
            }
        }
        None
    }
}

/// The value of the first cookie with this name. Names are compared byte by byte.
///
/// A repeated cookie means its first value: browsers send the one with the most specific path first.
pub fn first<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &CookieName) -> Option<&'a [u8]> {
    pairs(lines).find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}
