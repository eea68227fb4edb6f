//! The requests of the scenarios: what browsers send to an edge, and what applications send each other.
//!
//! Tags are written by the rules themselves, so a tagged request looks as it does in a mesh.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use canary_rules::edits::Edit;
use canary_rules::request::Headers;
use canary_rules::wire::{Filter, FilterConfig};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::configs::{self, LANE_COOKIE};

/// Different trace ids in use; with the filter's default map, a quarter of an id per bucket.
pub const TRACES: usize = 4_096;

/// When requests of the scenarios are decided, in seconds since 1970; before that no cookie was given out.
const NOW_UNIX_S: u64 = 1_790_000_000;

/// A request id as Envoy makes them.
pub const REQUEST_ID: &str = "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

/// What a request is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A browser's, to which no rule applies.
    Browser,
    /// A browser's with [`LANE_COOKIE`].
    BrowserGray,
    /// A browser's with [`LANE_COOKIE`] and the signed cookie it was given for that.
    BrowserReturning,
    /// Between sidecars, of the baseline.
    Untagged,
    /// Between sidecars, in the lane: every carrier says so.
    Tagged,
    /// From an application that forwards `traceparent` and nothing else.
    FromApp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Browser,
        Self::BrowserGray,
        Self::BrowserReturning,
        Self::Untagged,
        Self::Tagged,
        Self::FromApp,
    ];
}

/// Header lines as a filter sees them, pseudo-headers first.
pub type Lines = Vec<(String, Vec<u8>)>;

/// Requests of one kind, each with a trace id of its own.
#[derive(Debug, Clone)]
pub struct Requests {
    path: String,
    headers: HeaderMap,
    traces: Arc<[HeaderValue]>,
}

impl Requests {
    /// # Errors
    /// None in practice: what they are made of are constants.
    pub fn new(kind: Kind) -> Result<Self> {
        let mut path = None;
        let mut headers = HeaderMap::new();
        for (name, value) in lines(kind)? {
            let value = HeaderValue::from_bytes(&value).context("a header value")?;
            match name.as_str() {
                ":path" => path = Some(value.to_str().context("a path")?.to_owned()),
                ":authority" => drop(headers.insert(hyper::header::HOST, value)),
                name if name.starts_with(':') => {}
                name => drop(headers.append(HeaderName::from_bytes(name.as_bytes())?, value)),
            }
        }
        let trace = |number| HeaderValue::from_str(&traceparent(number));
        let traces = (0..TRACES).map(trace).collect::<Result<_, _>>()?;
        Ok(Self { path: path.context("a path")?, headers, traces })
    }

    /// The target of all of them.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The headers of one of them; those of [`TRACES`] numbers in a row differ.
    #[must_use]
    pub fn headers(&self, number: usize) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(trace) = self.traces.get(number % self.traces.len().max(1))
            && let Some(own) = headers.get_mut("traceparent")
        {
            own.clone_from(trace);
        }
        headers
    }
}

/// A trace of its own for each number.
#[must_use]
pub fn traceparent(number: usize) -> String {
    // Odd multiplier: no two numbers give the same id.
    let low = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("00-4bf92f3577b34da6{low:016x}-00f067aa0ba902b7-01")
}

/// One request of a kind.
///
/// # Errors
/// None in practice: what it is made of are constants.
pub fn lines(kind: Kind) -> Result<Lines> {
    let (name, value) = LANE_COOKIE;
    let gray = format!("{name}={value}");
    match kind {
        Kind::Browser => Ok(browser("")),
        Kind::BrowserGray => Ok(browser(&gray)),
        Kind::BrowserReturning => {
            let given = set_cookie(&configs::sticky_edge()?, &browser(&gray))?;
            Ok(browser(&format!("{gray}; {given}")))
        }
        Kind::Untagged => decided(inner(""), &inner_edge()?),
        Kind::Tagged => decided(inner(&gray), &inner_edge()?),
        Kind::FromApp => Ok(inner("")),
    }
}

fn inner_edge() -> Result<FilterConfig> {
    configs::edge(&configs::rules(1))
}

