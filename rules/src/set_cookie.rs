//! Writes `set-cookie` lines. Knows no clock: a cookie's life is its Max-Age.
//!
//! Source: RFC 6265bis (draft-ietf-httpbis-rfc6265bis); `Partitioned` as CHIPS
//! (draft-cutler-httpbis-partitioned-cookies).

use alloc::{string::String, string::ToString, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::name::CookieName;

#[cfg(test)]
mod tests;

/// Longest life of a cookie, in seconds: browsers cut it to 400 days.
pub const MAX_AGE_S_MAX: u32 = 400 * 24 * 60 * 60;
/// Longest value of one attribute, in bytes: browsers ignore longer ones.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// When a browser sends the cookie with requests that another site caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SameSite {
    /// Never.
    Strict,
    /// When the user follows a link.
    Lax,
    /// Always; browsers demand `secure` with it.
    None,
}

/// What a cookie is allowed to do in a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CookieAttributes {
    /// The path below which the cookie is sent. Default `/`.
    pub path: String,
    /// The domain whose subdomains get the cookie too; without it, only the host that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Only sent over https. Default false, so that plain-http sites work.
    pub secure: bool,
    /// Hidden from scripts. Default true.
    pub http_only: bool,
    /// Default `Lax`; `null` leaves the attribute out.
    pub same_site: Option<SameSite>,
    /// One jar per top-level site. Default false.
    pub partitioned: bool,
}

impl Default for CookieAttributes {
    fn default() -> Self {
        Self {
            path: String::from("/"),
            domain: None,
            secure: false,
            http_only: true,
            same_site: Some(SameSite::Lax),
            partitioned: false,
        }
    }
}

/// Why browsers would refuse a cookie with these attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CookieAttributesError {
    /// The path is not one.
    #[error("cookie path must start with `/` and hold only visible ASCII without `;`, in at most 1024 bytes")]
    Path,
    /// The domain is not one.
    #[error("cookie domain must be letters, digits, `-` and `.`, in at most 253 bytes")]
    Domain,
    /// `SameSite=None` without `Secure`.
    #[error("a cookie with sameSite None must be secure")]
    SameSiteNoneNeedsSecure,
    /// `Partitioned` without `Secure`.
    #[error("a partitioned cookie must be secure")]
    PartitionedNeedsSecure,
    /// A name prefix that promises `Secure`.
    #[error("a cookie named `{prefix}…` must be secure")]
    PrefixNeedsSecure {
        /// The prefix.
        prefix: &'static str,
    },
    /// A name prefix that promises `HttpOnly`.
    #[error("a cookie named `{prefix}…` must be httpOnly")]
    PrefixNeedsHttpOnly {
        /// The prefix.
        prefix: &'static str,
    },
    /// A name prefix that binds the cookie to one host.
    #[error("a cookie named `{prefix}…` must have the path `/` and no domain")]
    PrefixNeedsHost {
        /// The prefix.
        prefix: &'static str,
    },
}

/// What a name prefix promises. Browsers compare it without regard to case, and refuse the cookie on a breach.
struct Prefix {
    text: &'static str,
    http_only: bool,
    host: bool,
}

/// Longer prefixes first: the first that fits counts.
const PREFIXES: [Prefix; 4] = [
    Prefix { text: "__Host-Http-", http_only: true, host: true },
    Prefix { text: "__Host-", http_only: false, host: true },
    Prefix { text: "__Http-", http_only: true, host: false },
    Prefix { text: "__Secure-", http_only: false, host: false },
];

impl CookieAttributes {
    /// Checks that browsers take a cookie of this name with these attributes.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self, name: &CookieName) -> Result<(), CookieAttributesError> {
        use CookieAttributesError as Error;

        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b';';
        if !self.path.starts_with('/')
            || self.path.len() > ATTRIBUTE_BYTES_MAX
            || !self.path.bytes().all(visible)
        {
            return Err(Error::Path);
        }
        if self.domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
            return Err(Error::Domain);
        }
        if !self.secure && self.same_site == Some(SameSite::None) {
            return Err(Error::SameSiteNoneNeedsSecure);
        }
        if !self.secure && self.partitioned {
            return Err(Error::PartitionedNeedsSecure);
        }
        let Some(prefix) = PREFIXES.iter().find(|prefix| starts_with(name, prefix.text)) else {
            return Ok(());
        };
        if !self.secure {
            return Err(Error::PrefixNeedsSecure { prefix: prefix.text });
        }
        if prefix.http_only && !self.http_only {
            return Err(Error::PrefixNeedsHttpOnly { prefix: prefix.text });
        }
        if prefix.host && (self.path != "/" || self.domain.is_some()) {
            return Err(Error::PrefixNeedsHost { prefix: prefix.text });
        }
        Ok(())
    }
}

fn starts_with(name: &CookieName, prefix: &str) -> bool {
    name.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// A leading dot is allowed: browsers ignore it.
fn is_domain(text: &str) -> bool {
    let text = text.strip_prefix('.').unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The value of a `set-cookie` line that sets the cookie for `max_age_s` seconds, at most [`MAX_AGE_S_MAX`].
///
/// `attributes` are expected to be valid. Bytes that must not stand where they would be put (control
/// characters, `;`, in values also quotes, commas, spaces and backslashes) are left out, so that no caller can
/// break out of the line.
#[must_use]
pub fn set(name: &CookieName, value: &str, max_age_s: u32, attributes: &CookieAttributes) -> Vec<u8> {
    let mut line = start(name, value, attributes);
    line.extend_from_slice(b"; Max-Age=");
    line.extend_from_slice(max_age_s.min(MAX_AGE_S_MAX).to_string().as_bytes());
    finish(line, attributes)
}

/// The value of a `set-cookie` line that ends the cookie: browsers drop it at once.
///
/// Domain, path and partition name the cookie together with its name: they must be those it was set with.
#[must_use]
pub fn expire(name: &CookieName, attributes: &CookieAttributes) -> Vec<u8> {
    let mut line = start(name, "", attributes);
    line.extend_from_slice(b"; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    finish(line, attributes)
}

fn start(name: &CookieName, value: &str, attributes: &CookieAttributes) -> Vec<u8> {
    let domain = attributes.domain.as_deref().unwrap_or_default();
    let texts = [name.as_str(), value, &attributes.path, domain];
    // Room for the longest fixed part as well.
    let mut line = Vec::with_capacity(texts.iter().fold(160, |sum, text| text.len().saturating_add(sum)));
    line.extend_from_slice(name.as_bytes());
    line.push(b'=');
    line.extend(value.bytes().filter(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(byte)));
    let attribute = |byte: &u8| byte.is_ascii_graphic() && *byte != b';';
    line.extend_from_slice(b"; Path=");
    line.extend(attributes.path.bytes().filter(attribute));
    if !domain.is_empty() {
        line.extend_from_slice(b"; Domain=");
        line.extend(domain.bytes().filter(attribute));
    }
    line
}

fn finish(mut line: Vec<u8>, attributes: &CookieAttributes) -> Vec<u8> {
    if attributes.secure {
        line.extend_from_slice(b"; Secure");
    }
    if attributes.http_only {
        line.extend_from_slice(b"; HttpOnly");
    }
    let same_site: &[u8] = match attributes.same_site {
        Some(SameSite::Strict) => b"; SameSite=Strict",
        Some(SameSite::Lax) => b"; SameSite=Lax",
        Some(SameSite::None) => b"; SameSite=None",
        None => b"",
    };
    line.extend_from_slice(same_site);
    if attributes.partitioned {
        line.extend_from_slice(b"; Partitioned");
    }
    line
}
