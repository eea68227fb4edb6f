//! What is wrong with a set of Lane documents: each finding with the place it belongs to.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One step from a document to a place within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// A place in one of the documents given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Which document, counted from 0 in the order given.
    pub document: usize,
    /// The way from the document's root.
    pub path: Vec<Step>,
}

impl Scope {
    /// The root of a document.
    #[must_use]
    pub fn document(document: usize) -> Self {
        Self { document, path: Vec::new() }
    }

    /// A mapping's entry below this place.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_string()))
    }

    /// A list's entry below this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The path as people write it, e.g. `spec.rules[0].when`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => text.push_str(&format!(".{key}")),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    fn step(&self, step: Step) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self { document: self.document, path }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub scope: Scope,
    /// What, in a sentence without a full stop.
    pub message: String,
}

/// Findings in the order met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn add(&mut self, scope: &Scope, message: impl Into<String>) {
        self.0.push(Problem { scope: scope.clone(), message: message.into() });
    }
}
