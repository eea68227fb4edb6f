//! Why a request gets the lane it gets, in words: the winner and what came close.
//!
//! Evaluates with the same matchers that decide; only the telling is here.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::edge::{Edge, EdgeDecision, EdgeRule, Reason};
use crate::facts::Facts;
use crate::matcher::{Check, Matcher, Test, Values, shown};
use crate::name::LaneName;
use crate::request::Headers;
use crate::wire::Subject;

/// Most rules listed as having come close.
pub const CLOSE_MAX: usize = 5;

/// What follows the reason where cookies are held back.
const HELD_BACK: &str =
    "; another site caused the request, so the user's cookies may be missing and none is set";

/// A decision and its reasons.
#[derive(Debug)]
pub struct Explanation<'c> {
    /// What was decided.
    pub decision: EdgeDecision<'c>,
    /// The rule that made it.
    pub rule: Option<RuleName<'c>>,
    /// The reason in words.
    pub reason: String,
    /// Rules that did not win, nearest first.
    pub close: Vec<Close<'c>>,
}

/// A rule as people refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName<'c> {
    /// Whose.
    pub lane: &'c LaneName,
    /// Its place in the lane's list, from 1.
    pub number: usize,
    /// What its author calls it; may be empty.
    pub name: &'c str,
    /// What it asks for.
    pub text: String,
}

/// A rule that did not win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close<'c> {
    /// Which.
    pub rule: RuleName<'c>,
    /// Why not.
    pub why: String,
}

impl Edge {
    /// Decides as [`Edge::decide`] does, and tells why.
    pub fn explain(
        &self,
        headers: &Headers<'_>,
        peer_address: Option<&[u8]>,
        now_unix_s: u64,
        entropy: impl FnMut() -> [u8; 16],
    ) -> Explanation<'_> {
        let decision = self.decide(headers, peer_address, now_unix_s, entropy);
        let facts = self.facts(headers, peer_address);
        let place = match decision.reason {
            Reason::Rule(place) | Reason::Share { rule: place, .. } => Some(place),
            Reason::SignedHeader | Reason::SignedLink | Reason::Assigned | Reason::Nothing => None,
        };
        let won = |rule: &EdgeRule| Some(rule.place) == place && self.lane_of(rule) == decision.lane;
        let winner = self.all_rules().find(|rule| won(rule));
        let rule = winner.and_then(|rule| self.rule_name(rule));
        let reason =
            self.reason(&decision, rule.as_ref(), winner.and_then(|rule| self.covers_user(rule, &facts)));
        let mut close: Vec<(u32, Close<'_>)> = Vec::new();
        for rule in self.all_rules().filter(|rule| !won(rule)) {
            let Some(name) = self.rule_name(rule) else { continue };
            let (score, why) = self.distance(rule, &facts, now_unix_s).unwrap_or_else(|| {
                (1, format!("holds too, but {}", self.what_beat(rule, winner, decision.reason)))
            });
            close.push((score, Close { rule: name, why }));
        }
        close.sort_by_key(|(score, _)| *score);
        close.truncate(CLOSE_MAX);
        let close = close.into_iter().map(|(_, close)| close).collect();
        Explanation { decision, rule, reason, close }
    }

    /// A lane's rules in words, explicit ones first.
    #[must_use]
    pub fn rule_texts(&self, lane: &LaneName) -> Vec<String> {
        self.all_rules().filter(|rule| self.lane_of(rule) == Some(lane)).map(rule_text).collect()
    }

    fn rule_name<'c>(&'c self, rule: &'c EdgeRule) -> Option<RuleName<'c>> {
        let lane = self.lane_of(rule)?;
        Some(RuleName { lane, number: rule.place.saturating_add(1), name: &rule.name, text: rule_text(rule) })
    }

