//! Finds the first explicit rule that holds without trying them all: rules that name the values of one
//! thing are found by a look-up, the rest is tried in order.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::EdgeRule;
use crate::facts::Facts;
use crate::matcher::{self, Test};
use crate::order::order;
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
    claim: Box<str>,
    ignore_case: bool,
    /// A value and a rule that may hold for it, by value and then by place.
    entries: Vec<(Box<[u8]>, usize)>,
}

impl Index {
    pub(super) fn new(rules: &[EdgeRule]) -> Self {
        let mut columns: Vec<Column> = Vec::new();
        let mut others = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let Some(found) = rule.when.as_ref().and_then(|when| when.discriminators()) else {
                others.push(place);
                continue;
            };
            for (test, values) in found {
                let entries = values.sorted.iter().map(|value| (value.clone(), place));
                match columns.iter_mut().find(|column| column.looks_at(test, values.ignore_case)) {
                    Some(column) => column.entries.extend(entries),
                    None => columns.push(Column {
                        subject: test.subject,
                        name: test.name.clone(),
                        claim: test.claim.clone(),
                        ignore_case: values.ignore_case,
                        entries: entries.collect(),
                    }),
                }
            }
        }
        for column in &mut columns {
            column.sort();
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
        let mut consider = |places: &mut dyn Iterator<Item = usize>| {
            for place in places.take_while(|place| *place < best) {
                let holds = |rule: &EdgeRule| rule.when.as_ref().is_none_or(|when| when.holds(facts));
                if rules.get(place).is_some_and(|rule| live(rule) && holds(rule)) {
                    best = place;
                    return;
                }
            }
        };
        for column in &self.columns {
            match column.subject {
                Subject::HeaderClaim | Subject::CookieClaim => {
                    for claim in facts.claims(column.subject, &column.name, &column.claim) {
                        consider(&mut column.places(claim.as_bytes()));
                    }
                }
                subject => {
                    if let Some(value) = facts.value(subject, &column.name) {
                        consider(&mut column.places(&value));
                    }
                }
            }
        }
        consider(&mut self.others.iter().copied());
        rules.get(best)
    }
}

impl Column {
    fn looks_at(&self, test: &Test, ignore_case: bool) -> bool {
        self.subject == test.subject
            && self.name == test.name
            && self.claim == test.claim
            && self.ignore_case == ignore_case
    }

    /// Entries come by place, and those of one value stay so.
    fn sort(&mut self) {
        let value = |at: usize| self.entries.get(at).map_or(&[][..], |(value, _)| value);
        let compare = |left, right| matcher::compare(value(left), value(right), self.ignore_case);
        let order = order(self.entries.len(), &compare);
        let take = |at: usize| self.entries.get_mut(at).map(core::mem::take);
        self.entries = order.into_iter().filter_map(take).collect();
    }

    /// The rules that may hold for a value, first ones first.
    fn places<'i>(&'i self, value: &'i [u8]) -> impl Iterator<Item = usize> + use<'i> {
        let compared = |known: &[u8]| matcher::compare(known, value, self.ignore_case);
        let start = self.entries.partition_point(|(known, _)| compared(known).is_lt());
        let from = self.entries.get(start..).unwrap_or_default();
        from.iter().take_while(move |(known, _)| compared(known).is_eq()).map(|(_, place)| *place)
    }
}
