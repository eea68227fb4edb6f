//! What an edge does with a response: cookies, the lane's name for developer tools, care for caches.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::cause::{self, Cause};
use super::{EdgeLane, EdgeRule};
use crate::edits::{Edit, Edits};
use crate::name::{HeaderName, LaneName};
use crate::request::Headers;
use crate::wire::{EdgeSettings, Subject};

const CACHE_CONTROL: &str = "cache-control";
/// Cache headers that shared caches obey over `cache-control`: targeted fields (RFC 9213), Edge
/// Architecture's, and those of widespread caches.
const TARGETED: [&str; 7] = [
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "edge-control",
    "netlify-cdn-cache-control",
    "surrogate-control",
    "vercel-cdn-cache-control",
    "x-accel-expires",
];
/// Directives that let a shared cache keep a response, and `private`, which may do so for all but some
/// fields.
const REPLACED: [&[u8]; 5] = [b"private", b"proxy-revalidate", b"public", b"s-maxage", b"must-understand"];

/// Changes to a response but its cookies: for caches, and the lane's name.
const EDITS_USUAL: usize = 2;

/// What is left to do when the response comes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResponsePlan<'c> {
    /// `set-cookie` lines to add; the application's own stay.
    pub cookies: Vec<Vec<u8>>,
    /// The lane that answers; none for the baseline.
    pub lane: Option<&'c LaneName>,
    /// The header that names the lane to developer tools, where wanted.
    pub show: Option<&'c HeaderName>,
    /// What the answer depends on, where wanted.
    pub vary: Option<&'c String>,
}

impl<'c> ResponsePlan<'c> {
    /// Whether the response stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty() && self.lane.is_none() && self.vary.is_none()
    }

    /// What to change in a response. What only this user may see, a lane's answer or one that sets a
    /// cookie, is made private, so that no shared cache hands it to anyone else.
    #[must_use]
    pub fn edits(&self, response: &Headers<'_>) -> Edits<'c> {
        let mut edits = Edits::with_capacity(EDITS_USUAL.saturating_add(self.cookies.len()));
        for cookie in &self.cookies {
            edits.push(Edit::Add("set-cookie", Cow::Owned(cookie.clone())));
        }
        if self.lane.is_some() || !self.cookies.is_empty() {
            make_private(response, &mut edits);
        }
        if let (Some(header), Some(lane)) = (self.show, self.lane) {
            edits.push(Edit::Set(header.as_str(), Cow::Borrowed(lane.as_bytes())));
        }
        if let Some(vary) = self.vary {
            edits.push(Edit::Add("vary", Cow::Borrowed(vary.as_bytes())));
        }
        edits
    }
}

fn make_private(response: &Headers<'_>, edits: &mut Edits<'_>) {
    for (header, _) in response.all() {
        // A look at the end tells most headers from all of these.
        if matches!(header, [.., b'-', b'c', b'o', b'n', b't', b'r', b'o', b'l'] | [b'x', b'-', b'a', ..])
            && let Some(name) = TARGETED.iter().find(|name| name.as_bytes() == *header)
            && !edits.contains(&Edit::Remove(name))
        {
            edits.push(Edit::Remove(name));
        }
    }
    let directives: Vec<&[u8]> = response.lines(CACHE_CONTROL).flat_map(directives).collect();
    if directives.iter().any(|directive| is_named(directive, b"no-store")) {
        return;
    }
    let is_private = directives.iter().any(|directive| directive.eq_ignore_ascii_case(b"private"));
    let replaced = |directive: &&&[u8]| REPLACED.iter().any(|name| is_named(directive, name));
    if is_private && directives.iter().filter(replaced).count() == 1 {
        return;
    }
    let mut value = Cow::Borrowed(&b"private"[..]);
    for directive in directives.iter().filter(|directive| !replaced(directive)) {
        let value = value.to_mut();
        value.extend_from_slice(b", ");
        value.extend_from_slice(directive);
    }
    edits.push(Edit::Set(CACHE_CONTROL, value));
}

/// The directives of a line; a comma within quotes separates nothing.
fn directives(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let pieces = line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    pieces.map(<[u8]>::trim_ascii).filter(|directive| !directive.is_empty())
}

fn is_named(directive: &[u8], name: &[u8]) -> bool {
    let start = directive.split(|byte| *byte == b'=').next();
    start.is_some_and(|start| start.trim_ascii().eq_ignore_ascii_case(name))
}

/// The request headers that decisions read, as `vary` lists them.
///
/// `cookie` for lanes, users and rules alike; `tag` where it may be signed; what tells of another site where
/// a percentage asks who the user is.
pub(super) fn vary(
    rules: &[EdgeRule],
    lanes: &[EdgeLane],
    settings: &EdgeSettings,
    tag: Option<&HeaderName>,
) -> String {
    if lanes.is_empty() {
        return String::new();
    }
    let mut names: Vec<&str> = alloc::vec!["cookie"];
    names.extend(tag.map(HeaderName::as_str));
    let has_shares = lanes.iter().any(|lane| !lane.shares.is_empty());
    if has_shares && Cause::Foreign.keeps_back(settings.cookie.same_site) {
        names.extend(cause::HEADERS);
    }
    let tests = rules
        .iter()
        .chain(lanes.iter().flat_map(|lane| lane.shares.iter()))
        .filter_map(|rule| rule.when.as_ref())
        .flat_map(|when| when.tests().map(|test| (test.subject, &*test.name)));
    let keys = settings.layers.iter().flat_map(|layer| layer.key.iter());
    let keys = keys.map(|key| (key.subject, key.name.as_str()));
    for (subject, name) in tests.chain(keys) {
        let name = match subject {
            Subject::Header | Subject::HeaderClaim => name,
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}
