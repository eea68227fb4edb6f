//! Conditions as people write them in a Lane document, and their translation to the wire.
//!
//! One meaning for repeats and absence, for every subject:
//!
//! - a header sent on several lines is one value, joined by `,` (as RFC 9110 and Envoy read it);
//! - of a repeated cookie or query parameter the first one counts;
//! - an absent value satisfies nothing but `exists: false`; so `not: {…exact…}` holds for it;
//! - a value that is not UTF-8 satisfies no `regex`, `glob` or `range`; the other operators compare bytes;
//! - a value longer than 8 KiB satisfies no `regex`.
//!
//! Knows nothing of requests: evaluation is [`crate::matcher`]'s.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::name::{CookieName, HeaderName};
use crate::problem::{Problems, Scope};
use crate::wire::{Op, Subject, WireCondition, WireTest};

/// How deep `all`, `any` and `not` may nest.
pub const NESTING_MAX: usize = 5;
/// Longest regular expression, in bytes.
pub const REGEX_BYTES_MAX: usize = 512;
/// Most values in one list.
pub const VALUES_MAX: usize = 10_000;

/// What a request must be like. All parts given must hold; at least one must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(extend("minProperties" = 1)))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// A cookie's value; of a repeated cookie the first one. Quotes around a value belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<NamedTest>,
    /// A header's value; several lines are one value, joined by `,`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<NamedTest>,
    /// A query parameter's value, percent-decoded; of a repeated parameter the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<NamedTest>,
    /// The path without its query, as the proxy forwards it; nothing in it is decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathTest>,
    /// The method; upper case as in HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<MethodTest>,
    /// The host without its port; case never matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostTest>,
    /// The client's address, past the trusted proxies in front of the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientTest>,
    /// A claim of a JWT that the mesh has verified. Nothing here verifies its signature: without a
    /// RequestAuthentication in front, anyone can write any claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimTest>,
    /// Every one of these holds.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub all: Vec<Condition>,
    /// At least one of these holds.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub any: Vec<Condition>,
    /// This does not hold. An absent value passes no test but `exists: false`, so `not` holds for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Condition>>,
}

/// A list that is not empty: `any: []` would hold for nothing, and `all: []` for everything.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() { Err(D::Error::custom("the list of conditions is empty")) } else { Ok(list) }
}

macro_rules! test_document {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* } ops { $($op:ident: $op_type:ty = $op_doc:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(JsonSchema), schemars(transform = crate::schema::one_operator))]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $(#[doc = $op_doc] #[serde(default, skip_serializing_if = "Option::is_none")] pub $op: Option<$op_type>,)*
        }

        impl $name {
            fn operators(&self) -> Operators {
                Operators { $($op: self.$op.clone(),)* ..Operators::default() }
            }
        }
    };
}

test_document!(
    /// A test of a named value: of a cookie, a header or a query parameter. Exactly one operator.
    NamedTest {
        /// The name; a header's in any case.
        name: String,
    } ops {
        exact: String = "Equal to this.",
        r#in: Vec<String> = "Equal to one of these.",
        prefix: String = "Starts with this.",
        suffix: String = "Ends with this.",
        contains: String = "Contains this.",
        regex: String = "The whole value matches this regular expression; linear time, no back-references.",
        exists: bool = "Present (`true`) or absent (`false`).",
        range: Range = "A decimal integer within these bounds.",
        ignore_case: bool = "Compare without regard to ASCII case.",
    }
);

test_document!(
    /// A test of the path. Exactly one operator.
    PathTest {} ops {
        exact: String = "Equal to this.",
        r#in: Vec<String> = "Equal to one of these.",
        prefix: String = "Starts with this.",
        suffix: String = "Ends with this.",
        contains: String = "Contains this.",
        regex: String = "The whole path matches this regular expression; linear time, no back-references.",
        glob: String = "The whole path matches: `*` within a segment, `**` across segments, `**/` any number of segments, `?` one character.",
        ignore_case: bool = "Compare without regard to ASCII case.",
    }
);