    /// `user` is none where the request does not tell who its user is.
    fn reason(&self, decision: &EdgeDecision<'_>, rule: Option<&RuleName<'_>>, user: Option<bool>) -> String {
        let rule_text = || rule.map_or_else(String::new, RuleName::to_string);
        let mut reason = match decision.reason {
            Reason::SignedHeader => "the tag header is signed by one of our keys".into(),
            Reason::SignedLink => "the link is signed by one of our keys".into(),
            Reason::Rule(_) => rule_text(),
            Reason::Assigned => format!("cookie {} keeps the user in the lane", self.lane_cookie_name()),
            Reason::Share { rank, .. } => {
                let who = match user {
                    Some(_) => "this user",
                    None if decision.held_back => "an unknown user, who",
                    None => "a new user, who",
                };
                let from = percent(rank.saturating_add(1));
                format!("{} ({who} is in the lane from {from} % on)", rule_text())
            }
            Reason::Nothing if self.lanes().len() == 0 => "there are no lanes".into(),
            Reason::Nothing => "no rule matched".into(),
        };
        if decision.held_back {
            reason.push_str(HELD_BACK);
        }
        reason
    }

    /// Why a rule that holds did not win.
    fn what_beat(&self, rule: &EdgeRule, winner: Option<&EdgeRule>, reason: Reason) -> String {
        let ranks = winner.and_then(|winner| self.precedence(winner)).zip(self.precedence(rule));
        match (reason, ranks) {
            (Reason::SignedHeader | Reason::SignedLink, _) => "a signed tag comes first".into(),
            (Reason::Assigned, _) => "the user's cookie comes first".into(),
            (_, Some((first, this))) if first.class != this.class => {
                "explicit rules come before percentages".into()
            }
            (_, Some((first, this))) if first.lane == this.lane => {
                "an earlier rule of the lane does so".into()
            }
            (_, Some((first, this))) if first.priority != this.priority => {
                format!("lane {} has the higher priority", first.lane)
            }
            (_, Some((first, _))) => format!("lane {} comes first by name", first.lane),
            (_, None) => "its lane has none of this layer's users".into(),
        }
    }

    /// How far a rule is from holding (less is nearer), and why it does not; none when it holds.
    fn distance(&self, rule: &EdgeRule, facts: &Facts<'_>, now_unix_s: u64) -> Option<(u32, String)> {
        let misses = rule.when.as_ref().map_or_else(Vec::new, |when| misses(when, facts));
        if !misses.is_empty() {
            let total = rule.when.as_ref().map_or(0, |when| when.tests().count());
            let missed = misses.len();
            // A value that is there but different is nearer than one that is absent.
            let absent = misses.iter().filter(|miss| miss.absent).count();
            let score = 100_usize.saturating_mul(missed).saturating_add(absent.saturating_mul(50));
            let score = score.saturating_sub(total.saturating_sub(missed).saturating_mul(10));
            let texts: Vec<String> = misses.into_iter().map(|miss| miss.text).collect();
            return Some((u32::try_from(score.saturating_add(10)).unwrap_or(u32::MAX), texts.join("; ")));
        }
        if !self.is_live(rule, now_unix_s) {
            return Some((5, "the lane has expired".into()));
        }
        rule.share?;
        match self.covers_user(rule, facts) {
            Some(true) => None,
            Some(false) => Some((8, "this user is outside the percentage".into())),
            None => Some((9, "the request does not tell who its user is".into())),
        }
    }
}

impl core::fmt::Display for RuleName<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name {
            "" => write!(f, "rule {}: {}", self.number, self.text),
            name => write!(f, "rule {} ({name}): {}", self.number, self.text),
        }
    }
}

/// A test that failed.
struct Miss {
    text: String,
    absent: bool,
}

/// The tests whose failure keeps a condition from holding; empty when it holds.
fn misses(matcher: &Matcher, facts: &Facts<'_>) -> Vec<Miss> {
    if matcher.holds(facts) {
        return Vec::new();
    }
    match matcher {
        Matcher::All(parts) => parts.iter().flat_map(|part| misses(part, facts)).collect(),
        // The nearest branch is the one to mend.
        Matcher::Any(parts) => {
            parts.iter().map(|part| misses(part, facts)).min_by_key(Vec::len).unwrap_or_default()
        }
        Matcher::Not(part) => alloc::vec![Miss { text: format!("{} holds", text(part)), absent: false }],
        Matcher::Test(test) => {
            let seen = seen(test, facts);
            let place = subject(test);
            let text = match &seen {
                Some(value) => format!("{place} is `{}`, wanted {}", shown(value), wanted(&test.check)),
                None => format!("{place} is absent, wanted {}", wanted(&test.check)),
            };
            alloc::vec![Miss { text, absent: seen.is_none() }]
        }
    }
}

