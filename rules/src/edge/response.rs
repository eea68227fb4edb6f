//! What an edge does with a response: cookies, the lane's name for developer tools, care for caches.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::{EdgeLane, EdgeRule};
use crate::edits::{Edit, Edits};
use crate::name::{HeaderName, LaneName};
use crate::request::Headers;
use crate::wire::{EdgeSettings, Subject};

const CACHE_CONTROL: &str = "cache-control";
/// Cache headers that shared caches obey over `cache-control` (RFC 9213).
const TARGETED: [&str; 2] = ["cdn-cache-control", "surrogate-control"];
/// Directives that let a shared cache keep a response.
const SHARED: [&[u8]; 4] = [b"public", b"s-maxage", b"proxy-revalidate", b"must-understand"];

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
        let mut edits = Edits::new();
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
    for name in TARGETED {
        if response.first(name).is_some() {
            edits.push(Edit::Remove(name));
        }
    }
    let directives = response.lines(CACHE_CONTROL).flat_map(|line| line.split(|byte| *byte == b','));
    let directives: Vec<&[u8]> = directives.map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()).collect();
    let named = |directive: &[u8], name: &[u8]| {
        directive.split(|byte| *byte == b'=').next().is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    if directives
        .iter()
        .any(|directive| [&b"private"[..], b"no-store"].iter().any(|name| named(directive, name)))
    {
        return;
    }
    let mut value = b"private".to_vec();
    for directive in directives {
        if !SHARED.iter().any(|name| named(directive, name)) {
            value.extend_from_slice(b", ");
            value.extend_from_slice(directive);
        }
    }
    edits.push(Edit::Set(CACHE_CONTROL, Cow::Owned(value)));
}

/// The request headers that decisions read, as `vary` lists them.
pub(super) fn vary(rules: &[EdgeRule], lanes: &[EdgeLane], settings: &EdgeSettings) -> String {
    let mut names: Vec<&str> = Vec::new();
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
    if !lanes.is_empty() && !names.contains(&"cookie") {
        names.push("cookie");
    }
    names.join(", ")
}