fn browser(cookie: &str) -> Lines {
    let cookie = match cookie {
        "" => "theme=dark; session=7c9e6679f5a44d02b1a3".to_owned(),
        cookie => format!("theme=dark; session=7c9e6679f5a44d02b1a3; {cookie}"),
    };
    own(&[
        (":authority", "shop.test"),
        (":path", "/cart/items?page=2&sort=price"),
        (":method", "GET"),
        (":scheme", "http"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-GB,en;q=0.7"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("cookie", &cookie),
        ("x-user-id", "4711"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-request-id", REQUEST_ID),
    ])
}

/// A request between services; with a cookie, so that the edge's rules can tag it.
fn inner(cookie: &str) -> Lines {
    own(&[
        (":authority", "stock.shop.svc.cluster.local:8080"),
        (":path", "/stock/4711?warehouse=north"),
        (":method", "GET"),
        (":scheme", "http"),
        ("user-agent", "python-requests/2.32.5"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate"),
        ("cookie", cookie),
        ("x-request-id", REQUEST_ID),
        ("traceparent", &traceparent(0)),
    ])
}

fn own(lines: &[(&str, &str)]) -> Lines {
    let given = lines.iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn decided(mut request: Lines, config: &FilterConfig) -> Result<Lines> {
    let edge = edge(config)?;
    let edits = {
        let borrowed = borrowed(&request);
        let decision = edge.decide(&Headers::new(&borrowed), None, NOW_UNIX_S, || [7; 16]);
        let owned = |edit: Edit<'_>| match edit {
            Edit::Set(name, value) | Edit::Add(name, value) => (name.to_owned(), Some(value.into_owned())),
            Edit::Remove(name) => (name.to_owned(), None),
        };
        decision.edits.into_iter().map(owned).collect::<Vec<_>>()
    };
    for (name, value) in edits {
        request.retain(|(line, _)| *line != name);
        request.extend(value.map(|value| (name, value)));
    }
    // The cookie is the edge's business; services see the tag.
    request.retain(|(name, _)| name != "cookie");
    Ok(request)
}

/// The lane cookie that a decision gives out, as a browser sends it back.
fn set_cookie(config: &FilterConfig, request: &Lines) -> Result<String> {
    let edge = edge(config)?;
    let borrowed = borrowed(request);
    // Given out now, so that it lives for as long as this program may run.
    let now_unix_s =
        std::time::SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?.as_secs();
    let decision = edge.decide(&Headers::new(&borrowed), None, now_unix_s, || [7; 16]);
    let cookie = decision.response.cookies.first().context("no cookie given out")?;
    let cookie = String::from_utf8(cookie.clone()).context("a cookie")?;
    cookie.split(';').next().map(str::to_owned).context("a cookie")
}

fn edge(config: &FilterConfig) -> Result<Box<canary_rules::edge::Edge>> {
    match Filter::try_from(config.clone())? {
        Filter::Edge(edge) => Ok(edge),
        other => bail!("not an edge: {other:?}"),
    }
}

fn borrowed(lines: &Lines) -> Vec<(&[u8], &[u8])> {
    lines.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind, name: &str) -> Option<String> {
        let lines = lines(kind).expect("made");
        let line = lines.into_iter().find(|(line, _)| line == name);
        line.map(|(_, value)| String::from_utf8(value).expect("text"))
    }

    #[test]
    fn a_tagged_request_carries_the_lane_everywhere() {
        assert_eq!(value(Kind::Tagged, "x-canary-lane").as_deref(), Some("gray"));
        assert_eq!(value(Kind::Tagged, "baggage").as_deref(), Some("canary-lane=gray"));
        assert_ne!(value(Kind::Tagged, "x-request-id"), value(Kind::Untagged, "x-request-id"));
    }

    #[test]
    fn an_untagged_request_has_a_minted_id_and_an_app_forwards_none() {
        assert_eq!(value(Kind::Untagged, "x-canary-lane"), None);
        assert_ne!(value(Kind::Untagged, "x-request-id").as_deref(), Some(REQUEST_ID));
        assert_eq!(value(Kind::FromApp, "x-request-id").as_deref(), Some(REQUEST_ID));
    }

    #[test]
    fn a_returning_browser_has_the_cookie_it_was_given() {
        let cookie = value(Kind::BrowserReturning, "cookie").expect("a cookie");
        assert!(cookie.contains("; canary-lane="), "{cookie}");
    }

    #[test]
    fn requests_in_a_row_are_of_different_traces() {
        let requests = Requests::new(Kind::FromApp).expect("made");
        let trace = |number| requests.headers(number).get("traceparent").cloned();
        assert!(trace(0).is_some());
        assert_ne!(trace(0), trace(1));
        assert_eq!(trace(0), trace(TRACES));
    }
}
