//! An explanation on paper: for people, and as JSON.

use canary_rules::explain::Explanation;
use canary_rules::inquiry::{Report, Request};

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
    println!("{} {}", request.method(), request.url());
    println!("→ {lane}   {}", report.reason);
    section("set", report.set_headers.0.iter().map(|(name, value)| format!("{name}: {value}")));
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
