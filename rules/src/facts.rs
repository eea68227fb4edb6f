//! What a request shows, parsed on first use and at most once. Every edge rule reads from here.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};
use core::net::{IpAddr, SocketAddr};

use crate::base64;
use crate::bytes;
use crate::cookie;
use crate::json::Json;
use crate::matcher;
use crate::request::Headers;
use crate::wire::Subject;

/// Longest token whose claims are read, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The header that the mesh takes for a token only behind [`BEARER`].
const AUTHORIZATION: &str = "authorization";
/// As Envoy's JWT filter wants it, letter by letter: what it does not take for a token, it does not verify.
const BEARER: &[u8] = b"Bearer ";

/// Cookies and query parameters of a request that take memory once.
const PAIRS_USUAL: usize = 8;

/// A name and a value as they are in the request.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// A request's facts.
pub(crate) struct Facts<'a> {
    headers: Headers<'a>,
    trusted_hops: u8,
    peer_address: Option<&'a [u8]>,
    client: OnceCell<Option<IpAddr>>,
    cookies: OnceCell<Vec<Pair<'a>>>,
    /// Path and query.
    target: OnceCell<Option<Pair<'a>>>,
    query: OnceCell<Vec<Pair<'a>>>,
    /// Tokens read so far, by where they are.
    tokens: Cell<Vec<(Subject, Box<str>, Json)>>,
}

impl<'a> Facts<'a> {
    /// `peer_address` is the connection's other end, used where no `x-forwarded-for` tells better.
    pub(crate) fn new(headers: Headers<'a>, trusted_hops: u8, peer_address: Option<&'a [u8]>) -> Self {
        Self {
            headers,
            trusted_hops,
            peer_address,
            client: OnceCell::new(),
            cookies: OnceCell::new(),
            target: OnceCell::new(),
            query: OnceCell::new(),
            tokens: Cell::new(Vec::new()),
        }
    }

    /// The first line of a header.
    pub(crate) fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.first(name)
    }

    /// A value by the documented meaning of repeats; none when absent.
    pub(crate) fn value(&self, subject: Subject, name: &str) -> Option<Cow<'a, [u8]>> {
        match subject {
            Subject::Cookie => self.cookie(name).map(Cow::Borrowed),
            Subject::Header => joined(&self.headers, name),
            Subject::Query => self.query(name),
            Subject::Path => self.target().map(|(path, _)| Cow::Borrowed(path)),
            Subject::Method => self.headers.first(":method").map(Cow::Borrowed),
            Subject::Host => self.headers.first(":authority").map(|host| Cow::Borrowed(without_port(host))),
            Subject::Client => self.client().map(|address| Cow::Owned(address.to_string().into_bytes())),
            Subject::HeaderClaim | Subject::CookieClaim => None,
        }
    }

    /// The client's address, past the trusted proxies in front of the edge.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        *self.client.get_or_init(|| client_address(&self.headers, self.trusted_hops, self.peer_address))
    }

    /// The first cookie of this name.
    pub(crate) fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let cookies = self.cookies.get_or_init(|| {
            let mut cookies = Vec::new();
            for line in self.headers.lines("cookie") {
                cookies.reserve(PAIRS_USUAL);
                cookies.extend(cookie::pairs(core::iter::once(line)));
            }
            cookies
        });
        cookies.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The first query parameter of this name, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let query = self.query.get_or_init(|| {
            let (_, mut rest) = self.target().unwrap_or_default();
            let mut query = Vec::with_capacity(if rest.is_empty() { 0 } else { PAIRS_USUAL });
            while !rest.is_empty() {
                let (pair, after) = split_at(rest, b'&');
                rest = after;
                if !pair.is_empty() {
                    query.push(split_at(pair, b'='));
                }
            }
            query
        });
        query.iter().find(|(key, _)| is_decoded(key, name.as_bytes())).map(|(_, value)| decoded(value))
    }

    /// False where a look at the whole query, cheaper than taking it apart, shows that this parameter is not in it.
    pub(crate) fn may_have_query(&self, name: &str) -> bool {
        let (_, query) = self.target().unwrap_or_default();
        query.len() >= name.len() && (matcher::contains(query, name.as_bytes(), false) || is_encoded(query))
    }

    /// The request's target up to its `?` and behind it.
    fn target(&self) -> Option<Pair<'a>> {
        *self.target.get_or_init(|| self.headers.first(":path").map(|target| split_at(target, b'?')))
    }

    /// A claim's values as text: none when absent, several when it is a list. `null`, objects and what
    /// is not text, a number or a truth value in a list count as absent.
    pub(crate) fn claims(&self, subject: Subject, place: &str, claim: &str) -> Vec<String> {
        let mut tokens = self.tokens.take();
        let known = tokens.iter().position(|(kind, name, _)| *kind == subject && **name == *place);
        let known = known.unwrap_or_else(|| {
            tokens.push((subject, place.into(), self.payload(subject, place).unwrap_or(Json::Null)));
            tokens.len().saturating_sub(1)
        });
        let found = tokens.get(known).and_then(|(.., payload)| step_into(payload, claim));
        let texts = match found {
            Some(Json::List(values)) => values.iter().filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => Vec::new(),
        };
        self.tokens.set(tokens);
        texts
    }

    fn payload(&self, subject: Subject, place: &str) -> Option<Json> {
        let token = match subject {
            Subject::CookieClaim => self.cookie(place)?,
            _ => header_token(&self.headers, place)?,
        };
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let padding = payload.iter().rev().take_while(|byte| **byte == b'=').count();
        let payload = payload.get(..payload.len().saturating_sub(padding))?;
        Json::parse(&base64::decode(payload, base64::URL)?).ok()
    }
}