test_document!(
    /// A test of the method. Exactly one operator.
    MethodTest {} ops {
        exact: String = "Equal to this.",
        r#in: Vec<String> = "Equal to one of these.",
    }
);

test_document!(
    /// A test of the host. Exactly one operator; case never matters.
    HostTest {} ops {
        exact: String = "Equal to this.",
        r#in: Vec<String> = "Equal to one of these.",
        prefix: String = "Starts with this.",
        suffix: String = "Ends with this.",
        contains: String = "Contains this.",
        regex: String = "The whole host matches this regular expression; linear time, no back-references.",
    }
);

test_document!(
    /// A test of the client's address.
    ClientTest {} ops {
        cidr: Vec<String> = "Within one of these networks, e.g. `10.0.0.0/8`, `2001:db8::/32`, or one address.",
    }
);

test_document!(
    /// A test of a JWT claim. Exactly one operator; of a claim that is a list, one entry must pass. `null`,
    /// objects and empty lists count as absent.
    ClaimTest {
        /// The claim; where no claim has the whole name, a dot steps into an object, e.g. `realm.team`.
        name: String,
        /// Where the token is. Default: the bearer token of `authorization`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<ClaimSource>,
    } ops {
        exact: String = "Equal to this.",
        r#in: Vec<String> = "Equal to one of these.",
        prefix: String = "Starts with this.",
        suffix: String = "Ends with this.",
        contains: String = "Contains this.",
        regex: String = "The whole value matches this regular expression; linear time, no back-references.",
        exists: bool = "Present (`true`) or absent (`false`).",
        range: Range = "A decimal integer within these bounds.",
        ignore_case: bool = "Compare without regard to ASCII case.",
    }
);

/// Inclusive bounds of a decimal integer of at most 64 bits; at least one must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(extend("minProperties" = 1)))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    /// At least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// At most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

/// Where a JWT is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ClaimSource {
    /// A header that is sent once; a leading `Bearer ` is skipped, and must be there in `authorization`.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// The operators of a test, whatever its subject.
#[derive(Default)]
struct Operators {
    exact: Option<String>,
    r#in: Option<Vec<String>>,
    prefix: Option<String>,
    suffix: Option<String>,
    contains: Option<String>,
    regex: Option<String>,
    glob: Option<String>,
    exists: Option<bool>,
    range: Option<Range>,
    cidr: Option<Vec<String>>,
    ignore_case: Option<bool>,
}

impl Condition {
    /// The condition on the wire; what is wrong with it goes to `problems`, under `scope`.
    pub(crate) fn to_wire(&self, scope: &Scope, problems: &mut Problems) -> WireCondition {
        self.at_depth(0, scope, problems)
    }