fn seen(test: &Test, facts: &Facts<'_>) -> Option<Vec<u8>> {
    match test.subject {
        Subject::HeaderClaim | Subject::CookieClaim => {
            let claims = facts.claims(test.subject, &test.name, &test.claim);
            (!claims.is_empty()).then(|| claims.join(", ").into_bytes())
        }
        subject => facts.value(subject, &test.name).map(|value| value.into_owned()),
    }
}

fn rule_text(rule: &EdgeRule) -> String {
    let share = rule.share.map(|share| format!("{} % of users", percent(share)));
    match (share, rule.when.as_ref().map(text)) {
        (Some(share), Some(when)) => format!("{share} with {when}"),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => "every request".into(),
    }
}

fn text(matcher: &Matcher) -> String {
    let joined = |parts: &[Matcher], word: &str| {
        let parts: Vec<String> = parts.iter().map(text).collect();
        if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(word)) }
    };
    match matcher {
        Matcher::All(parts) => joined(parts, " and "),
        Matcher::Any(parts) => joined(parts, " or "),
        Matcher::Not(part) => format!("not {}", text(part)),
        Matcher::Test(test) => match &test.check {
            Check::In(values) if values.sorted.len() == 1 => {
                let value = values.sorted.first().map_or("".into(), |value| shown(value));
                format!("{} = {value}", subject(test))
            }
            check => format!("{} {}", subject(test), wanted(check)),
        },
    }
}

fn subject(test: &Test) -> String {
    match test.subject {
        Subject::Cookie => format!("cookie {}", test.name),
        Subject::Header => format!("header {}", test.name),
        Subject::Query => format!("query parameter {}", test.name),
        Subject::Path => "path".into(),
        Subject::Method => "method".into(),
        Subject::Host => "host".into(),
        Subject::Client => "client address".into(),
        Subject::HeaderClaim => format!("claim {} (token in header {})", test.claim, test.name),
        Subject::CookieClaim => format!("claim {} (token in cookie {})", test.claim, test.name),
    }
}

fn wanted(check: &Check) -> String {
    const VALUES_SHOWN: usize = 3;
    match check {
        Check::In(Values { sorted: values, .. }) => {
            let mut texts: Vec<String> =
                values.iter().take(VALUES_SHOWN).map(|value| format!("`{}`", shown(value))).collect();
            if values.len() > VALUES_SHOWN {
                texts.push(format!("… {} more", values.len().saturating_sub(VALUES_SHOWN)));
            }
            if values.len() == 1 { texts.concat() } else { format!("one of {}", texts.join(", ")) }
        }
        Check::Prefix(value, _) => format!("starting with `{}`", shown(value)),
        Check::Suffix(value, _) => format!("ending with `{}`", shown(value)),
        Check::Contains(value, _) => format!("containing `{}`", shown(value)),
        Check::Regex(regex) => format!("matching /{}/", pattern(regex.as_str())),
        Check::Glob(glob) => format!("matching `{}`", glob.as_str()),
        Check::Exists => "present".into(),
        Check::Absent => "absent".into(),
        Check::Range { min: i64::MIN, max } => format!("at most {max}"),
        Check::Range { min, max: i64::MAX } => format!("at least {min}"),
        Check::Range { min, max } => format!("from {min} to {max}"),
        Check::Cidr(networks) => {
            let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
            format!("within {}", texts.join(", "))
        }
    }
}

/// The pattern as its author wrote it.
fn pattern(compiled: &str) -> &str {
    compiled.strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z")).unwrap_or(compiled)
}

/// Hundredths of a percent as people write them.
fn percent(hundredths: u16) -> String {
    let (whole, rest) = (hundredths.div_euclid(100), hundredths.rem_euclid(100));
    match rest {
        0 => whole.to_string(),
        rest => format!("{whole}.{rest:02}").trim_end_matches('0').to_string(),
    }
}
