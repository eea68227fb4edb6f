//! Turns the ids by which applications correlate requests into one kind of key for the correlation map.
//! Knows nothing of the map, nor of lanes.
//!
//! Sources: W3C Trace Context level 2; openzipkin/b3-propagation; Jaeger client libraries' propagation format;
//! SkyWalking cross-process propagation headers v3.

use alloc::string::String;
use core::hash::Hasher;

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
        match source {
            IdSource::TraceParent => self.trace(trace_parent(value)?),
            IdSource::B3 => self.trace(b3(value)?),
            IdSource::XB3TraceId => self.trace(value),
            IdSource::UberTraceId => self.trace(uber(value)?),
            IdSource::Sw8 => self.text(Space::SkyWalking, sw8(value)?),
            IdSource::Header(name) => match canonical_uuid(value) {
                Some(uuid) => self.text(Space::Header(name), &uuid),
                None => self.text(Space::Header(name), value),
            },
        }
    }

    fn trace(&self, digits: &[u8]) -> Option<FlowId> {
        let id = hex(digits).filter(|id| *id != 0)?;
        Some(self.key(Space::Trace, &id.to_be_bytes()))
    }

    fn text(&self, space: Space<'_>, text: &[u8]) -> Option<FlowId> {
        let says_something = text.iter().any(|byte| !matches!(byte, b'0' | b'-'));
        (says_something && text.len() <= ID_BYTES_MAX).then(|| self.key(space, text))
    }

    fn key(&self, space: Space<'_>, id: &[u8]) -> FlowId {
        let mut hasher = self.hasher;
        match space {
            Space::Trace => hasher.write(&[0]),
            Space::SkyWalking => hasher.write(&[1]),
            Space::Header(name) => {
                hasher.write(&[2]);
                hasher.write(name.as_bytes());
                // No header name holds a zero byte: name and id cannot be taken for another name and id.
                hasher.write(&[0]);
            }
        }
        hasher.write(id);
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
    let mut fields = value.split(|byte| *byte == b'-');
    let version = fields.next().filter(|version| is_hex(version, 2))?;
    let trace = fields.next().filter(|trace| trace.len() == 32)?;
    fields.next().filter(|parent| is_hex(parent, 16))?;
    fields.next().filter(|flags| is_hex(flags, 2))?;
    let complete = match version {
        b"00" => fields.next().is_none(),
        _ => !version.eq_ignore_ascii_case(b"ff"),
    };
    complete.then_some(trace)
}

/// `traceid-spanid[-sampled[-parentspanid]]`; a lone `0`, `1` or `d` is a sampling decision without an id.
fn b3(value: &[u8]) -> Option<&[u8]> {
    let mut fields = value.split(|byte| *byte == b'-');
    let trace = fields.next()?;
    hex(fields.next()?).map(|_| trace)
}

/// `traceid:spanid:parentspanid:flags`, its colons possibly URL-encoded.
fn uber(value: &[u8]) -> Option<&[u8]> {
    let mut fields = uber_fields(value);
    let trace = fields.next()?;
    hex(fields.next()?)?;
    fields.next()?;
    hex(fields.next()?)?;
    fields.next().is_none().then_some(trace)
}

fn uber_fields(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b':' | b'%')) else { return Some(text) };
        let (field, tail) = text.split_at_checked(end)?;
        let colons: [&[u8]; 3] = [b":", b"%3A", b"%3a"];
        rest = Some(colons.iter().find_map(|colon| tail.strip_prefix(*colon))?);
        Some(field)
    })
}

/// `sample-traceid-segmentid-spanid-service-instance-endpoint-address`, texts in base64. The encoded trace id
/// is as unique as the decoded one.
fn sw8(value: &[u8]) -> Option<&[u8]> {
    let mut fields = value.split(|byte| *byte == b'-');
    fields.next().filter(|sample| matches!(*sample, b"0" | b"1"))?;
    let trace = fields.next()?;
    fields.nth(5)?;
    let trace = trace.strip_suffix(b"=").unwrap_or(trace);
    let trace = trace.strip_suffix(b"=").unwrap_or(trace);
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    trace.iter().all(base64).then_some(trace)
}

fn is_hex(text: &[u8], digits: usize) -> bool {
    text.len() == digits && text.iter().all(u8::is_ascii_hexdigit)
}

/// One to 32 hex digits as a number.
fn hex(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u128::from(digit))
    })
}
