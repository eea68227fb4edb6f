//! What each command asks of the API server: one table, for `rbac` to print, for `check --pre`, and for commands that
//! write to ask about before they do.

mod ask;
pub mod command;
mod installation;
mod print;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use ask::{held, missing};
pub use command::Command;
pub use print::{Bound, documents, markdown};

/// API groups.
mod group {
    pub(super) const OURS: &str = "canaryctl.io";
    pub(super) const APPS: &str = "apps";
    pub(super) const ISTIO: &str = "networking.istio.io";
    pub(super) const PLUGINS: &str = "extensions.istio.io";
    pub(super) const RBAC: &str = "rbac.authorization.k8s.io";
    pub(super) const ADMISSION: &str = "admissionregistration.k8s.io";
    pub(super) const DEFINITIONS: &str = "apiextensions.k8s.io";
}

/// Verbs in the order in which people say them.
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// Verbs on a resource, as a role says them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Where, if not in the whole cluster.
    pub namespace: Option<String>,
    /// API group; empty for the core.
    pub group: String,
    /// The resource's plural, and its subresource.
    pub resource: String,
    /// The only object that it is about.
    pub name: Option<String>,
    /// What is done.
    pub verbs: Vec<String>,
    /// Who needs it.
    pub whose: Whose,
}

/// Who needs a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Everybody.
    All,
    /// Who waits until it is done, as is the default.
    Waiting,
    /// Who says this.
    Saying(&'static str),
    /// Nobody; without it, this is so.
    Else(&'static str),
}

/// One thing that one may or may not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// What is done.
    pub verb: String,
    /// API group; empty for the core.
    pub group: String,
    /// The resource's plural, and its subresource.
    pub resource: String,
    /// The only object that it is about.
    pub name: Option<String>,
    /// Where, if not in the whole cluster.
    pub namespace: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

impl Right {
    /// Whether who has it has this one, too.
    fn holds(&self, other: &Self) -> bool {
        (&self.verb, &self.group, &self.resource) == (&other.verb, &other.group, &other.resource)
            && (self.name.is_none() || self.name == other.name)
            && (self.namespace.is_none() || self.namespace == other.namespace)
    }
}

impl Rule {
    fn new(group: &str, resource: &str, verbs: &[&str]) -> Self {
        Self {
            namespace: None,
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: None,
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            whose: Whose::All,
        }
    }

    fn within(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    fn of(self, whose: Whose) -> Self {
        Self { whose, ..self }
    }

    /// Each verb of it.
    pub fn rights(&self) -> impl Iterator<Item = Right> {
        self.verbs.iter().map(|verb| Right {
            verb: verb.clone(),
            group: self.group.clone(),
            resource: self.resource.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
        })
    }
}

/// The same rules without what others of them hold already, each resource's verbs together.
fn tidy(rules: &[Rule]) -> Vec<Rule> {
    let all: BTreeSet<(Right, Whose)> =
        rules.iter().flat_map(|rule| rule.rights().map(|right| (right, rule.whose))).collect();
    let is_held = |(right, whose): &(Right, Whose)| {
        all.iter().any(|(other, others)| {
            let is_for_them = others == whose || *others == Whose::All;
            is_for_them && (other, others) != (right, whose) && other.holds(right)
        })
    };
    let mut tidied: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for (right, whose) in all.iter().filter(|one| !is_held(one)) {
        let Right { verb, group, resource, name, namespace } = right.clone();
        let rule = Rule { namespace, group, resource, name, verbs: Vec::new(), whose: *whose };
        tidied.entry(rule).or_default().push(verb);
    }
    let order = |verb: &str| VERBS.iter().position(|known| *known == verb).unwrap_or(VERBS.len());
    let in_order = tidied.into_iter().map(|(rule, mut verbs)| {
        verbs.sort_by_key(|verb| order(verb));
        Rule { verbs, ..rule }
    });
    in_order.collect()
}

/// The rights of rules, each once.
pub fn rights<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> BTreeSet<Right> {
    rules.into_iter().flat_map(Rule::rights).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_a_wider_one_holds_is_not_asked_for() {
        let pods = |verbs: &[&str]| Rule::new("", "pods", verbs);
        let rules = [
            pods(&["list", "get"]),
            pods(&["list"]).within("shop"),
            pods(&["get"]).within("shop").named("p").of(Whose::Waiting),
            pods(&["watch"]).within("shop").of(Whose::Waiting),
            pods(&["patch", "get"]),
            pods(&["delete"]).of(Whose::Waiting),
            pods(&["delete"]).within("shop"),
        ];
        let wanted = [
            pods(&["get", "list", "patch"]),
            pods(&["delete"]).of(Whose::Waiting),
            pods(&["delete"]).within("shop"),
            pods(&["watch"]).within("shop").of(Whose::Waiting),
        ];
        assert_eq!(tidy(&rules), wanted);
    }
}
