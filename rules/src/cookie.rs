//! Reads request cookies as bytes, as tolerant as browsers and servers are. Knows nothing of what a cookie means.
//!
//! Source: RFC 6265bis (draft-ietf-httpbis-rfc6265bis) section 4.2; HTTP/2 crumbs are joined by the proxy,
//! repeated HTTP/1.1 `cookie` lines are not, so all functions take every line.

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
    lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|piece| {
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        let name = halves.next()?.trim_ascii();
        let value = halves.next()?.trim_ascii();
        (!name.is_empty()).then_some((name, value))
    })
}

/// The value of the first cookie with this name. Names are compared byte by byte.
///
/// A repeated cookie means its first value: browsers send the one with the most specific path first.
pub fn first<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &CookieName) -> Option<&'a [u8]> {
    pairs(lines).find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}
