//! Which headers of a request travel on to the calls that it causes.

use hyper::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderName};

#[cfg(test)]
mod tests;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Length of a version 00 `traceparent`, and where its parent id stands (W3C Trace Context).
const TRACEPARENT_BYTES: usize = 55;
const PARENT_ID: std::ops::Range<usize> = 36..52;

/// Query parameter that names what is handed on in an app's stead: `?forward=b3,baggage`, or nothing.
const FORWARD_PARAMETER: &str = "forward=";

/// What an app hands on.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    names: Vec<HeaderName>,
    starts_trace: bool,
}

impl Forward {
    pub(crate) fn new(names: &[String], starts_trace: bool) -> Result<Self, InvalidHeaderName> {
        let names = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
        Ok(Self { names: names.collect::<Result<_, _>>()?, starts_trace })
    }

    /// What is handed on of a request with this query, which may say it for all apps that it travels through.
    /// Such a flow starts no trace, and names that are none are not handed on.
    pub(crate) fn of_request(&self, query: Option<&str>) -> Self {
        let mut parameters = query.unwrap_or_default().split('&');
        let Some(names) = parameters.find_map(|parameter| parameter.strip_prefix(FORWARD_PARAMETER)) else {
            return self.clone();
        };
        Self { names: names.split(',').filter_map(|name| name.parse().ok()).collect(), starts_trace: false }
    }

    /// The trace that a request belongs to: the one it brings, or the one it starts here.
    pub(crate) fn trace(&self, received: &HeaderMap) -> Option<HeaderValue> {
        let brought = received.get(TRACEPARENT).filter(|_| self.names.contains(&TRACEPARENT));
        brought.cloned().or_else(|| self.starts_trace.then(root_trace).flatten())
    }

    /// The headers of one call.
    pub(crate) fn headers(&self, received: &HeaderMap, trace: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in self.names.iter().filter(|name| **name != TRACEPARENT) {
            for value in received.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        if let Some(trace) = trace {
            headers.insert(TRACEPARENT, child_trace(trace));
        }
        headers
    }
}

fn root_trace() -> Option<HeaderValue> {
    let (trace, parent) = (fastrand::u128(1..), fastrand::u64(1..));
    HeaderValue::from_str(&format!("00-{trace:032x}-{parent:016x}-01")).ok()
}

/// The same trace with a parent id of our own; what is no `traceparent` goes on as it is.
fn child_trace(trace: &HeaderValue) -> HeaderValue {
    let Some(text) = trace.to_str().ok().filter(|text| text.len() == TRACEPARENT_BYTES) else {
        return trace.clone();
    };
    let parent = format!("{:016x}", fastrand::u64(1..));
    let child = [&text[..PARENT_ID.start], &parent, &text[PARENT_ID.end..]].concat();
    HeaderValue::from_str(&child).unwrap_or_else(|_| trace.clone())
}
