//! What an app answers: itself, what it saw, and the answers of those it called.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use serde::{Deserialize, Serialize};

/// One app's answer, with the answers below it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tree {
    /// The service, e.g. `cart.shop`.
    pub service: String,
    /// Its version; empty if the call reached no app.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Which instance of it; empty if the call reached no app.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// The status that it answered with; 0 if there was no response.
    pub status: u16,
    /// Time it took, in milliseconds, the calls below included.
    pub ms: f64,
    /// How often the caller tried; 1 if not repeated.
    pub attempts: u32,
    /// Headers of the request as the app saw them, in lower case, every line; bytes that are no text are replaced.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub received: BTreeMap<String, Vec<String>>,
    /// The calls that it made before answering.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Self>,
    /// Where the calls can be fetched that it makes after answering: `/_async?id=…` of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_response: Option<String>,
    /// Why there is no answer, or what was answered instead of a tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Response headers of a failed call, as the caller saw them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_headers: BTreeMap<String, Vec<String>>,
}

impl Tree {
    /// A header of the request as the app saw it: its first line.
    #[must_use]
    pub fn received(&self, name: &str) -> Option<&str> {
        self.received.get(name)?.first().map(String::as_str)
    }

    /// This answer and all below it, callers first.
    pub fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            let tree = open.pop()?;
            open.extend(tree.calls.iter().rev());
            Some(tree)
        })
    }

    /// The instances that answered, callers first: `["web-v2", "cart-v1", …]`.
    #[must_use]
    pub fn instances(&self) -> Vec<&str> {
        self.walk().map(|tree| tree.instance.as_str()).collect()
    }
}

/// Headers as readable text.
pub(crate) fn readable(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut readable: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        readable.entry(name.as_str().to_owned()).or_default().push(text);
    }
    readable
}
