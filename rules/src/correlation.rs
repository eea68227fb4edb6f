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

use crate::name::{HeaderName, NameError};
use crate::request_id::canonical_uuid;

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

/// What an id is unique within. Spellings of one trace share a space; other ids never meet.
#[derive(Clone, Copy)]
enum Space<'a> {
    Trace,
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
                let uuid = canonical_uuid(value);
                return self.text(Space::Header(name), uuid.as_ref().map_or(value, |uuid| uuid));
            }
        };
        let trace = hex(digits).filter(|trace| *trace != 0)?;
        Some(self.key(Space::Trace, &trace.to_be_bytes()))
    }

    fn text(&self, space: Space<'_>, text: &[u8]) -> Option<FlowId> {
        let says_something = text.iter().any(|byte| !matches!(byte, b'0' | b'-'));
        (says_something && text.len() <= ID_BYTES_MAX).then(|| self.key(space, text))
    }

    fn key(&self, space: Space<'_>, id: &[u8]) -> FlowId {
        // No header name holds a zero byte: name and id cannot be taken for another name and id.
        let parts: [&[u8]; 4] = match space {
            Space::Trace => [&[0], b"", b"", id],
            Space::SkyWalking => [&[1], b"", b"", id],
            Space::Header(name) => [&[2], name.as_bytes(), &[0], id],
        };
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
    let mut fields = Fields::new(value, &[b"-"]);
    let version = fields.next().filter(|version| is_hex(version, 2..=2))?;
    let trace = fields.next().filter(|trace| trace.len() == 32)?;
    fields.next().filter(|parent| is_hex(parent, 16..=16))?;
    fields.next().filter(|flags| is_hex(flags, 2..=2))?;
    let complete = match version {
        b"00" => fields.next().is_none(),
        _ => !version.eq_ignore_ascii_case(b"ff"),
    };
    complete.then_some(trace)
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
    digits.contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit)
}

/// One to 32 hex digits as a number.
pub(crate) fn hex(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u128::from(digit))
    })
}
