//! Validated names: lanes, headers, cookies, baggage keys. Past these types no bare string travels.

use alloc::{boxed::Box, string::String};
use core::fmt;
use core::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

/// Longest lane name, in bytes: it is also a Kubernetes label value.
pub const LANE_NAME_BYTES_MAX: usize = 63;
/// Longest header, cookie or baggage key, in bytes.
pub const TOKEN_BYTES_MAX: usize = 128;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("{kind} is empty")]
    Empty {
        /// What the name is for.
        kind: &'static str,
    },
    /// Longer than its limit.
    #[error("{kind} `{name}` is longer than {max} bytes")]
    TooLong {
        /// What the name is for.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The limit in bytes.
        max: usize,
    },
    /// Holds a character that is not allowed there.
    #[error("{kind} `{name}` {rule}")]
    BadCharacter {
        /// What the name is for.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A name that means something else.
    #[error("`{name}` is not a lane: it names everything outside lanes")]
    Reserved {
        /// The name as given.
        name: String,
    },
}

/// A lane's number on the wire: in a minted request id and in the correlation map.
///
/// 0 is the baseline; 0xFFFF never names a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneCode(pub u16);

impl LaneCode {
    /// Everything outside lanes.
    pub const BASELINE: Self = Self(0);

    /// Whether this is the baseline's code.
    #[must_use]
    pub fn is_baseline(self) -> bool {
        self == Self::BASELINE
    }
}

/// A name written in this crate's source. One that is no lower-case token does not compile, so using it
/// cannot fail.
macro_rules! constant {
    ($name:ident, $text:literal) => {{
        const { assert!($crate::name::is_lower_case_token($text.as_bytes())) };
        $crate::name::$name::checked($text)
    }};
}
pub(crate) use constant;

macro_rules! validated_name {
    ($(#[$doc:meta])* $name:ident, pattern: $pattern:literal, max: $max:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name, validated.
            ///
            /// # Errors
            /// When the text is no such name; the error says which rule it breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<Box<str>, NameError> = $check;
                check(text).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> alloc::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "maxLength": $max })
            }
        }
    };
}

validated_name!(
    /// A lane's name: a DNS-1123 subdomain of at most 63 bytes, e.g. `gray`, `dev-alice`, `gray.checkout`.
    LaneName,
    pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    max: LANE_NAME_BYTES_MAX,
    |text| {
        check_length("lane name", text, LANE_NAME_BYTES_MAX)?;
        if text == "baseline" {
            return Err(NameError::Reserved { name: text.into() });
        }
        let label = |label: &str| {
            let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            edge(label.bytes().next())
                && edge(label.bytes().last())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !text.split('.').all(label) {
            return Err(NameError::BadCharacter {
                kind: "lane name",
                name: text.into(),
                rule: "must be lower-case letters, digits, `-` and `.`, each part starting and ending with a letter or digit",
            });
        }
        Ok(text.into())
    }
);

impl LaneName {
    /// The lane's number on the wire: a fixed hash of its name, never 0 and never 0xFFFF.
    ///
    /// Two names may share a number; compiling a set of lanes refuses that.
    #[must_use]
    pub fn code(&self) -> LaneCode {
        let mut hasher = SipHasher24::new_with_keys(0x6361_6e61_7279, 0x6c61_6e65);
        hasher.write(self.as_bytes());
        let spread = hasher.finish() % 0xFFFE;
        LaneCode(u16::try_from(spread).unwrap_or(0).saturating_add(1))
    }
}

validated_name!(
    /// An HTTP header's name: an RFC 9110 token, kept in lower case as proxies show it.
    HeaderName,
    pattern: r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$",
    max: TOKEN_BYTES_MAX,
    |text| check_token("header name", text).map(|()| text.to_ascii_lowercase().into())
);

validated_name!(
    /// A cookie's name: an RFC 6265 token.
    CookieName,
    pattern: r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$",
    max: TOKEN_BYTES_MAX,
    |text| check_token("cookie name", text).map(|()| text.into())
);

validated_name!(
    /// A W3C baggage member's key: a token.
    BaggageKey,
    pattern: r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$",
    max: TOKEN_BYTES_MAX,
    |text| check_token("baggage key", text).map(|()| text.into())
);

macro_rules! checked_names {
    ($($name:ident),+) => {$(
        impl $name {
            /// A name that [`constant`] has checked.
            pub(crate) fn checked(text: &'static str) -> Self {
                Self(text.into())
            }
        }
    )+};
}

checked_names!(HeaderName, CookieName, BaggageKey);

fn check_length(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > max {
        return Err(NameError::TooLong { kind, name: text.into(), max });
    }
    Ok(())
}

fn check_token(kind: &'static str, text: &str) -> Result<(), NameError> {
    check_length(kind, text, TOKEN_BYTES_MAX)?;
    if !text.bytes().all(is_token_byte) {
        return Err(NameError::BadCharacter {
            kind,
            name: text.into(),
            rule: "must be letters, digits and !#$%&'*+-.^_`|~",
        });
    }
    Ok(())
}

/// Whether a byte may stand in an RFC 9110 token.
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether this is a token without capital letters: what [`constant`] takes.
pub(crate) const fn is_lower_case_token(mut text: &[u8]) -> bool {
    let is_empty = text.is_empty();
    while let [byte, rest @ ..] = text {
        if !is_token_byte(*byte) || byte.is_ascii_uppercase() {
            return false;
        }
        text = rest;
    }
    !is_empty
}
