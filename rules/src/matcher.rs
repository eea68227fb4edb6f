//! Conditions ready to evaluate. Knows a request's facts; knows no lanes and no precedence.

#[cfg(feature = "documents")]
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::IpAddr;

use regex_lite::{Regex, RegexBuilder};

use crate::facts::Facts;
use crate::wire::{Op, Subject, WireCondition, WireTest};

/// Most memory one compiled regular expression may take, in bytes.
const REGEX_COMPILED_BYTES_MAX: usize = 256 * 1024;

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
    In { values: Box<[Box<[u8]>]>, ignore_case: bool },
    Prefix(Box<[u8]>, bool),
    Suffix(Box<[u8]>, bool),
    Contains(Box<[u8]>, bool),
    Regex(Regex),
    Glob(Box<[u8]>, bool),
    Exists,
    Absent,
    Range { min: i64, max: i64 },
    Cidr(Box<[Network]>),
}

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: u128,
    mask: u128,
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

    /// The test that must hold for this to hold and that names its values: what an index can look up.
    pub(crate) fn discriminator(&self) -> Option<(&Test, &[Box<[u8]>])> {
        match self {
            Self::Test(test) => match &test.check {
                Check::In { values, ignore_case: false } => Some((test, values)),
                _ => None,
            },
            Self::All(parts) => parts.iter().find_map(Self::discriminator),
            Self::Any(_) | Self::Not(_) => None,
        }
    }

    /// Whether anything in here looks at this subject.
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
        match self.subject {
            Subject::HeaderClaim | Subject::CookieClaim => {
                let claims = facts.claims(self.subject, &self.name, &self.claim);
                match self.check {
                    Check::Absent => claims.is_empty(),
                    _ => claims.iter().any(|claim| self.check.passes(Some(claim.as_bytes()))),
                }
            }
            _ => self.check.passes(facts.value(self.subject, &self.name).as_deref()),
        }
    }
}

impl Check {
    fn new(test: &WireTest) -> Result<Self, String> {
        let ignore_case = test.ignore_case;
        let first = test.values.first().map_or("", String::as_str);
        let bytes = || Box::<[u8]>::from(first.as_bytes());
        Ok(match test.op {
            Op::In => Self::In {
                values: test.values.iter().map(|value| value.as_bytes().into()).collect(),
                ignore_case,
            },
            Op::Prefix => Self::Prefix(bytes(), ignore_case),
            Op::Suffix => Self::Suffix(bytes(), ignore_case),
            Op::Contains => Self::Contains(bytes(), ignore_case),
            Op::Regex => Self::Regex(full_match(first, ignore_case)?),
            Op::Glob => Self::Glob(bytes(), ignore_case),
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
            Self::In { values, ignore_case } => values.iter().any(|wanted| same(value, wanted, *ignore_case)),
            Self::Prefix(wanted, fold) => {
                value.get(..wanted.len()).is_some_and(|start| same(start, wanted, *fold))
            }
            Self::Suffix(wanted, fold) => {
                let at = value.len().checked_sub(wanted.len());
                at.and_then(|at| value.get(at..)).is_some_and(|end| same(end, wanted, *fold))
            }
            Self::Contains(wanted, fold) => {
                value.windows(wanted.len().max(1)).any(|window| same(window, wanted, *fold))
            }
            Self::Regex(regex) => core::str::from_utf8(value).is_ok_and(|text| regex.is_match(text)),
            Self::Glob(pattern, fold) => core::str::from_utf8(value).is_ok() && glob(pattern, value, *fold),
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

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let wrong = || format!("`{text}` is not a network such as 10.0.0.0/8 or 2001:db8::/32");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length: u32 = match length {
            Some(length) if !length.starts_with('+') => length.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
            None => bits,
        };
        let free = bits.checked_sub(length).ok_or_else(wrong)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        let network = Self { address: mapped(address) & mask, mask };
        if network.address != mapped(address) {
            return Err(format!("`{text}` has address bits set beyond its length"));
        }
        Ok(network)
    }

    fn contains(self, address: IpAddr) -> bool {
        mapped(address) & self.mask == self.address
    }
}

/// One number line for both families: IPv4 as IPv4-mapped IPv6.
fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
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
    // Alone first, so that an unbalanced `)` cannot close the wrapper's group.
    Regex::new(pattern).map_err(|error| error.to_string())?;
    let mut builder = RegexBuilder::new(&format!(r"\A(?:{pattern})\z"));
    builder.case_insensitive(ignore_case).size_limit(REGEX_COMPILED_BYTES_MAX);
    builder.build().map_err(|error| error.to_string())
}

/// `*` any run without `/`, `**` any run, `?` one byte but `/`. At most quadratic in the value: only the
/// latest star of each kind is ever retried.
fn glob(pattern: &[u8], value: &[u8], ignore_case: bool) -> bool {
    let (mut p, mut v) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    let mut stars: Option<(usize, usize)> = None;
    loop {
        let byte = value.get(v).copied();
        match pattern.get(p).copied() {
            Some(b'*') if pattern.get(p.saturating_add(1)) == Some(&b'*') => {
                p = p.saturating_add(2);
                (stars, star) = (Some((p, v)), None);
                continue;
            }
            Some(b'*') => {
                p = p.saturating_add(1);
                star = Some((p, v));
                continue;
            }
            Some(wanted) => {
                if let Some(byte) = byte
                    && (same(&[wanted], &[byte], ignore_case) || (wanted == b'?' && byte != b'/'))
                {
                    (p, v) = (p.saturating_add(1), v.saturating_add(1));
                    continue;
                }
            }
            None if byte.is_none() => return true,
            None => {}
        }
        if let Some((after, from)) = star
            && value.get(from).is_some_and(|byte| *byte != b'/')
        {
            (p, v) = (after, from.saturating_add(1));
            star = Some((p, v));
        } else if let Some((after, from)) = stars
            && from < value.len()
        {
            (p, v) = (after, from.saturating_add(1));
            (stars, star) = (Some((p, v)), None);
        } else {
            return false;
        }
    }
}

impl core::fmt::Display for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let address = core::net::Ipv6Addr::from_bits(self.address);
        let length = self.mask.count_ones();
        match address.to_ipv4_mapped().zip(length.checked_sub(96)) {
            Some((address, length)) => write!(f, "{address}/{length}"),
            None => write!(f, "{address}/{length}"),
        }
    }
}

/// A value shown to people: at most 60 characters, bytes that are no text replaced.
#[cfg(feature = "documents")]
pub(crate) fn shown(value: &[u8]) -> Cow<'_, str> {
    const CHARS_MAX: usize = 60;
    let text = String::from_utf8_lossy(value);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text,
    }
}
