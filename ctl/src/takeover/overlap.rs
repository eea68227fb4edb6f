//! What can be told of rules without a request: whether one is narrow enough for a Takeover, and whether two
//! surely claim the same requests.

use std::collections::BTreeSet;

use canary_rules::condition::{Condition, NamedTest};
use canary_rules::lane::Rule;

/// A value that a request must have: what of it, its name, the value.
type Token = (&'static str, String, String);

/// Headers whose values developers choose; names that go on after a dash are as good.
const HEADER: &str = "x-dev";
/// Cookies and query parameters, likewise.
const PARAMETER: &str = "dev";

/// Whether a rule asks for a value that only a developer sends. All others could take everybody's requests: a header
/// that every client sends has a value, too.
pub(super) fn is_narrow(rule: &Rule) -> bool {
    rule.percent.is_none() && rule.when.as_ref().is_some_and(asks_for_a_value)
}

fn asks_for_a_value(condition: &Condition) -> bool {
    let header =
        condition.header.iter().filter(|test| is_developers(&test.name.to_ascii_lowercase(), HEADER));
    let others = [&condition.cookie, &condition.query].into_iter().flatten();
    let others = others.filter(|test| is_developers(&test.name, PARAMETER));
    let has_value = |test: &NamedTest| {
        values(test).is_some_and(|values| !values.is_empty() && values.iter().all(|value| !value.is_empty()))
    };
    header.chain(others).any(has_value)
        || condition.all.iter().any(asks_for_a_value)
        || (!condition.any.is_empty() && condition.any.iter().all(asks_for_a_value))
}

fn is_developers(name: &str, base: &str) -> bool {
    name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The values of which a test wants one.
fn values(test: &NamedTest) -> Option<Vec<&str>> {
    match (&test.exact, &test.r#in) {
        (Some(exact), _) => Some(vec![exact]),
        (None, Some(several)) => Some(several.iter().map(String::as_str).collect()),
        (None, None) => None,
    }
}

/// Whether a request that one of these rules claims is surely claimed by one of the others too, or the other
/// way round. What cannot be told is no overlap: two values of one cookie, say.
pub(super) fn surely(ours: &[Rule], theirs: &[Rule]) -> bool {
    ours.iter().any(|one| theirs.iter().any(|other| same(one, other)))
}

fn same(one: &Rule, other: &Rule) -> bool {
    let (Some(one), Some(other)) = (&one.when, &other.when) else { return false };
    if one == other {
        return true;
    }
    // Where both only ask for values, one that asks for more claims nothing that the other does not.
    match (tokens(one), tokens(other)) {
        (Some(one), Some(other)) => one.is_subset(&other) || other.is_subset(&one),
        _ => false,
    }
}

/// What a condition asks for, if that is all that it says.
fn tokens(condition: &Condition) -> Option<BTreeSet<Token>> {
    let mut rest = condition.clone();
    let mut tokens = BTreeSet::new();
    for (kind, test) in
        [("cookie", rest.cookie.take()), ("header", rest.header.take()), ("query", rest.query.take())]
    {
        let Some(test) = test else { continue };
        let plain = NamedTest { name: test.name.clone(), exact: test.exact.clone(), ..NamedTest::default() };
        if plain != test {
            return None;
        }
        let name = if kind == "header" { test.name.to_ascii_lowercase() } else { test.name };
        tokens.insert((kind, name, test.exact?));
    }
    for part in std::mem::take(&mut rest.all) {
        tokens.extend(self::tokens(&part)?);
    }
    (rest == Condition::default()).then_some(tokens)
}
