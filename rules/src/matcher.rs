//! Conditions ready to evaluate. Knows a request's facts; knows no lanes and no precedence.

mod glob;
mod network;

#[cfg(feature = "explain")]
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::IpAddr;

use regex_lite::{Regex, RegexBuilder};

use crate::bytes;
use crate::facts::Facts;
use crate::order::order;
use crate::wire::{Op, Subject, WireCondition, WireTest};
use glob::Glob;
use network::Network;

/// Most memory one compiled regular expression may take, in bytes. Matching takes time in proportion to
/// this and to the value.
const REGEX_COMPILED_BYTES_MAX: usize = 64 * 1024;
/// Longest value that a regular expression is tried on, in bytes: a client chooses it, and all other
/// requests of the worker wait for the answer.
const REGEX_VALUE_BYTES_MAX: usize = 8 * 1024;

/// A condition ready to evaluate.
#[derive(Debug)]
pub(crate) enum Matcher {
    All(Box<[Matcher]>),
    Any(Box<[Matcher]>),
    Not(Box<Matcher>),
    Test(Test),
}

/// One value and what it must pass.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) subject: Subject,
    pub(crate) name: Box<str>,
    pub(crate) claim: Box<str>,
    pub(crate) check: Check,
}

#[derive(Debug)]
pub(crate) enum Check {
    In(Values),
    Prefix(Box<[u8]>, bool),
    Suffix(Box<[u8]>, bool),
    Contains(Box<[u8]>, bool),
    Regex(Regex),
    Glob(Glob),
    Exists,
    Absent,
    Range { min: i64, max: i64 },
    Cidr(Box<[Network]>),
}

/// Values to be equal to, in the order of their comparison.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) sorted: Box<[Box<[u8]>]>,
    pub(crate) ignore_case: bool,
}

/// Whether a test's arguments compile.
#[cfg(feature = "documents")]
pub(crate) fn check(test: &WireTest) -> Result<(), String> {
    Check::new(test).map(drop)
}

impl Matcher {
    pub(crate) fn new(condition: &WireCondition) -> Result<Self, String> {
        let each = |parts: &[WireCondition]| parts.iter().map(Self::new).collect::<Result<Box<[_]>, _>>();
        Ok(match condition {
            WireCondition::All(parts) => Self::All(each(parts)?),
            WireCondition::Any(parts) => Self::Any(each(parts)?),
            WireCondition::Not(part) => Self::Not(Box::new(Self::new(part)?)),
            WireCondition::Test(test) => Self::Test(Test {
                subject: test.subject,
                name: test.name.as_str().into(),
                claim: test.claim.as_str().into(),
                check: Check::new(test)?,
            }),
        })
    }

    pub(crate) fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(facts)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            Self::Not(part) => !part.holds(facts),
            Self::Test(test) => test.holds(facts),
        }
    }

    /// Tests of which one must hold for this to hold, each naming its values: what an index can look up.
    pub(crate) fn discriminators(&self) -> Option<Vec<(&Test, &Values)>> {
        match self {
            Self::Test(test) => match &test.check {
                Check::In(values) => Some(alloc::vec![(test, values)]),
                _ => None,
            },
            Self::All(parts) => parts.iter().find_map(Self::discriminators),
            Self::Any(parts) => {
                let each: Option<Vec<_>> = parts.iter().map(Self::discriminators).collect();
                each.map(|each| each.concat())
            }
            Self::Not(_) => None,
        }
    }

    /// Every test in here.
    pub(crate) fn tests(&self) -> Box<dyn Iterator<Item = &Test> + '_> {
        match self {
            Self::All(parts) | Self::Any(parts) => Box::new(parts.iter().flat_map(Self::tests)),
            Self::Not(part) => part.tests(),
            Self::Test(test) => Box::new(core::iter::once(test)),
        }
    }
}

impl Test {
    pub(crate) fn holds(&self, facts: &Facts<'_>) -> bool {
        match (self.subject, &self.check) {
            (Subject::HeaderClaim | Subject::CookieClaim, check) => {
                let claims = facts.claims(self.subject, &self.name, &self.claim);
                match check {
                    Check::Absent => claims.is_empty(),
                    _ => claims.iter().any(|claim| check.passes(Some(claim.as_bytes()))),
                }
            }
            (Subject::Client, Check::Cidr(networks)) => {
                facts.client().is_some_and(|client| networks.iter().any(|network| network.contains(client)))
            }
            (subject, check) => check.passes(facts.value(subject, &self.name).as_deref()),
        }
    }
}