    fn at_depth(&self, depth: usize, scope: &Scope, problems: &mut Problems) -> WireCondition {
        let mut parts = Vec::new();
        if depth > NESTING_MAX {
            problems.add(scope, format!("conditions nest deeper than {NESTING_MAX} levels"));
            return WireCondition::All(parts);
        }
        for (key, test, subject) in [
            ("cookie", &self.cookie, Subject::Cookie),
            ("header", &self.header, Subject::Header),
            ("query", &self.query, Subject::Query),
        ] {
            if let Some(test) = test {
                let scope = scope.key(key);
                let name = named(subject, &test.name, &scope, problems);
                parts.push(test.operators().to_wire(subject, name, &scope, problems));
            }
        }
        if let Some(test) = &self.path {
            parts.push(test.operators().to_wire(Subject::Path, String::new(), &scope.key("path"), problems));
        }
        if let Some(test) = &self.method {
            parts.push(test.operators().to_wire(
                Subject::Method,
                String::new(),
                &scope.key("method"),
                problems,
            ));
        }
        if let Some(test) = &self.host {
            let mut operators = test.operators();
            operators.ignore_case = Some(true);
            parts.push(operators.to_wire(Subject::Host, String::new(), &scope.key("host"), problems));
        }
        if let Some(test) = &self.client {
            parts.push(test.operators().to_wire(
                Subject::Client,
                String::new(),
                &scope.key("client"),
                problems,
            ));
        }
        if let Some(test) = &self.claim {
            let scope = scope.key("claim");
            let (subject, place) = match &test.from {
                None => (Subject::HeaderClaim, "authorization".to_string()),
                Some(ClaimSource::Header(name)) => {
                    (Subject::HeaderClaim, named(Subject::Header, name, &scope.key("from"), problems))
                }
                Some(ClaimSource::Cookie(name)) => {
                    (Subject::CookieClaim, named(Subject::Cookie, name, &scope.key("from"), problems))
                }
            };
            if test.name.is_empty() {
                problems.add(&scope, "the claim's name is empty");
            }
            let wire = test.operators().to_wire(subject, place, &scope, problems);
            parts.push(match wire {
                WireCondition::Test(test_wire) => {
                    WireCondition::Test(WireTest { claim: test.name.clone(), ..test_wire })
                }
                other => other,
            });
        }
        for (index, condition) in self.all.iter().enumerate() {
            parts.push(condition.at_depth(depth.saturating_add(1), &scope.key("all").index(index), problems));
        }
        if !self.any.is_empty() {
            let scope = scope.key("any");
            let any = self.any.iter().enumerate();
            let any = any.map(|(index, condition)| {
                condition.at_depth(depth.saturating_add(1), &scope.index(index), problems)
            });
            parts.push(WireCondition::Any(any.collect()));
        }
        if let Some(condition) = &self.not {
            let inner = condition.at_depth(depth.saturating_add(1), &scope.key("not"), problems);
            parts.push(WireCondition::Not(Box::new(inner)));
        }
        match parts.len() {
            0 => {
                problems.add(scope, "the condition is empty: give at least one of cookie, header, query, path, method, host, client, claim, all, any, not");
                WireCondition::All(parts)
            }
            1 => parts.remove(0),
            _ => WireCondition::All(parts),
        }
    }
}

impl Operators {
    fn to_wire(
        &self,
        subject: Subject,
        name: String,
        scope: &Scope,
        problems: &mut Problems,
    ) -> WireCondition {
        let mut found: Vec<(&'static str, Op, Vec<String>)> = Vec::new();
        let mut text = |key, op, value: &Option<String>| {
            if let Some(value) = value {
                found.push((key, op, vec![value.clone()]));
            }
        };
        text("exact", Op::In, &self.exact);
        text("prefix", Op::Prefix, &self.prefix);
        text("suffix", Op::Suffix, &self.suffix);
        text("contains", Op::Contains, &self.contains);
        text("regex", Op::Regex, &self.regex);
        text("glob", Op::Glob, &self.glob);
        if let Some(values) = &self.r#in {
            found.push(("in", Op::In, values.clone()));
        }
        if let Some(networks) = &self.cidr {
            found.push(("cidr", Op::Cidr, networks.clone()));
        }
        if let Some(exists) = self.exists {
            found.push(("exists", if exists { Op::Exists } else { Op::Absent }, Vec::new()));
        }
        if self.range.is_some() {
            found.push(("range", Op::Range, Vec::new()));
        }
        if found.len() > 1 {
            let keys: Vec<&str> = found.iter().map(|(key, ..)| *key).collect();
            problems.add(scope, format!("{} are given, but a test takes one operator", keys.join(" and ")));
        }
        let Some((key, op, values)) = found.into_iter().next() else {
            problems.add(scope, "no operator is given, e.g. `exact`");
            return WireCondition::All(Vec::new());
        };
        let range = self.range.clone().unwrap_or_default();
        let test = WireTest {
            subject,
            name,
            op,
            values,
            ignore_case: self.ignore_case.unwrap_or(false),
            min: range.min,
            max: range.max,
            claim: String::new(),
        };
        let compares = !matches!(op, Op::Exists | Op::Absent | Op::Range | Op::Cidr);
        if self.ignore_case.is_some() && !compares {
            problems.add(&scope.key("ignoreCase"), format!("`{key}` knows no case"));
        }
        let scope = scope.key(key);
        if let Err(message) = check_operator(&test) {
            problems.add(&scope, message);
        } else {
            let mut alone = test.clone();
            for (index, value) in test.values.iter().enumerate() {
                alone.values = vec![value.clone()];
                let scope = if matches!(op, Op::In | Op::Cidr) { scope.index(index) } else { scope.clone() };
                if let Err(message) = check_value(&alone, value) {
                    problems.add(&scope, message);
                }
            }
        }
        WireCondition::Test(test)
    }
}

