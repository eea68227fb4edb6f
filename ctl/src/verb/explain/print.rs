//! An explanation on paper: for people, and as JSON.

use canary_rules::edits::Edit;
use canary_rules::explain::{Close, Explanation, RuleName};
use serde::Serialize;

use super::request::Request;

/// The JSON form. Part of the interface: keys are added, never renamed.
#[derive(Serialize)]
struct Report {
    /// Null for the baseline.
    lane: Option<String>,
    /// Null when no rule made the decision.
    rule: Option<Rule>,
    reason: String,
    /// In the order they are set.
    set_headers: serde_json::Map<String, serde_json::Value>,
    remove_headers: Vec<String>,
    set_cookies: Vec<String>,
    close: Vec<CloseRule>,
}

#[derive(Serialize)]
struct Rule {
    lane: String,
    /// Its place in the lane's list, from 1.
    number: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    text: String,
}

#[derive(Serialize)]
struct CloseRule {
    #[serde(flatten)]
    rule: Rule,
    why: String,
}

impl Report {
    fn new(explanation: &Explanation<'_>) -> Self {
        let mut set_headers = serde_json::Map::new();
        let mut remove_headers = Vec::new();
        for edit in &explanation.decision.edits {
            match edit {
                Edit::Set(name, value) | Edit::Add(name, value) => {
                    set_headers.insert((*name).into(), text_of(value).into());
                }
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

pub(super) fn json(explanation: &Explanation<'_>) {
    let report = Report::new(explanation);
    match serde_json::to_string_pretty(&report) {
        Ok(text) => println!("{text}"),
        Err(error) => unreachable!("a report of strings and numbers is always JSON: {error}"),
    }
}

pub(super) fn text(request: &Request, explanation: &Explanation<'_>) {
    let report = Report::new(explanation);
    let lane = report.lane.as_deref().unwrap_or("baseline");
    println!("{} {}", request.method, request.url);
    println!("→ {lane}   {}", report.reason);
    section(
        "set",
        report
            .set_headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default())),
    );
    section("remove", report.remove_headers.into_iter());
    section("cookies", report.set_cookies.into_iter());
    let width = explanation.close.iter().map(|close| close.rule.lane.as_str().len()).max().unwrap_or(0);
    let close = explanation.close.iter();
    section(
        "close",
        close.map(|close| format!("{:width$}  {} — {}", close.rule.lane.as_str(), close.rule, close.why)),
    );
}

fn section(title: &str, lines: impl Iterator<Item = String>) {
    for (index, line) in lines.enumerate() {
        println!("  {:<8} {line}", if index == 0 { title } else { "" });
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
