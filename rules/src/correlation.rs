//! Turns the ids by which applications correlate requests into one kind of key for the correlation map.
//! Knows nothing of the map, nor of lanes.
//!
//! Sources: W3C Trace Context level 2; openzipkin/b3-propagation; Jaeger client libraries' propagation format;
//! SkyWalking cross-process propagation headers v3.

use alloc::string::String;
use core::hash::Hasher;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::hex;
use crate::name::{HeaderName, NameError};
use crate::request_id::Uuid;

#[cfg(test)]
mod tests;

/// Longest id, in bytes; what is longer is not an id.
pub const ID_BYTES_MAX: usize = 256;

/// A header by which applications correlate the requests of one flow. Written as the header's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum IdSource {
    /// W3C trace context.
    TraceParent,
    /// Zipkin's single header.
    B3,
    /// Zipkin's header per field: the trace id.
    XB3TraceId,
    /// SkyWalking.
    Sw8,
    /// Jaeger.
    UberTraceId,
    /// Any other header, whose whole value is the id.
    Header(HeaderName),
}

impl IdSource {
    /// The source that this header is.
    ///
    /// # Errors
    /// When it is no header name.
    pub fn new(header: &str) -> Result<Self, NameError> {
        let name = HeaderName::new(header)?;
        Ok(match name.as_str() {
            "traceparent" => Self::TraceParent,
            "b3" => Self::B3,
            "x-b3-traceid" => Self::XB3TraceId,
            "sw8" => Self::Sw8,
            "uber-trace-id" => Self::UberTraceId,
            _ => Self::Header(name),
        })
    }

    /// The header's name, in lower case.
    #[must_use]
    pub fn header(&self) -> &str {
        match self {
            Self::TraceParent => "traceparent",
            Self::B3 => "b3",
            Self::XB3TraceId => "x-b3-traceid",
            Self::Sw8 => "sw8",
            Self::UberTraceId => "uber-trace-id",
            Self::Header(name) => name.as_str(),
        }
    }
}

impl TryFrom<String> for IdSource {
    type Error = NameError;

    fn try_from(header: String) -> Result<Self, NameError> {
        Self::new(&header)
    }
}

