//! Finds the first explicit rule that holds without trying them all: rules that name the values of one
//! thing are found by a look-up, the rest is tried in order.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::EdgeRule;
use crate::facts::Facts;
use crate::wire::Subject;

/// Rules by place in the precedence order.
#[derive(Debug)]
pub(super) struct Index {
    columns: Box<[Column]>,
    /// Rules that no column finds.
    others: Box<[usize]>,
}

/// Rules that test one cookie, header, … for given values.
#[derive(Debug)]
struct Column {
    subject: Subject,
    name: Box<str>,
    rules: BTreeMap<Box<[u8]>, Vec<usize>>,
}

impl Index {
    pub(super) fn new(rules: &[EdgeRule]) -> Self {
        let mut columns: Vec<Column> = Vec::new();
        let mut others = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let found = rule.when.as_ref().and_then(|when| when.discriminator());
            let indexable = found
                .filter(|(test, _)| !matches!(test.subject, Subject::HeaderClaim | Subject::CookieClaim));
            let Some((test, values)) = indexable else {
                others.push(place);
                continue;
            };
            let same = |column: &Column| column.subject == test.subject && column.name == test.name;
            let at = columns.iter().position(same).unwrap_or_else(|| {
                let (subject, name) = (test.subject, test.name.clone());
                columns.push(Column { subject, name, rules: BTreeMap::new() });
                columns.len().saturating_sub(1)
            });
            if let Some(column) = columns.get_mut(at) {
                for value in values {
                    column.rules.entry(value.clone()).or_default().push(place);
                }
            }
        }
        Self { columns: columns.into(), others: others.into() }
    }

    /// The first of `rules` that holds and is `live`.
    pub(super) fn first<'r>(
        &self,
        rules: &'r [EdgeRule],
        facts: &Facts<'_>,
        live: impl Fn(&EdgeRule) -> bool,
    ) -> Option<&'r EdgeRule> {
        let mut best = usize::MAX;
        let mut consider = |places: &[usize]| {
            for place in places.iter().take_while(|place| **place < best) {
                let holds = |rule: &EdgeRule| rule.when.as_ref().is_none_or(|when| when.holds(facts));
                if rules.get(*place).is_some_and(|rule| live(rule) && holds(rule)) {
                    best = *place;
                    return;
                }
            }
        };
        for column in &self.columns {
            if let Some(value) = facts.value(column.subject, &column.name)
                && let Some(places) = column.rules.get(value.as_ref())
            {
                consider(places);
            }
        }
        consider(&self.others);
        rules.get(best)
    }
}
