//! Who caused a request: browsers keep cookies back from some that another site caused. A user who seems new
//! may then be none.
//!
//! `same-site` and `same-origin` are one to cookies: ports and subdomains do not matter to them.
//!
//! Source: RFC 6265bis, 5.2 (draft-ietf-httpbis-rfc6265bis); Fetch Metadata Request Headers (W3C).

use crate::facts::Facts;
use crate::set_cookie::SameSite;
use crate::wire::Subject;

const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";
const DEST: &str = "sec-fetch-dest";
const ORIGIN: &str = "origin";

/// The request headers that tell.
pub(super) const HEADERS: [&str; 4] = [SITE, MODE, DEST, ORIGIN];

/// Who caused a request, as far as cookies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The site itself, the user, or a client that is no browser.
    Own,
    /// Another site, whose link the user has followed.
    Link,
    /// Another site, in any other way: a form that is posted, an image, a frame, a script's call.
    Foreign,
}

impl Cause {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        match facts.first(SITE) {
            Some(b"cross-site") if is_followed_link(facts) => Self::Link,
            Some(b"cross-site") => Self::Foreign,
            Some(_) => Self::Own,
            // Plain http, an older browser or none.
            None if has_foreign_origin(facts) => Self::Foreign,
            None => Self::Own,
        }
    }

    /// Whether a browser may have a cookie with this attribute that it did not send. Without the attribute
    /// it is as with `Lax`, which most browsers take for the default.
    pub(super) fn keeps_back(self, same_site: Option<SameSite>) -> bool {
        match (self, same_site) {
            (Self::Own, _) | (_, Some(SameSite::None)) => false,
            (Self::Link, same_site) => same_site == Some(SameSite::Strict),
            (Self::Foreign, _) => true,
        }
    }
}

fn is_followed_link(facts: &Facts<'_>) -> bool {
    matches!(facts.first(":method"), Some(b"GET" | b"HEAD"))
        && facts.first(MODE) == Some(b"navigate")
        && facts.first(DEST) == Some(b"document")
}

/// Whether `origin` names another host, or hides it. Browsers send none with a followed link. Which hosts are
/// of one site takes a list that nobody has here, so another one counts as another site.
fn has_foreign_origin(facts: &Facts<'_>) -> bool {
    let Some(origin) = facts.first(ORIGIN) else { return false };
    let scheme = origin.windows(3).position(|part| part == b"://");
    let Some(host) = scheme.and_then(|at| origin.get(at.saturating_add(3)..)) else { return true };
    let own = facts.value(Subject::Host, "");
    own.is_none_or(|own| !own.eq_ignore_ascii_case(crate::facts::without_port(host)))
}
