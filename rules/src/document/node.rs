//! A YAML or JSON document as written: keys, items and scalars, each with its place. Knows no field.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, NonFiniteFloatPolicy, Options, Spanned};

use crate::problem::Step;

/// A line and a column, both from 1; 0 when unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
    /// Set when it has been found to be wrong, and is to be read as if it were not there.
    pub(super) dropped: Cell<bool>,
}

#[derive(Debug)]
pub(super) enum Content {
    Map(Vec<Entry>),
    Seq(Vec<Node>),
    Text(Box<str>),
    /// A number and how it is written.
    Number(Number, Box<str>),
    /// A truth value and how it is written.
    Truth(bool, Box<str>),
    Null,
}

/// A mapping's entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

/// A number as a machine reads it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(i128),
    Broken(f64),
}

/// The documents of a text; empty ones are left out.
///
/// # Errors
/// Where it is neither YAML nor JSON, and why.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, (Place, String)> {
    let mut options = Options::default();
    options.with_snippet = false;
    // The reader of fields reports repeated ones and odd numbers, with everything else.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    let parsed = serde_saphyr::from_multiple_with_options::<Read>(text, options);
    let read = parsed.map_err(|error| {
        let error = error.without_snippet();
        (error.location().map_or_else(Place::default, Place::from), message(error))
    })?;
    Ok(read.into_iter().map(|read| read.node(text)).collect())
}

/// The parser's message without the place, which a fault says already.
fn message(error: &Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let (message, place) = first.rsplit_once(" at line ").unwrap_or((first, ""));
    let is_place = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b", column".contains(&byte));
    if is_place(place) { message.to_string() } else { first.to_string() }
}

impl Node {
    /// The value of a key, wrong or not.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| *entry.key == *key),
            _ => None,
        }
    }

    /// Whether this or anything below has been found to be wrong.
    pub(super) fn holds_dropped(&self) -> bool {
        self.dropped.get()
            || match &self.content {
                Content::Map(entries) => entries.iter().any(|entry| entry.value.holds_dropped()),
                Content::Seq(items) => items.iter().any(Self::holds_dropped),
                _ => false,
            }
    }

    /// The node at the end of a path, or the last one on the way that is written down, with its place: its
    /// key's where it has one. Items that were dropped are not counted.
    pub(super) fn at(&self, path: &[Step]) -> (Place, &Self) {
        let (mut place, mut node) = (self.place, self);
        for step in path {
            let next = match (step, &node.content) {
                (Step::Key(key), Content::Map(_)) => {
                    node.get(key).map(|entry| (entry.key_place, &entry.value))
                }
                (Step::Index(index), Content::Seq(items)) => {
                    let kept = items.iter().filter(|item| !item.dropped.get());
                    kept.skip(*index).map(|item| (item.place, item)).next()
                }
                _ => None,
            };
            let Some(found) = next else { break };
            (place, node) = found;
        }
        (place, node)
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> String {
        match &self.content {
            Content::Map(_) => "a mapping".into(),
            Content::Seq(_) => "a list".into(),
            Content::Text(text) => format!("the text `{}`", crate::matcher::shown(text.as_bytes())),
            Content::Number(_, text) => format!("the number {text}"),
            Content::Truth(truth, text) if text.parse() == Ok(*truth) => format!("the truth value {text}"),
            Content::Truth(truth, text) => format!("`{text}`, which YAML takes for {truth}"),
            Content::Null => "nothing".into(),
        }
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// A value as the parser gives it.
struct Read(Spanned<ReadContent>);

enum ReadContent {
    Map(Vec<(Spanned<String>, Read)>),
    Seq(Vec<Read>),
    Text(Box<str>),
    Number(Number),
    Truth(bool),
    Null,
}

impl Read {
    fn node(self, source: &str) -> Node {
        let Self(Spanned { value, defined, .. }) = self;
        let written = || {
            let span = defined.span();
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
            source.get(start..end).map(Box::from)
        };
        let content = match value {
            ReadContent::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, Self)| Entry {
                    key: key.value.into(),
                    key_place: key.defined.into(),
                    value: value.node(source),
                };
                Content::Map(entries.into_iter().map(entry).collect())
            }
            ReadContent::Seq(items) => {
                Content::Seq(items.into_iter().map(|item| item.node(source)).collect())
            }
            ReadContent::Text(text) => Content::Text(text),
            ReadContent::Number(number) => Content::Number(number, written().unwrap_or_default()),
            ReadContent::Truth(truth) => Content::Truth(truth, written().unwrap_or_default()),
            ReadContent::Null => Content::Null,
        };
        Node { place: defined.into(), content, dropped: Cell::new(false) }
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for ReadContent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = ReadContent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReadContent, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(ReadContent::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReadContent, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(ReadContent::Seq(items))
    }

    fn visit_str<E>(self, text: &str) -> Result<ReadContent, E> {
        Ok(ReadContent::Text(text.into()))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<ReadContent, E> {
        Ok(ReadContent::Truth(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<ReadContent, E> {
        Ok(ReadContent::Number(Number::Whole(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<ReadContent, E> {
        Ok(ReadContent::Number(Number::Whole(number.into())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<ReadContent, E> {
        Ok(ReadContent::Number(Number::Broken(number)))
    }

    fn visit_unit<E>(self) -> Result<ReadContent, E> {
        Ok(ReadContent::Null)
    }
}
