//! A JSON text as a tree, for the filter: its configuration, and the claims of tokens.
//!
//! A derived reader of the same types weighs a hundred kilobytes in a Wasm module, most of it the
//! wording of errors and the printing of fractions that no configuration holds. This one answers where
//! a text stops being JSON and no more; documents that people write go through serde.
//!
//! Accepts exactly the texts of RFC 8259 down to [`DEPTH_MAX`]; of repeated names the last one counts.

#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

/// Deepest nesting of lists and objects.
pub const DEPTH_MAX: usize = 128;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// As written.
    Number(String),
    /// Without its escapes.
    Text(String),
    /// `[…]`
    List(Vec<Json>),
    /// `{…}`, in the order written.
    Object(Vec<(String, Json)>),
}

/// Not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no JSON from byte {at} on")]
pub struct JsonError {
    /// Bytes before what cannot be read.
    pub at: usize,
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = core::str::from_utf8(bytes).map_err(|error| JsonError { at: error.valid_up_to() })?;
        let mut reader = Reader { rest: text };
        let value = reader.value(DEPTH_MAX).filter(|_| {
            reader.skip_blanks();
            reader.rest.is_empty()
        });
        value.ok_or(JsonError { at: text.len().saturating_sub(reader.rest.len()) })
    }

    /// An object's value by name; none where this is no object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, where this is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What is left of a text. Each step answers none where the text is not as it has to be, and stops
/// there.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_blanks();
        match self.rest.as_bytes().first()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.list(depth.checked_sub(1)?),
            b'"' => self.text().map(Json::Text),
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut members = Vec::new();
        self.items(b'}', |reader| {
            reader.skip_blanks();
            let name = reader.text()?;
            reader.skip_blanks();
            reader.expect(b':')?;
            members.push((name, reader.value(depth)?));
            Some(())
        })?;
        Some(Json::Object(members))
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.items(b']', |reader| {
            items.push(reader.value(depth)?);
            Some(())
        })?;
        Some(Json::List(items))
    }

    /// An opening bracket, items between commas, the closing bracket.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip(1);
        self.skip_blanks();
        if self.expect(end).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            self.skip_blanks();
            if self.expect(end).is_some() {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    fn text(&mut self) -> Option<String> {
        self.expect(b'"')?;
        let mut text = String::from(self.plain());
        while self.expect(b'"').is_none() {
            self.expect(b'\\')?;
            text.push(self.escaped()?);
            text.push_str(self.plain());
        }
        Some(text)
    }

    /// Characters up to the next that means something within a text.
    fn plain(&mut self) -> &'a str {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        self.skip(self.rest.as_bytes().iter().take_while(|byte| !special(byte)).count())
    }

    fn escaped(&mut self) -> Option<char> {
        let kind = self.skip(1).bytes().next()?;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.code_unit()?;
                let mut units = [first, 0];
                if (0xD800..0xDC00).contains(&first) {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    units = [first, self.code_unit()?];
                }
                char::decode_utf16(units).next()?.ok()?
            }
            _ => return None,
        })
    }

    fn code_unit(&mut self) -> Option<u16> {
        let digits = self.rest.get(..4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.skip(4);
        u16::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.rest;
        self.expect(b'-');
        if self.expect(b'0').is_none() {
            self.digits()?;
        }
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        if self.expect(b'e').or_else(|| self.expect(b'E')).is_some() {
            self.expect(b'+').or_else(|| self.expect(b'-'));
            self.digits()?;
        }
        start.get(..start.len().checked_sub(self.rest.len())?).map(|number| Json::Number(number.into()))
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        self.skip(count);
        (count > 0).then_some(())
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(value)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let is_next = self.rest.as_bytes().first() == Some(&byte);
        if is_next {
            self.skip(1);
        }
        is_next.then_some(())
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        let count = blanks.count();
        self.skip(count);
    }

    /// Takes bytes off the front; none where they end within a character.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or(("", self.rest));
        self.rest = rest;
        taken
    }
}
