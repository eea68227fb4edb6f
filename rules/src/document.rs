//! Lane documents as text: YAML or JSON, one or many to a file, with the place of everything wrong.

mod node;
mod typed;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::lane::{self, Compiled, Lane};
use crate::problem::Problem;
use node::{Content, Node, Place};

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
    /// What is wrong, in one line without control characters.
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
/// Every fault found, in the order of the files and their lines: text that is no YAML or JSON, fields that
/// do not exist, values that are none, and what [`lane::compile`] finds.
pub fn read(sources: &[Source]) -> Result<Documents, Vec<Fault>> {
    let mut faults: Vec<(usize, Place, String)> = Vec::new();
    let mut lanes = Vec::new();
    let mut origins: Vec<(usize, Node)> = Vec::new();
    let mut lost = false;
    for (file, source) in sources.iter().enumerate() {
        let nodes = match source.text.len() {
            ..=FILE_BYTES_MAX => node::parse(&source.text),
            _ => Err((Place::default(), format!("larger than {FILE_BYTES_MAX} bytes"))),
        };
        let nodes = nodes.unwrap_or_else(|(place, message)| {
            faults.push((file, place, message));
            lost = true;
            Vec::new()
        });
        for node in nodes {
            let (lane, found) = match foreign_kind(&node) {
                Some(fault) => (None, Vec::from([fault])),
                None => typed::lane(&node),
            };
            faults.extend(found.into_iter().map(|(place, message)| (file, place, message)));
            match lane {
                Some(lane) => {
                    lanes.push(lane);
                    origins.push((file, node));
                }
                None => lost = true,
            }
        }
    }
    if faults.is_empty() && lanes.is_empty() {
        faults.push((0, Place::default(), "holds no Lane document".into()));
    }
    let mut compiled = Compiled::default();
    // A lane that could not be read would be missed by those that name it.
    if !lost {
        match lane::compile(&lanes) {
            Ok(done) => compiled = done,
            Err(problems) => {
                faults.extend(problems.0.iter().filter_map(|problem| placed(problem, &origins)));
            }
        }
    }
    if faults.is_empty() {
        return Ok(Documents { lanes, compiled });
    }
    faults.sort_by_key(|(file, place, _)| (*file, place.line, place.column));
    let name = |file: usize| sources.get(file).map_or("-", |source| &source.name);
    let fault = |(file, Place { line, column }, message)| Fault {
        source: name(file).into(),
        line,
        column,
        message: one_line(message),
    };
    Err(faults.into_iter().map(fault).collect())
}

/// A message quotes what was written, which may hold line breaks and what a terminal would act on.
fn one_line(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    let mut line = String::with_capacity(message.len());
    for char in message.chars() {
        match char.is_control() {
            true => line.extend(char.escape_default()),
            false => line.push(char),
        }
    }
    line
}

/// The fault of a document that says it is no Lane.
fn foreign_kind(document: &Node) -> Option<(Place, String)> {
    let kind = document.get("kind")?;
    match &kind.value.content {
        Content::Text(text) if **text != *lane::KIND => {
            let message = format!("`{text}` is not a kind known here: expected `{}`", lane::KIND);
            Some((kind.value.place, message))
        }
        _ => None,
    }
}

/// A finding with its place. None for one about what has been left out: that has been noted already.
fn placed(problem: &Problem, origins: &[(usize, Node)]) -> Option<(usize, Place, String)> {
    let (file, root) = origins.get(problem.scope.document)?;
    let (place, node) = root.at(&problem.scope.path);
    if node.holds_dropped() {
        return None;
    }
    let path = problem.scope.text();
    let message = match path.is_empty() {
        true => problem.message.clone(),
        false => format!("{path}: {}", problem.message),
    };
    Some((*file, place, message))
}

/// What may have been meant by a name that is not known, ready to follow it.
fn hint(name: &str, known: &[&str]) -> String {
    let scored = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known));
    match scored.min() {
        // A third of the word may be wrong, as compilers allow.
        Some((distance, meant)) if distance <= name.len().max(3).div_euclid(3) => {
            format!("; did you mean `{meant}`?")
        }
        _ => format!("; known: {}", known.join(", ")),
    }
}
