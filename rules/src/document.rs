//! Lane documents as text: YAML or JSON, one or many to a file, with the place of everything wrong.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

use crate::lane::{self, Compiled, Lane};
use crate::problem::{Scope, Step};

/// Largest file read, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A text and where it came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// What error messages call it, e.g. `lanes.yaml`.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Lanes that were read, and what their compilation gave.
#[derive(Debug, Clone)]
pub struct Documents {
    /// In the order given.
    pub lanes: Vec<Lane>,
    /// For the filter's configuration.
    pub compiled: Compiled,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub source: String,
    /// Line, from 1; 0 when unknown.
    pub line: u64,
    /// Column, from 1; 0 when unknown.
    pub column: u64,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.source, self.message),
            _ => write!(f, "{}:{}:{}: {}", self.source, self.line, self.column, self.message),
        }
    }
}

/// Reads and compiles files that belong together.
///
/// # Errors
/// Every fault found: text that is no YAML or JSON, fields that do not exist, and what
/// [`lane::compile`] finds.
pub fn read(sources: &[Source]) -> Result<Documents, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut lanes = Vec::new();
    let mut origins: Vec<(&Source, Node)> = Vec::new();
    for source in sources {
        read_source(source, &mut lanes, &mut origins, &mut faults);
    }
    if faults.is_empty() && lanes.is_empty() {
        let name = sources.first().map_or("-", |source| &source.name);
        faults.push(Fault {
            source: name.into(),
            line: 0,
            column: 0,
            message: "holds no Lane document".into(),
        });
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    match lane::compile(&lanes) {
        Ok(compiled) => Ok(Documents { lanes, compiled }),
        Err(problems) => {
            Err(problems.0.iter().map(|problem| placed(&problem.scope, &problem.message, &origins)).collect())
        }
    }
}

fn read_source<'s>(
    source: &'s Source,
    lanes: &mut Vec<Lane>,
    origins: &mut Vec<(&'s Source, Node)>,
    faults: &mut Vec<Fault>,
) {
    let fault = |line, column, message: String| Fault { source: source.name.clone(), line, column, message };
    if source.text.len() > FILE_BYTES_MAX {
        faults.push(fault(0, 0, alloc::format!("larger than {FILE_BYTES_MAX} bytes")));
        return;
    }
    let (mut plain, mut typed) = (source.text.as_bytes(), source.text.as_bytes());
    let nodes = serde_saphyr::read_with_options::<_, Node>(&mut plain, options());
    let documents = serde_saphyr::read_with_options::<_, Lane>(&mut typed, options());
    for (node, document) in nodes.zip(documents) {
        let node = match node {
            Ok(node) => node,
            Err(error) => {
                faults.push(yaml_fault(source, &error, None));
                continue;
            }
        };
        if let Some((kind, place)) = node.foreign_kind() {
            let message = alloc::format!("`{kind}` is not a kind known here: expected `{}`", lane::KIND);
            faults.push(fault(place.line(), place.column(), message));
            continue;
        }
        match document {
            Ok(lane) => {
                lanes.push(lane);
                origins.push((source, node));
            }
            Err(error) => faults.push(yaml_fault(source, &error, Some(&node))),
        }
    }
}

fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    options
}

/// A parser's error in our words: a field that does not exist gets the mapping it stands in, and the field
/// that may have been meant.
fn yaml_fault(source: &Source, error: &serde_saphyr::Error, node: Option<&Node>) -> Fault {
    let error = error.without_snippet();
    let location = error.location();
    let (line, column) = location.map_or((0, 0), |place| (place.line(), place.column()));
    let message = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let within = node.and_then(|node| node.parent_of_key_at(line, column));
            let within = within.map(|name| alloc::format!(" in {name}")).unwrap_or_default();
            let hint = match nearest(field, expected) {
                Some(meant) => alloc::format!("; did you mean `{meant}`?"),
                None => alloc::format!("; known: {}", expected.join(", ")),
            };
            alloc::format!("unknown field `{field}`{within}{hint}")
        }
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            let hint = match nearest(variant, expected) {
                Some(meant) => alloc::format!("; did you mean `{meant}`?"),
                None => alloc::format!("; known: {}", expected.join(", ")),
            };
            alloc::format!("unknown value `{variant}`{hint}")
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => alloc::format!("`{field}` is missing"),
        serde_saphyr::Error::Message { msg, .. } => msg.clone(),
        other => without_place(&other.to_string()),
    };
    Fault { source: source.name.clone(), line, column, message }
}

