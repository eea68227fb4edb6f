//! An answer as JSON. Part of the interface: keys are added, never renamed.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::edits::Edit;
use crate::explain::{Close, Explanation, RuleName};

/// A decision and its reasons.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Null for the baseline.
    pub lane: Option<String>,
    /// Null when no rule made the decision.
    pub rule: Option<Rule>,
    /// In words.
    pub reason: String,
    /// In the order they are set.
    pub set_headers: SetHeaders,
    /// Headers that are taken away.
    pub remove_headers: Vec<String>,
    /// `set-cookie` lines of the response.
    pub set_cookies: Vec<String>,
    /// Rules that did not win, nearest first.
    pub close: Vec<CloseRule>,
}

/// Headers by name, in the order in which they are first set; the last value stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetHeaders(pub Vec<(String, String)>);

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// Whose.
    pub lane: String,
    /// Its place in the lane's list, from 1.
    pub number: usize,
    /// What its author calls it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it asks for.
    pub text: String,
}

/// A rule that did not win.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CloseRule {
    /// Which.
    #[serde(flatten)]
    pub rule: Rule,
    /// Why not.
    pub why: String,
}

impl Report {
    /// Of an explanation.
    #[must_use]
    pub fn new(explanation: &Explanation<'_>) -> Self {
        let mut set_headers = SetHeaders::default();
        let mut remove_headers = Vec::new();
        for edit in &explanation.decision.edits {
            match edit {
                Edit::Set(name, value) | Edit::Add(name, value) => set_headers.set(name, text_of(value)),
                Edit::Remove(name) => remove_headers.push((*name).into()),
            }
        }
        Self {
            lane: explanation.decision.lane.map(ToString::to_string),
            rule: explanation.rule.as_ref().map(Rule::new),
            reason: explanation.reason.clone(),
            set_headers,
            remove_headers,
            set_cookies: explanation.decision.response.cookies.iter().map(|cookie| text_of(cookie)).collect(),
            close: explanation.close.iter().map(CloseRule::new).collect(),
        }
    }
}

impl SetHeaders {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name.into(), value)),
        }
    }
}

impl Serialize for SetHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Rule {
    fn new(rule: &RuleName<'_>) -> Self {
        Self {
            lane: rule.lane.to_string(),
            number: rule.number,
            name: rule.name.into(),
            text: rule.text.clone(),
        }
    }
}

impl CloseRule {
    fn new(close: &Close<'_>) -> Self {
        Self { rule: Rule::new(&close.rule), why: close.why.clone() }
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
