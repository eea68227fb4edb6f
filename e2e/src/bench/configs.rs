//! What the filter is told in each scenario: made from Lane documents by the code that makes it for a mesh.

use anyhow::{Context, Result, anyhow};
use canary_rules::document::{self, Source};
use canary_rules::lane::Compiled;
use canary_rules::settings::MeshSettings;
use canary_rules::signing::{Key, KeyId, KeyRing};
use canary_rules::wire::{FilterConfig, Peers, Role};
use serde_json::{Value, json};

/// The lane that tagged requests are in.
pub const LANE: &str = "gray";
/// The cookie that puts a request in it, by the last of any number of rules.
pub const LANE_COOKIE: (&str, &str) = ("gray", "1");

/// A mesh without lanes.
///
/// # Errors
/// None in practice: the settings are constants.
pub fn no_lane(role: Role) -> Result<FilterConfig> {
    Ok(settings()?.config(role, &Compiled::default()))
}

/// A sidecar of a mesh with three lanes.
///
/// `peers` is what the listeners of the scenario can show: without TLS there is no mesh member to be seen.
///
/// # Errors
/// None in practice: the documents are constants.
pub fn sidecar(role: Role, peers: Peers) -> Result<FilterConfig> {
    let lanes = ["blue", LANE, "dev-alice"].map(|name| lane(name, vec![cookie_rule("lane", name)], false));
    let settings = MeshSettings { peers, ..settings()? };
    Ok(settings.config(role, &compile(&lanes)?))
}

/// An edge whose lane has this many rules, the last of which is the cookie.
///
/// # Errors
/// None in practice: the documents are constants.
pub fn edge(rules: &[Rule]) -> Result<FilterConfig> {
    edge_with(lane(LANE, rules.iter().map(Rule::when).collect(), false))
}

/// An edge with one rule that gives its users a cookie to keep them in the lane.
///
/// # Errors
/// None in practice: the document is a constant.
pub fn sticky_edge() -> Result<FilterConfig> {
    edge_with(lane(LANE, vec![cookie_rule(LANE_COOKIE.0, LANE_COOKIE.1)], true))
}

/// An edge that puts a tenth of the users in the lane, told apart by the header `x-user-id`.
///
/// # Errors
/// None in practice: the document is a constant.
pub fn percent_edge() -> Result<FilterConfig> {
    edge_with(json!({
        "apiVersion": "canaryctl.io/v1alpha1",
        "kind": "Lane",
        "metadata": { "name": LANE },
        "spec": { "rules": [{ "percent": 10, "sticky": false }], "key": [{ "header": "x-user-id" }] },
    }))
}

/// An explicit rule, in a form that any way to write it can be made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What is looked at: `cookie`, `header`, `query` or `path`.
    pub subject: &'static str,
    /// The name of it; empty of a path.
    pub name: &'static str,
    /// `exact`, `prefix` or `contains`.
    pub operator: &'static str,
    /// What it is compared with.
    pub value: String,
}

/// As many rules, of which a request with [`LANE_COOKIE`] meets the last and no request meets another. Three of
/// five compare a value, as feature flags do; two look for a part of it.
#[must_use]
pub fn rules(count: usize) -> Vec<Rule> {
    let rule = |number: usize| {
        let (subject, name, operator, value) = match number % 5 {
            0 => ("header", "x-user-id", "exact", format!("user-{number}")),
            1 => ("cookie", "tester", "exact", format!("team-{number}")),
            2 => ("query", "preview", "exact", format!("pr-{number}")),
            3 => ("path", "", "prefix", format!("/beta/{number}/")),
            _ => ("header", "user-agent", "contains", format!("Probe-{number}")),
        };
        Rule { subject, name, operator, value }
    };
    let (name, value) = LANE_COOKIE;
    let last = Rule { subject: "cookie", name, operator: "exact", value: value.to_owned() };
    (1..count).map(rule).chain([last]).collect()
}

impl Rule {
    fn when(&self) -> Value {
        let Self { subject, name, operator, value } = self;
        match name.is_empty() {
            true => json!({ *subject: { *operator: value } }),
            false => json!({ *subject: { "name": name, *operator: value } }),
        }
    }
}

fn cookie_rule(name: &str, value: &str) -> Value {
    json!({ "cookie": { "name": name, "exact": value } })
}

fn lane(name: &str, conditions: Vec<Value>, sticky: bool) -> Value {
    let rules: Vec<Value> =
        conditions.into_iter().map(|when| json!({ "when": when, "sticky": sticky })).collect();
    json!({
        "apiVersion": "canaryctl.io/v1alpha1",
        "kind": "Lane",
        "metadata": { "name": name },
        "spec": { "rules": rules },
    })
}

fn edge_with(lane: Value) -> Result<FilterConfig> {
    Ok(settings()?.config(Role::Edge, &compile(&[lane])?))
}

fn compile(lanes: &[Value]) -> Result<Compiled> {
    let source =
        |(number, lane): (usize, &Value)| Source { name: format!("lane {number}"), text: lane.to_string() };
    let sources: Vec<Source> = lanes.iter().enumerate().map(source).collect();
    let documents = document::read(&sources).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("{}", faults.join("\n"))
    })?;
    Ok(documents.compiled)
}

fn settings() -> Result<MeshSettings> {
    let id = KeyId::new("k1").context("a key id")?;
    let key = Key::new(id, b"only benchmarks have this secret".to_vec()).context("a key")?;
    Ok(MeshSettings::new(KeyRing::new([key]).context("a key ring")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_rule_is_the_cookie() {
        let rules = rules(20);
        assert_eq!(rules.len(), 20);
        assert_eq!(rules.iter().position(|rule| rule.name == LANE_COOKIE.0), Some(19));
    }

    #[test]
    fn every_configuration_compiles() {
        for count in [1, 20, 200] {
            let config = edge(&rules(count)).expect("compiles");
            assert_eq!(config.lanes.first().map(|lane| lane.rules.len()), Some(count));
        }
        sticky_edge().expect("compiles");
        percent_edge().expect("compiles");
        assert_eq!(sidecar(Role::Inbound, Peers::Any).expect("compiles").lanes.len(), 3);
        assert!(no_lane(Role::Outbound).expect("compiles").lanes.is_empty());
    }
}