impl Check {
    fn new(test: &WireTest) -> Result<Self, String> {
        let ignore_case = test.ignore_case;
        let first = test.values.first().map_or("", String::as_str);
        let bytes = || Box::<[u8]>::from(first.as_bytes());
        Ok(match test.op {
            Op::In => Self::In(Values::new(&test.values, ignore_case)),
            Op::Prefix => Self::Prefix(bytes(), ignore_case),
            Op::Suffix => Self::Suffix(bytes(), ignore_case),
            Op::Contains => Self::Contains(bytes(), ignore_case),
            Op::Regex => Self::Regex(full_match(first, ignore_case)?),
            Op::Glob => Self::Glob(Glob::new(first, ignore_case)?),
            Op::Exists => Self::Exists,
            Op::Absent => Self::Absent,
            Op::Range => Self::Range { min: test.min.unwrap_or(i64::MIN), max: test.max.unwrap_or(i64::MAX) },
            Op::Cidr => {
                Self::Cidr(test.values.iter().map(|text| Network::parse(text)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn passes(&self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else {
            return matches!(self, Self::Absent);
        };
        match self {
            Self::In(values) => values.contain(value),
            Self::Prefix(wanted, fold) => {
                value.get(..wanted.len()).is_some_and(|start| same(start, wanted, *fold))
            }
            Self::Suffix(wanted, fold) => {
                let at = value.len().checked_sub(wanted.len());
                at.and_then(|at| value.get(at..)).is_some_and(|end| same(end, wanted, *fold))
            }
            Self::Contains(wanted, fold) => contains(value, wanted, *fold),
            Self::Regex(regex) => {
                let text = core::str::from_utf8(value).ok();
                text.is_some_and(|text| text.len() <= REGEX_VALUE_BYTES_MAX && regex.is_match(text))
            }
            Self::Glob(glob) => glob.matches(value),
            Self::Exists => true,
            Self::Absent => false,
            Self::Range { min, max } => decimal(value).is_some_and(|number| (*min..=*max).contains(&number)),
            Self::Cidr(networks) => {
                let address = core::str::from_utf8(value).ok().and_then(|text| text.parse::<IpAddr>().ok());
                address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
            }
        }
    }
}

impl Values {
    fn new(values: &[String], ignore_case: bool) -> Self {
        let value = |at: usize| values.get(at).map_or(&[][..], |value| value.as_bytes());
        let order = order(values.len(), &|left, right| compare(value(left), value(right), ignore_case));
        let mut sorted: Vec<Box<[u8]>> = Vec::with_capacity(values.len());
        for value in order.into_iter().map(value) {
            if !sorted.last().is_some_and(|last| same(last, value, ignore_case)) {
                sorted.push(value.into());
            }
        }
        Self { sorted: sorted.into(), ignore_case }
    }

    fn contain(&self, value: &[u8]) -> bool {
        self.sorted.binary_search_by(|known| compare(known, value, self.ignore_case)).is_ok()
    }
}

/// The order of values, in which those that are the same stand at one place.
pub(crate) fn compare(left: &[u8], right: &[u8], ignore_case: bool) -> Ordering {
    if !ignore_case {
        return left.cmp(right);
    }
    left.iter().map(u8::to_ascii_lowercase).cmp(right.iter().map(u8::to_ascii_lowercase))
}

/// Whether a value has this somewhere in it. Tries the rest only where the first byte is found: most often it is nowhere.
pub(crate) fn contains(value: &[u8], wanted: &[u8], ignore_case: bool) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return true };
    let Some(last_start) = value.len().checked_sub(wanted.len()) else { return false };
    let starts = value.get(..=last_start).unwrap_or_default();
    let is_at = |at: usize| {
        let tail = value.get(at.saturating_add(1)..).unwrap_or_default();
        tail.get(..rest.len()).is_some_and(|tail| same(tail, rest, ignore_case))
    };
    if ignore_case {
        let places = starts.iter().enumerate().filter(|(_, byte)| byte.eq_ignore_ascii_case(first));
        return places.map(|(at, _)| at).any(is_at);
    }
    let mut from = 0_usize;
    while let Some(at) = starts.get(from..).and_then(|starts| bytes::find(starts, *first)) {
        let at = from.saturating_add(at);
        if is_at(at) {
            return true;
        }
        from = at.saturating_add(1);
    }
    false
}

fn same(left: &[u8], right: &[u8], ignore_case: bool) -> bool {
    if ignore_case { left.eq_ignore_ascii_case(right) } else { left == right }
}

fn decimal(value: &[u8]) -> Option<i64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// Compiles for a match of the whole value: an alternation must not match a part of it.
fn full_match(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    let compiled = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.case_insensitive(ignore_case).size_limit(REGEX_COMPILED_BYTES_MAX);
        builder.build().map_err(|error| error.to_string())
    };
    // Alone first, so that an unbalanced `)` cannot close the wrapper's group.
    compiled(pattern)?;
    compiled(&format!(r"\A(?:{pattern})\z"))
}

/// A value shown to people: at most 60 characters, bytes that are no text replaced, and nothing in it that
/// a terminal would act on.
#[cfg(feature = "explain")]
pub(crate) fn shown(value: &[u8]) -> Cow<'_, str> {
    const CHARS_MAX: usize = 60;
    let text = String::from_utf8_lossy(value);
    if text.chars().nth(CHARS_MAX).is_none() && !text.contains(char::is_control) {
        return text;
    }
    let mut shown = String::new();
    for (count, char) in text.chars().enumerate() {
        match char {
            _ if count >= CHARS_MAX => {
                shown.push('…');
                break;
            }
            char if char.is_control() => shown.extend(char.escape_default()),
            char => shown.push(char),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{contains, same};

    proptest! {
        #[test]
        fn a_part_is_found_wherever_it_is(
            value in "[abAB-]{0,12}",
            wanted in "[abAB-]{0,4}",
            ignore_case in any::<bool>(),
        ) {
            let (value, wanted) = (value.as_bytes(), wanted.as_bytes());
            let is_there = wanted.is_empty() || value.windows(wanted.len()).any(|part| same(part, wanted, ignore_case));
            prop_assert_eq!(contains(value, wanted, ignore_case), is_there);
        }
    }
}