/// The token in a header, as the mesh reads it. Never more than the mesh verifies: of a repeated header it
/// may have verified another line, and an `authorization` of another scheme it lets pass.
fn header_token<'a>(headers: &Headers<'a>, name: &str) -> Option<&'a [u8]> {
    let mut lines = headers.lines(name);
    let value = lines.next().filter(|_| lines.next().is_none())?;
    match value.strip_prefix(BEARER) {
        Some(token) => Some(token.trim_ascii()),
        None if name == AUTHORIZATION => None,
        None => Some(value.trim_ascii()),
    }
}

/// The lines of a header as one value.
fn joined<'a>(headers: &Headers<'a>, name: &str) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.lines(name);
    let first = lines.next()?;
    let mut whole = Cow::Borrowed(first);
    for line in lines {
        let whole = whole.to_mut();
        whole.push(b',');
        whole.extend_from_slice(line);
    }
    Some(whole)
}

/// The client by `x-forwarded-for`: the proxy in front of the edge is its last entry, each trusted one
/// before it is stepped over. With fewer entries than trusted proxies the request has passed them by,
/// and the last entry is all that can be believed.
fn client_address(headers: &Headers<'_>, trusted_hops: u8, peer: Option<&[u8]>) -> Option<IpAddr> {
    let lines = headers.lines("x-forwarded-for");
    let entries: Vec<&[u8]> = lines.flat_map(|line| line.split(|byte| *byte == b',')).collect();
    let at = entries.len().checked_sub(usize::from(trusted_hops).saturating_add(1));
    let chosen = at.and_then(|at| entries.get(at)).or(entries.last()).copied().or(peer)?;
    let text = core::str::from_utf8(chosen.trim_ascii()).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = text.parse().ok().or_else(bracketed);
    address.or_else(|| text.parse::<SocketAddr>().map(|address| address.ip()).ok())
}

/// What is before the first of these bytes and what is behind it.
fn split_at(text: &[u8], byte: u8) -> Pair<'_> {
    let at = bytes::find(text, byte).unwrap_or(text.len());
    let (before, rest) = text.split_at_checked(at).unwrap_or_default();
    (before, rest.get(1..).unwrap_or_default())
}

pub(crate) fn without_port(host: &[u8]) -> &[u8] {
    let end = match host.iter().rposition(|byte| *byte == b':') {
        // The colons of a bracketed IPv6 address are no port's.
        Some(at) if !host.get(at..).is_some_and(|rest| rest.contains(&b']')) => at,
        _ => host.len(),
    };
    host.get(..end).unwrap_or(host)
}

/// Whether a text decodes to this one.
fn is_decoded(text: &[u8], wanted: &[u8]) -> bool {
    // Decoding makes nothing longer.
    text.len() >= wanted.len() && decoded(text).as_ref() == wanted
}

/// Whether a text may mean another one.
fn is_encoded(text: &[u8]) -> bool {
    bytes::find(text, b'%').is_some() || bytes::find(text, b'+').is_some()
}

/// `application/x-www-form-urlencoded`; a stray `%` stands for itself, as browsers do.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !is_encoded(text) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        let after = rest.as_slice();
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high << 4 | low).unwrap_or(b'?'));
                rest = after.get(2..).unwrap_or_default().iter();
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// A claim by its whole name, else by dots into objects: claim names such as URLs hold dots themselves.
fn step_into<'v>(payload: &'v Json, claim: &str) -> Option<&'v Json> {
    payload.get(claim).or_else(|| {
        let dots = claim.match_indices('.');
        dots.filter_map(|(at, _)| claim.split_at_checked(at))
            .find_map(|(first, rest)| step_into(payload.get(first)?, rest.strip_prefix('.')?))
    })
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) | Json::Number(text) => Some(text.clone()),
        Json::Bool(truth) => Some(truth.to_string()),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    }
}