/// The parser's own text begins with the place, which a [`Fault`] says already.
fn without_place(text: &str) -> String {
    let first = text.lines().next().unwrap_or(text);
    let rest = first.strip_prefix("error: ").unwrap_or(first);
    match rest.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, message)) => message.to_string(),
        None => rest.to_string(),
    }
}

fn nearest<'e>(field: &str, expected: &[&'e str]) -> Option<&'e str> {
    let scored = expected.iter().map(|known| (strsim::damerau_levenshtein(field, known), *known));
    let (distance, meant) = scored.min()?;
    // A third of the word may be wrong, as compilers allow.
    (distance <= field.len().max(3) / 3).then_some(meant)
}

/// The place of a finding: its node's, or that of the nearest node above it that is written down.
fn placed(scope: &Scope, message: &str, origins: &[(&Source, Node)]) -> Fault {
    let Some((source, root)) = origins.get(scope.document) else {
        return Fault { source: "-".into(), line: 0, column: 0, message: message.into() };
    };
    let mut node = root;
    let mut place = node.0.defined;
    for step in &scope.path {
        let next = match (step, &node.0.value) {
            (Step::Key(key), Content::Map(entries)) => {
                entries.iter().find(|(name, _)| name.value == *key).map(|(name, value)| (name.defined, value))
            }
            (Step::Index(index), Content::Seq(items)) => items.get(*index).map(|item| (item.0.defined, item)),
            _ => None,
        };
        let Some((found, value)) = next else { break };
        (place, node) = (found, value);
    }
    let path = scope.text();
    let message = if path.is_empty() { message.to_string() } else { alloc::format!("{path}: {message}") };
    Fault { source: source.name.clone(), line: place.line(), column: place.column(), message }
}

/// A document as written: keys, items and where they stand.
struct Node(serde_saphyr::Spanned<Content>);

enum Content {
    Map(Vec<(serde_saphyr::Spanned<String>, Node)>),
    Seq(Vec<Node>),
    Scalar(String),
}

impl Node {
    /// The kind of a document that is no Lane.
    fn foreign_kind(&self) -> Option<(&str, serde_saphyr::Location)> {
        let Content::Map(entries) = &self.0.value else { return None };
        let (_, kind) = entries.iter().find(|(key, _)| key.value == "kind")?;
        match &kind.0.value {
            Content::Scalar(kind_text) if kind_text != lane::KIND => Some((kind_text, kind.0.defined)),
            _ => None,
        }
    }

    /// The name of the mapping that has a key at this place.
    fn parent_of_key_at(&self, line: u64, column: u64) -> Option<&str> {
        self.search(line, column, "the document")
    }

    fn search<'n>(&'n self, line: u64, column: u64, name: &'n str) -> Option<&'n str> {
        match &self.0.value {
            Content::Map(entries) => {
                let here = |place: serde_saphyr::Location| place.line() == line && place.column() == column;
                if entries.iter().any(|(key, _)| here(key.defined)) {
                    return Some(name);
                }
                entries.iter().find_map(|(key, value)| value.search(line, column, &key.value))
            }
            Content::Seq(items) => items.iter().find_map(|item| item.search(line, column, name)),
            Content::Scalar(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_saphyr::Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Content::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Content::Seq(items))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Scalar(text.to_string()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(String::new()))
    }
}
