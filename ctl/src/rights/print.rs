//! Rules as roles that kubectl takes, and as a table for documents. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Command, Rule, Whose, tidy};
use crate::failure::Failure;

/// What the roles are called: this, and what for.
const NAME_PREFIX: &str = "canaryctl-may-";
/// Stands for the namespace that a command is about.
const NAMESPACE: &str = "NAMESPACE";
const API: &str = "rbac.authorization.k8s.io";

/// Who gets the roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

impl Bound {
    fn subject(&self) -> Value {
        let (kind, name) = match self {
            Self::User(name) => ("User", name),
            Self::Group(name) => ("Group", name),
        };
        json!({"apiGroup": API, "kind": kind, "name": name})
    }
}

/// Documents of YAML: a ClusterRole for what is needed everywhere, a Role for each namespace, and their bindings. Each
/// rule is a line, with who needs it.
#[must_use]
pub fn documents(name: &str, rules: &[Rule], bound: &[Bound]) -> String {
    let name = format!("{NAME_PREFIX}{name}");
    let mut text = String::new();
    for (namespace, rules) in by_namespace(tidy(rules)) {
        let (kind, place) = match &namespace {
            Some(namespace) => ("Role", format!("  namespace: {namespace}\n")),
            None => ("ClusterRole", String::new()),
        };
        if !text.is_empty() {
            text.push_str("---\n");
        }
        // Writing to a String cannot fail.
        let _ =
            write!(text, "apiVersion: {API}/v1\nkind: {kind}\nmetadata:\n  name: {name}\n{place}rules:\n");
        for rule in rules {
            let _ = writeln!(text, "- {}{}", role_rule(&rule), remark(rule.whose));
        }
        if !bound.is_empty() {
            let subjects: Vec<Value> = bound.iter().map(Bound::subject).collect();
            let reference = json!({"apiGroup": API, "kind": kind, "name": name});
            let _ = write!(
                text,
                "---\napiVersion: {API}/v1\nkind: {kind}Binding\nmetadata:\n  name: {name}\n{place}roleRef: {reference}\n\
                 subjects: {}\n",
                Value::from(subjects)
            );
        }
    }
    text
}

/// The cluster's first.
fn by_namespace(rules: Vec<Rule>) -> BTreeMap<Option<String>, Vec<Rule>> {
    let mut all: BTreeMap<Option<String>, Vec<Rule>> = BTreeMap::new();
    for rule in rules {
        all.entry(rule.namespace.clone()).or_default().push(rule);
    }
    all
}

fn role_rule(rule: &Rule) -> Value {
    let mut value = json!({"apiGroups": [rule.group], "resources": [rule.resource], "verbs": rule.verbs});
    if let Some(name) = &rule.name {
        value["resourceNames"] = json!([name]);
    }
    value
}

fn remark(whose: Whose) -> String {
    match words(whose) {
        None => String::new(),
        Some(words) => format!("  # {words}"),
    }
}

fn words(whose: Whose) -> Option<String> {
    match whose {
        Whose::All => None,
        Whose::Waiting => Some("to wait until it is done".to_owned()),
        Whose::Saying(what) => Some(what.to_owned()),
        Whose::Else(what) => Some(format!("without it {what}")),
    }
}

/// The table of all commands, for documents.
///
/// # Errors
/// When what an installation consists of cannot be told.
pub fn markdown(commands: &[Command]) -> Result<String, Failure> {
    let mut text = String::new();
    for command in commands {
        let _ =
            write!(text, "\n## {}\n\n| where | resource | verbs | |\n|---|---|---|---|\n", command.typed());
        for (namespace, rules) in by_namespace(command.rules(&[NAMESPACE])?) {
            let place = namespace.unwrap_or_else(|| "the cluster".to_owned());
            for rule in rules {
                let group = if rule.group.is_empty() { String::new() } else { format!(".{}", rule.group) };
                let name = rule.name.map_or(String::new(), |name| format!(" `{name}`"));
                let (resource, verbs) = (&rule.resource, rule.verbs.join(", "));
                let whose = words(rule.whose).unwrap_or_default();
                let _ = writeln!(text, "| {place} | `{resource}{group}`{name} | {verbs} | {whose} |");
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum as _;

    use super::*;
    use crate::rights::{Right, rights};

    #[test]
    fn a_role_says_who_needs_which_of_its_rules() {
        let rules = Command::Mesh.rules(&["shop"]).expect("rules");
        insta::assert_snapshot!(documents("mesh", &rules, &[Bound::User("alice".into())]));
    }

    #[test]
    fn roles_are_yaml_that_says_what_the_rules_say() {
        for command in Command::value_variants() {
            let rules = command.rules(&["shop"]).expect("rules");
            let wanted = rights(&rules);
            let text = documents(&command.argument(), &rules, &[]);
            let roles: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
            let mut said = BTreeSet::new();
            for role in &roles {
                for rule in role["rules"].as_array().into_iter().flatten() {
                    for verb in rule["verbs"].as_array().into_iter().flatten() {
                        let text = |value: &Value| value.as_str().map(str::to_owned);
                        said.insert(Right {
                            verb: text(verb).expect("a verb"),
                            group: text(&rule["apiGroups"][0]).expect("a group"),
                            resource: text(&rule["resources"][0]).expect("a resource"),
                            name: text(&rule["resourceNames"][0]),
                            namespace: text(&role["metadata"]["namespace"]),
                        });
                    }
                }
            }
            assert_eq!(said, wanted, "{command:?}");
        }
    }

    #[test]
    fn the_published_table_is_the_programs() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rights.md");
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        let (before, _) = there.split_once("\n## ").unwrap_or((&there, ""));
        let wanted = format!("{before}{}", markdown(Command::value_variants()).expect("a table"));
        if std::env::var_os("CANARY_UPDATE").is_some() {
            std::fs::write(&file, &wanted).expect("written");
        } else {
            assert!(there == wanted, "docs/rights.md is old: CANARY_UPDATE=1 cargo test -p canaryctl rights");
        }
    }
}