fn check_operator(test: &WireTest) -> Result<(), String> {
    let first = test.values.first().map_or("", String::as_str);
    match test.op {
        Op::In | Op::Cidr if test.values.is_empty() => Err("the list is empty, so nothing can match".into()),
        Op::In | Op::Cidr if test.values.len() > VALUES_MAX => Err(format!("more than {VALUES_MAX} values")),
        Op::Prefix | Op::Suffix | Op::Contains | Op::Glob | Op::Regex if first.is_empty() => {
            Err("is empty; to ask for presence say `exists: true`".into())
        }
        Op::Regex if first.len() > REGEX_BYTES_MAX => Err(format!("longer than {REGEX_BYTES_MAX} bytes")),
        Op::Range if test.min.is_none() && test.max.is_none() => Err("give `min`, `max` or both".into()),
        Op::Range if test.min.zip(test.max).is_some_and(|(min, max)| min > max) => {
            Err("`min` is greater than `max`, so nothing can match".into())
        }
        _ => Ok(()),
    }
}

/// Refuses values that do not compile, and those that no request can have, for how their subject is written.
fn check_value(test: &WireTest, value: &str) -> Result<(), String> {
    let starts = matches!(test.op, Op::In | Op::Prefix | Op::Glob);
    let is_part = matches!(test.op, Op::In | Op::Prefix | Op::Suffix | Op::Contains);
    match test.subject {
        Subject::Path if is_part && value.contains('?') => {
            Err(format!("`{value}` holds a query, but the path is compared without: use `query`"))
        }
        Subject::Path if starts && !value.starts_with(['/', '*']) => {
            Err(format!("`{value}` does not begin with `/`, as every path does"))
        }
        Subject::Method if value.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Err(format!("`{value}`: methods are upper case, `{}`", value.to_ascii_uppercase()))
        }
        Subject::Host if is_part && value.contains('*') => {
            Err(format!("`{value}`: `*` stands for itself; for all hosts below one use `suffix`"))
        }
        Subject::Host if is_part && (value.contains('/') || has_port(value)) => {
            Err(format!("`{value}` is more than a host: give it without scheme, port and path"))
        }
        _ => crate::matcher::check(test),
    }
}

fn has_port(host: &str) -> bool {
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    // Without brackets, an IPv6 address is no host.
    host.rsplit_once(':')
        .is_some_and(|(name, port)| digits(port) && (name.ends_with(']') || !name.contains(':')))
}

fn named(subject: Subject, name: &str, scope: &Scope, problems: &mut Problems) -> String {
    let checked = match subject {
        Subject::Header if name.eq_ignore_ascii_case("host") => {
            problems.add(&scope.key("name"), "proxies show this header as the host: use `host`");
            return String::new();
        }
        Subject::Header => HeaderName::new(name).map(|name| name.as_str().to_string()),
        Subject::Cookie => CookieName::new(name).map(|name| name.as_str().to_string()),
        _ if name.is_empty() => {
            problems.add(scope, "the name is empty");
            return String::new();
        }
        _ => return name.to_string(),
    };
    checked.unwrap_or_else(|error| {
        problems.add(&scope.key("name"), error.to_string());
        String::new()
    })
}
