//! Conditions as people write them in a Lane document, and their translation to the wire.
//!
//! One meaning for repeats and absence, for every subject:
//!
//! - a header sent on several lines is one value, joined by `,` (as RFC 9110 and Envoy read it);
//! - of a repeated cookie or query parameter the first one counts;
//! - an absent value satisfies nothing but `exists: false`; so `not: {…exact…}` holds for it;
//! - a value that is not UTF-8 satisfies no `regex`, `glob` or `range`; the other operators compare bytes.
//!
//! Knows nothing of requests: evaluation is [`crate::matcher`]'s.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{CookieName, HeaderName};
use crate::problem::{Problems, Scope};
use crate::wire::{Op, Subject, WireCondition, WireTest};

/// How deep `all`, `any` and `not` may nest.
pub const NESTING_MAX: usize = 5;
/// Longest regular expression, in bytes.
pub const REGEX_BYTES_MAX: usize = 512;
/// Most values one `in` list may hold, over all of a lane.
pub const VALUES_MAX: usize = 10_000;

/// What a request must be like. All parts given must hold; at least one must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// A cookie's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<NamedTest>,
    /// A header's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<NamedTest>,
    /// A query parameter's value, percent-decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<NamedTest>,
    /// The path without its query, as the proxy forwards it.
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Condition>,
    /// At least one of these holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<Condition>,
    /// This does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Condition>>,
}

macro_rules! test_document {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* } ops { $($op:ident: $op_type:ty = $op_doc:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(JsonSchema))]
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
        glob: String = "The whole path matches: `*` within a segment, `**` across segments, `?` one character.",
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
    /// A test of a JWT claim. Exactly one operator; of a claim that is a list, one entry must pass.
    ClaimTest {
        /// The claim; a dot steps into an object, e.g. `realm.team`.
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

/// Inclusive bounds of a decimal integer; at least one must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
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
    /// A header; a leading `Bearer ` is skipped.
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
        if let Err(message) = check_operator(&test) {
            problems.add(&scope.key(key), message);
        }
        WireCondition::Test(test)
    }
}

fn check_operator(test: &WireTest) -> Result<(), String> {
    let first = test.values.first().map_or("", String::as_str);
    match test.op {
        Op::In | Op::Cidr if test.values.is_empty() => Err("the list is empty, so nothing can match".into()),
        Op::In if test.values.len() > VALUES_MAX => Err(format!("more than {VALUES_MAX} values")),
        Op::Prefix | Op::Suffix | Op::Contains if first.is_empty() => {
            Err("is empty and would match every value; to ask for presence say `exists: true`".into())
        }
        Op::Regex if first.len() > REGEX_BYTES_MAX => Err(format!("longer than {REGEX_BYTES_MAX} bytes")),
        Op::Range if test.min.is_none() && test.max.is_none() => Err("give `min`, `max` or both".into()),
        Op::Range if test.min.zip(test.max).is_some_and(|(min, max)| min > max) => {
            Err("`min` is greater than `max`, so nothing can match".into())
        }
        Op::Exists | Op::Absent | Op::Range if test.ignore_case => Ok(()),
        _ => crate::matcher::check(test),
    }
}

fn named(subject: Subject, name: &str, scope: &Scope, problems: &mut Problems) -> String {
    let checked = match subject {
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
