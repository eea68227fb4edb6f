//! Whether a condition of a VirtualService holds for a request, as Istio translates it and Envoy judges it.
//!
//! What is not known of a request is not guessed: it becomes a term under which the condition holds.
//!
//! Source: `sourceMatchHTTP` and `TranslateRouteMatch` in pilot/pkg/networking/core/route/route.go of Istio (1.31
//! development, August 2026), and Envoy's matchers that these are translated to.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use crate::hosts::MESH_GATEWAY;
use crate::service::Labels;

#[cfg(test)]
mod tests;

/// What the name of a condition on a verified token starts with, where a header's would stand.
const CLAIM_PREFIX: &str = "@request.auth.claims";

/// A request at one proxy. What is none is not known.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The path, without the query.
    pub path: String,
    /// The method.
    pub method: String,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The host as the caller writes it.
    pub authority: Option<String>,
    /// Headers by lower-case name; several of one name are joined with commas.
    pub headers: BTreeMap<String, String>,
    /// Parameters of the query, as they are written; of several the first.
    pub query: BTreeMap<String, String>,
    /// The Service's port that is called.
    pub port: u64,
    /// The gateway it is at; a sidecar if none.
    pub gateway: Option<String>,
    /// Labels of the pod that calls.
    pub source_labels: Option<Labels>,
    /// Namespace of the pod that calls.
    pub source_namespace: Option<String>,
}

/// What has to be so besides, in words; empty where nothing has.
pub(crate) type Terms = Vec<String>;

/// Whether a match is among the routes of this proxy and port at all: istiod leaves it out otherwise. None if not.
pub(crate) fn placed(one: &Value, request: &Request) -> Option<Terms> {
    let port = one["port"].as_u64().unwrap_or(0);
    if port != 0 && port != request.port {
        return None;
    }
    let gateways = one["gateways"].as_array().map_or(&[][..], Vec::as_slice);
    if !gateways.is_empty() {
        let here = request.gateway.as_deref().unwrap_or(MESH_GATEWAY);
        return known(gateways.iter().any(|gateway| gateway == here));
    }
    let labels = fields(&one["sourceLabels"]).map(|(key, want)| match &request.source_labels {
        Some(labels) => known(labels.get(key).map(String::as_str) == want.as_str()),
        None => term(format!("the caller's label {key} is {}", want.as_str().unwrap_or_default())),
    });
    let namespace = one["sourceNamespace"].as_str().filter(|namespace| !namespace.is_empty());
    let namespace = namespace.map(|want| match &request.source_namespace {
        Some(namespace) => known(namespace == want),
        None => term(format!("the caller is in namespace {want}")),
    });
    all(labels.chain(namespace))
}

/// Whether a match holds for the request where it is among the routes. None if not.
pub(crate) fn holds(one: &Value, request: &Request) -> Option<Terms> {
    let line = [
        path(&one["uri"], &request.path, one["ignoreUriCase"] == true),
        text(&one["method"], "the method", Some(&request.method)),
        text(&one["scheme"], "the caller's scheme", request.scheme.as_deref()),
        text(&one["authority"], "the host as the caller writes it", request.authority.as_deref()),
    ];
    let headers = fields(&one["headers"]).map(|(name, want)| match is_claim(name) {
        true => term(format!("{name} of a verified token {}", shown(want))),
        false => {
            let value = request.headers.get(&name.to_ascii_lowercase());
            value.and_then(|value| text(want, &format!("header {name}"), Some(value)))
        }
    });
    let without = fields(&one["withoutHeaders"]).map(|(name, unwanted)| {
        let is_not = || term(format!("it is not so that {name} {}", shown(unwanted)));
        if is_claim(name) {
            return is_not();
        }
        let value = request.headers.get(&name.to_ascii_lowercase());
        if is_present_match(unwanted) {
            return known(value.is_none());
        }
        matches_text(unwanted, value.map_or("", String::as_str))
            .map_or_else(is_not, |matches| known(!matches))
    });
    let query = fields(&one["queryParams"]).map(|(name, want)| {
        let value = request.query.get(name);
        value.and_then(|value| text(want, &format!("query parameter {name}"), Some(value)))
    });
    all(line.into_iter().chain(headers).chain(without).chain(query))
}

fn all(parts: impl Iterator<Item = Option<Terms>>) -> Option<Terms> {
    parts.collect::<Option<Vec<Terms>>>().map(|all| all.concat())
}

fn known(is_so: bool) -> Option<Terms> {
    is_so.then(Vec::new)
}

#[expect(clippy::unnecessary_wraps, reason = "an answer like the others")]
fn term(text: String) -> Option<Terms> {
    Some(vec![text])
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn is_claim(name: &str) -> bool {
    name.starts_with(CLAIM_PREFIX)
}

/// `{}` and the regular expression `*` ask for presence only.
fn is_present_match(want: &Value) -> bool {
    want.as_object().is_none_or(serde_json::Map::is_empty) || want["regex"] == "*"
}

fn text(want: &Value, what: &str, have: Option<&str>) -> Option<Terms> {
    let matches =
        if is_present_match(want) { Some(true) } else { have.and_then(|have| matches_text(want, have)) };
    matches.map_or_else(|| term(format!("{what} {}", shown(want))), known)
}

fn path(want: &Value, path: &str, ignores_case: bool) -> Option<Terms> {
    if want.is_null() {
        return known(true);
    }
    let fold = |text: &str| if ignores_case { text.to_ascii_lowercase() } else { text.to_owned() };
    match (want["exact"].as_str(), want["prefix"].as_str()) {
        (Some(exact), _) => known(fold(exact) == fold(path)),
        (_, Some(prefix)) => known(fold(path).starts_with(&fold(prefix))),
        // No regular expression folds case.
        _ => matches_text(want, path).map_or_else(|| term(format!("the path {}", shown(want))), known),
    }
}

/// None where the pattern is none that we can read.
fn matches_text(want: &Value, text: &str) -> Option<bool> {
    if is_present_match(want) {
        return Some(true);
    }
    match (want["exact"].as_str(), want["prefix"].as_str(), want["regex"].as_str()) {
        (Some(exact), ..) => Some(exact == text),
        (_, Some(prefix), _) => Some(text.starts_with(prefix)),
        (.., Some(regex)) => Some(Regex::new(&format!("^(?:{regex})$")).ok()?.is_match(text)),
        _ => Some(false),
    }
}

fn shown(want: &Value) -> String {
    match (want["exact"].as_str(), want["prefix"].as_str(), want["regex"].as_str()) {
        (Some(exact), ..) => format!("is `{exact}`"),
        (_, Some(prefix), _) => format!("starts with `{prefix}`"),
        (.., Some(regex)) if regex != "*" => format!("matches /{regex}/"),
        _ => "is there".into(),
    }
}
