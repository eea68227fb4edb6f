//! A reference of which http route of a VirtualService Istio chooses: the first that matches.
//!
//! Source: `BuildHTTPRoutesForVirtualService`, `sourceMatchHTTP` and `TranslateRouteMatch` in
//! pilot/pkg/networking/core/route/route.go, and Envoy's matchers that these are translated to.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use crate::hosts::MESH_GATEWAY;

/// A request at one proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) port: u64,
    /// The gateway it is at; a sidecar if none.
    pub(crate) gateway: Option<String>,
    pub(crate) source_labels: BTreeMap<String, String>,
    pub(crate) source_namespace: String,
}

impl Request {
    pub(crate) fn tagged(mut self, lane: &str) -> Self {
        self.headers.insert(super::TAG_HEADER.into(), lane.into());
        self
    }
}

/// The route that serves the request.
pub(crate) fn choose<'a>(http: &'a [Value], request: &Request) -> Option<&'a Value> {
    http.iter().find(|route| {
        let matches = route["match"].as_array().map_or(&[][..], Vec::as_slice);
        matches.is_empty() || matches.iter().any(|one| matches_request(one, request))
    })
}

fn matches_request(one: &Value, request: &Request) -> bool {
    let port = one["port"].as_u64().unwrap_or(0);
    if (port != 0 && port != request.port) || !matches_source(one, request) {
        return false;
    }
    let ignores_case = one["ignoreUriCase"].as_bool().unwrap_or(false);
    matches_path(&one["uri"], &request.path, ignores_case)
        && matches_text(&one["method"], &request.method)
        && matches_text(&one["scheme"], &request.scheme)
        && matches_text(&one["authority"], &request.authority)
        && fields(&one["headers"]).all(|(name, want)| {
            let name = name.to_ascii_lowercase();
            request.headers.get(&name).is_some_and(|value| matches_text(want, value))
        })
        && fields(&one["withoutHeaders"]).all(|(name, unwanted)| {
            let value = request.headers.get(&name.to_ascii_lowercase());
            match is_present_match(unwanted) {
                true => value.is_none(),
                false => !matches_text(unwanted, value.map_or("", String::as_str)),
            }
        })
        && fields(&one["queryParams"])
            .all(|(name, want)| request.query.get(name).is_some_and(|value| matches_text(want, value)))
}

fn matches_source(one: &Value, request: &Request) -> bool {
    let gateways = one["gateways"].as_array().map_or(&[][..], Vec::as_slice);
    if !gateways.is_empty() {
        let here = request.gateway.as_deref().unwrap_or(MESH_GATEWAY);
        return gateways.iter().any(|gateway| gateway == here);
    }
    let namespace = one["sourceNamespace"].as_str().unwrap_or_default();
    fields(&one["sourceLabels"])
        .all(|(key, value)| request.source_labels.get(key).map(String::as_str) == value.as_str())
        && (namespace.is_empty() || namespace == request.source_namespace)
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// `{}` and the regular expression `*` ask for presence only.
fn is_present_match(want: &Value) -> bool {
    want.as_object().is_none_or(serde_json::Map::is_empty) || want["regex"] == "*"
}

fn matches_text(want: &Value, text: &str) -> bool {
    is_present_match(want)
        || want["exact"].as_str().is_some_and(|exact| exact == text)
        || want["prefix"].as_str().is_some_and(|prefix| text.starts_with(prefix))
        || want["regex"].as_str().is_some_and(|regex| matches_whole(regex, text))
}

fn matches_path(want: &Value, path: &str, ignores_case: bool) -> bool {
    if want.is_null() {
        return true;
    }
    let fold = |text: &str| if ignores_case { text.to_ascii_lowercase() } else { text.to_owned() };
    want["exact"].as_str().is_some_and(|exact| fold(exact) == fold(path))
        || want["prefix"].as_str().is_some_and(|prefix| fold(path).starts_with(&fold(prefix)))
        || want["regex"].as_str().is_some_and(|regex| matches_whole(regex, path))
}

fn matches_whole(regex: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{regex})$")).expect("a regular expression").is_match(text)
}