impl From<IdSource> for String {
    fn from(source: IdSource) -> Self {
        source.header().into()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for IdSource {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "IdSource".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// A flow's id as a key: a keyed hash of the normalised id, so that nobody outside can choose two that collide.
/// Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// Makes keys of ids.
#[derive(Clone)]
pub struct FlowIds {
    hasher: SipHasher24,
}

/// How the key of a trace's id begins. Spellings of one trace share a space; other ids never meet.
const TRACES: u8 = 0;

/// What an id that is no trace's is unique within.
#[derive(Clone, Copy)]
enum Space<'a> {
    SkyWalking,
    Header(&'a HeaderName),
}

impl FlowIds {
    /// The key must be the same in every proxy that shares a map, and unknown outside.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(&key) }
    }

    /// The key of the id that this header value holds; `None` where it holds none: malformed, longer than
    /// [`ID_BYTES_MAX`], empty, or zero.
    ///
    /// `traceparent`, `b3`, `x-b3-traceid` and `uber-trace-id` of one trace give the same key; 64-bit ids are
    /// 128-bit ids that start with zeros. A header of no known format is compared as it is, unless it is
    /// UUID-shaped: then neither case counts nor the digit that Envoy rewrites.
    #[must_use]
    pub fn id(&self, source: &IdSource, value: &[u8]) -> Option<FlowId> {
        let value = value.trim_ascii();
        let digits = match source {
            IdSource::TraceParent => trace_parent(value)?,
            IdSource::B3 => b3(value)?,
            IdSource::XB3TraceId => value,
            IdSource::UberTraceId => uber(value)?,
            IdSource::Sw8 => return self.text(Space::SkyWalking, sw8(value)?),
            IdSource::Header(name) => {
                let uuid = Uuid::read(value);
                return self.text(Space::Header(name), uuid.as_ref().map_or(value, Uuid::spelling));
            }
        };
        let trace = hex::number(digits).filter(|trace| *trace != 0)?;
        // In one piece: the hasher takes whole words fastest.
        let mut id = [TRACES; 17];
        *id.last_chunk_mut()? = trace.to_be_bytes();
        Some(self.key([&id]))
    }

    fn text(&self, space: Space<'_>, text: &[u8]) -> Option<FlowId> {
        let says_something = text.iter().any(|byte| !matches!(byte, b'0' | b'-'));
        // No header name holds a zero byte: name and id cannot be taken for another name and id.
        (says_something && text.len() <= ID_BYTES_MAX).then(|| match space {
            Space::SkyWalking => self.key([&[1], text]),
            Space::Header(name) => self.key([&[2], name.as_bytes(), &[0], text]),
        })
    }

    fn key<const N: usize>(&self, parts: [&[u8]; N]) -> FlowId {
        let mut hasher = self.hasher;
        for part in parts {
            hasher.write(part);
        }
        FlowId(hasher.finish().max(1))
    }
}

impl core::fmt::Debug for FlowIds {
    /// Shows no key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FlowIds")
    }
}

/// `version-traceid-parentid-flags`; versions after 00 may add fields. An all-zero parent id is let pass: an
/// application that merely copies the header keeps the trace id all the same.
fn trace_parent(value: &[u8]) -> Option<&[u8]> {
    let (version, rest) = value.split_first_chunk::<2>()?;
    let (trace, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<32>()?;
    let (parent, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<16>()?;
    let (flags, more) = rest.strip_prefix(b"-")?.split_first_chunk::<2>()?;
    let complete = match version {
        b"00" => more.is_empty(),
        _ => matches!(more, [] | [b'-', ..]) && !version.eq_ignore_ascii_case(b"ff"),
    };
    let are_hex = hex::is_hex(version) && hex::is_hex(parent) && hex::is_hex(flags);
    (complete && are_hex).then_some(trace)
}

/// `traceid-spanid[-sampled[-parentspanid]]`; a lone `0`, `1` or `d` is a sampling decision without an id.
fn b3(value: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::new(value, &[b"-"]);
    let trace = fields.next()?;
    fields.next().filter(|span| is_hex(span, 1..=16)).map(|_| trace)
}

/// `traceid:spanid:parentspanid:flags`, its colons possibly URL-encoded.
fn uber(value: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::new(value, &[b":", b"%3A", b"%3a"]);
    let trace = fields.next()?;
    fields.next().filter(|span| is_hex(span, 1..=16))?;
    fields.next()?;
    fields.next().filter(|flags| is_hex(flags, 1..=2))?;
    fields.next().is_none().then_some(trace)
}

/// `sample-traceid-segmentid-spanid-service-instance-endpoint-address`, texts in base64. The encoded trace id
/// is as unique as the decoded one.
fn sw8(value: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::new(value, &[b"-"]);
    fields.next().filter(|sample| matches!(*sample, b"0" | b"1"))?;
    let trace = fields.next()?;
    fields.nth(5)?;
    let trace = trace.strip_suffix(b"=").unwrap_or(trace);
    let trace = trace.strip_suffix(b"=").unwrap_or(trace);
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    trace.iter().all(base64).then_some(trace)
}

/// The fields of a value between separators, the last one included.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
    separators: &'static [&'static [u8]],
}

impl<'a> Fields<'a> {
    fn new(value: &'a [u8], separators: &'static [&'static [u8]]) -> Self {
        Self { rest: Some(value), separators }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    // One copy of it is enough in the filter.
    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        for at in 0..text.len() {
            let (field, tail) = text.split_at_checked(at)?;
            self.rest = self.separators.iter().find_map(|separator| tail.strip_prefix(*separator));
            if self.rest.is_some() {
                return Some(field);
            }
        }
        Some(text)
    }
}

fn is_hex(text: &[u8], digits: RangeInclusive<usize>) -> bool {
    digits.contains(&text.len()) && hex::is_hex(text)
}
