//! What a proxy tells of one pass of a traced request: a line of text, fit for every log.
//!
//! `canaryctl.trace/1 key=value key=value ;` in plain ASCII. Values are bytes, those that would disturb a log in
//! `%XX`; numbers are hexadecimal. A key may be there more than once.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::hex;

/// How a line begins.
pub const PREFIX: &str = "canaryctl.trace/1";
/// Most bytes of one value; what is behind them is left out.
pub const VALUE_BYTES_MAX: usize = 200;

/// How a line ends.
const END: &str = " ;";

/// Where: `edge`, `inbound` or `outbound`.
pub const PLACE: &str = "place";
/// The trace.
pub const TRACE: &str = "trace";
/// The call that brought the request here, or that is made of it.
pub const SPAN: &str = "span";
/// Of a call: what it may be caused by.
pub const CAUSE: &str = "cause";
/// Of a call that no id ties to a cause: how many other requests the application had open then.
pub const OTHERS: &str = "others";
/// When it came, in microseconds since 1970.
pub const AT: &str = "at";
/// Microseconds until the response's headers.
pub const TOOK: &str = "took";
/// The tag header as it came.
pub const TAG_IN: &str = "in";
/// The tag header as it went on.
pub const TAG_OUT: &str = "out";
/// What the pass was counted under: an origin's name, or a counter's.
pub const COUNTED: &str = "counted";
/// A carrier between proxy and application, before its name.
pub const CARRIER: &str = "carrier.";
/// The response's status.
pub const STATUS: &str = "status";
/// The address that served it.
pub const UPSTREAM: &str = "upstream";
/// The cluster that it was sent to.
pub const CLUSTER: &str = "cluster";
/// The route that it took.
pub const ROUTE: &str = "route";

/// A line in the making.
#[derive(Debug, Clone)]
pub struct Line(String);

impl Default for Line {
    fn default() -> Self {
        Self(PREFIX.into())
    }
}

impl Line {
    /// Says something more.
    pub fn field(&mut self, key: &str, value: &[u8]) {
        self.carrier("", key, value);
    }

    /// The same of a key in two parts.
    pub fn carrier(&mut self, kind: &str, key: &str, value: &[u8]) {
        let Self(line) = self;
        line.push(' ');
        line.push_str(kind);
        line.push_str(key);
        line.push('=');
        for byte in value.iter().take(VALUE_BYTES_MAX) {
            if byte.is_ascii_alphanumeric() || b"-_.:/|,~*+@".contains(byte) {
                line.push(char::from(*byte));
            } else {
                let [.., high, low] = hex::text(u32::from(*byte));
                line.extend(['%', char::from(high), char::from(low)]);
            }
        }
    }

    /// Says a number.
    pub fn number(&mut self, key: &str, value: u64) {
        let mut digits = [0; 16];
        hex::write(&mut digits, value);
        self.field(key, &digits);
    }

    /// The whole line.
    #[must_use]
    pub fn end(mut self) -> String {
        self.0.push_str(END);
        self.0
    }
}

/// The fields of the line that a log's line holds, whatever the log wrote around it; none where it holds none.
#[must_use]
pub fn read(log: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let (_, line) = log.split_once(PREFIX)?;
    let (fields, _) = line.split_once(END)?;
    let field = |field: &str| {
        let (key, value) = field.split_once('=')?;
        Some((key.to_owned(), unescaped(value)?))
    };
    fields.split_ascii_whitespace().map(field).collect()
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let value = digit()? << 4 | digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}
