//! Reads and edits one member of W3C baggage; all other members stay byte-identical and in order.
//! Knows nothing of what a member means.
//!
//! Source: <https://www.w3.org/TR/baggage/>. A member is `key=value;property…`; members are separated by commas
//! within a line and by the line's end. White space around a member is not part of it.

use alloc::vec::Vec;

use crate::bytes;
use crate::name::BaggageKey;

#[cfg(test)]
mod tests;

/// Most members that every receiver has to pass on, over all lines.
pub const MEMBERS_MAX: usize = 64;
/// Most bytes that every receiver has to pass on, over all lines.
pub const BAGGAGE_BYTES_MAX: usize = 8192;

/// Why a member is not written: receivers might drop any part of a baggage beyond the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaggageLimit {
    /// More members than [`MEMBERS_MAX`].
    #[error("the baggage would have more than 64 members")]
    Members,
    /// More bytes than [`BAGGAGE_BYTES_MAX`].
    #[error("the baggage would be longer than 8192 bytes")]
    Bytes,
}

/// The values of all members with this key, without properties and white space, as they are on the wire:
/// percent-encoding is not undone.
pub fn values<'a>(lines: impl Iterator<Item = &'a [u8]>, key: &BaggageKey) -> impl Iterator<Item = &'a [u8]> {
    members(lines).filter_map(move |member| value_of(member, key))
}

/// The value of the first member with this key, as [`values`] gives it.
pub fn member<'a>(lines: impl Iterator<Item = &'a [u8]>, key: &BaggageKey) -> Option<&'a [u8]> {
    values(lines, key).next()
}

/// One line by which the baggage says `value` under this key, once, and nothing else under it; `None` where
/// nothing is to be done.
///
/// At the limits it says nothing under this key rather than something else: the line is then that of
/// [`without_member`], and as there an empty one means that the header is to be removed.
pub fn saying<'a>(
    lines: impl Iterator<Item = &'a [u8]> + Clone,
    key: &BaggageKey,
    value: &str,
) -> Option<Vec<u8>> {
    if lines.clone().next().is_none() {
        let mut list =
            List::with_capacity(key.as_bytes().len().saturating_add(value.len()).saturating_add(1));
        return list.push_pair(key, value).ok().map(|()| list.line);
    }
    if values(lines.clone(), key).eq([value.as_bytes()]) {
        return None;
    }
    with_member(lines.clone(), key, value).ok().or_else(|| without_member(lines, key))
}

/// One line that holds every other member of `lines`, and `key=value` in the place of the first member with
/// that key, else at the end. Further members with the key are dropped.
///
/// Bytes of `value` that a baggage value cannot hold are percent-encoded.
///
/// # Errors
/// When the line would break a limit. [`saying`] then takes out a member that says something else.
pub fn with_member<'a>(
    lines: impl Iterator<Item = &'a [u8]> + Clone,
    key: &BaggageKey,
    value: &str,
) -> Result<Vec<u8>, BaggageLimit> {
    let own_bytes = key.as_bytes().len().saturating_add(value.len()).saturating_add(2);
    let mut list =
        List::with_capacity(bytes_of(lines.clone()).saturating_add(own_bytes).min(BAGGAGE_BYTES_MAX));
    let mut written = false;
    for member in members(lines) {
        if value_of(member, key).is_none() {
            list.push(member)?;
        } else if !written {
            list.push_pair(key, value)?;
            written = true;
        }
    }
    if !written {
        list.push_pair(key, value)?;
    }
    Ok(list.line)
}

/// One line that holds every member of `lines` but those with this key; `None` when there is none with it.
///
/// An empty line means that nothing is left and the header is to be removed. Limits do not apply: it never grows.
pub fn without_member<'a>(
    lines: impl Iterator<Item = &'a [u8]> + Clone,
    key: &BaggageKey,
) -> Option<Vec<u8>> {
    member(lines.clone(), key)?;
    let mut rest = Vec::with_capacity(bytes_of(lines.clone()));
    for member in members(lines).filter(|member| value_of(member, key).is_none()) {
        if !rest.is_empty() {
            rest.push(b',');
        }
        rest.extend_from_slice(member);
    }
    Some(rest)
}

/// Every member, malformed ones included, without the white space around it.
///
/// Written out: adapters of iterators would be compiled anew for each use, to eight times this in the filter.
struct Members<'a, I> {
    lines: I,
    /// What is left of the line that is being read.
    rest: Option<&'a [u8]>,
}

fn members<'a, I: Iterator<Item = &'a [u8]>>(lines: I) -> Members<'a, I> {
    Members { lines, rest: None }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Iterator for Members<'a, I> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = self.rest.take().or_else(|| self.lines.next())?;
            let end = bytes::find(line, b',');
            self.rest = end.and_then(|end| line.get(end.saturating_add(1)..));
            let member = end.map_or(line, |end| line.get(..end).unwrap_or_default()).trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
    }
}

/// The member's value if its key is this one. Keys are compared byte by byte.
fn value_of<'a>(member: &'a [u8], key: &BaggageKey) -> Option<&'a [u8]> {
    let value = member.strip_prefix(key.as_bytes())?.trim_ascii_start().strip_prefix(b"=")?;
    value.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii)
}

fn bytes_of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> usize {
    lines.fold(0, |sum: usize, line| sum.saturating_add(line.len()).saturating_add(1))
}

/// A line in the making that keeps to the limits.
struct List {
    line: Vec<u8>,
    members: usize,
}

impl List {
    fn with_capacity(bytes: usize) -> Self {
        Self { line: Vec::with_capacity(bytes), members: 0 }
    }

    fn push(&mut self, member: &[u8]) -> Result<(), BaggageLimit> {
        self.start_member()?;
        if member.len() > BAGGAGE_BYTES_MAX.saturating_sub(self.line.len()) {
            return Err(BaggageLimit::Bytes);
        }
        self.line.extend_from_slice(member);
        Ok(())
    }

    fn push_pair(&mut self, key: &BaggageKey, value: &str) -> Result<(), BaggageLimit> {
        self.start_member()?;
        self.line.extend_from_slice(key.as_bytes());
        self.line.push(b'=');
        if value.bytes().all(is_plain) {
            // As lanes' names are.
            self.line.extend_from_slice(value.as_bytes());
        } else {
            value.bytes().for_each(|byte| self.push_encoded(byte));
        }
        if self.line.len() > BAGGAGE_BYTES_MAX { Err(BaggageLimit::Bytes) } else { Ok(()) }
    }

    fn push_encoded(&mut self, byte: u8) {
        if is_plain(byte) {
            self.line.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF".get(usize::from(nibble)).copied().unwrap_or(b'0');
            self.line.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0x0F)]);
        }
    }

    fn start_member(&mut self) -> Result<(), BaggageLimit> {
        if self.members >= MEMBERS_MAX {
            return Err(BaggageLimit::Members);
        }
        if self.members > 0 {
            self.line.push(b',');
        }
        self.members = self.members.saturating_add(1);
        Ok(())
    }
}

/// Whether a byte may stand in a value as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\' | b'%')
}
