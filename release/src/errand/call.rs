//! The webhook of a step: what is sent, and what it is known by.

use serde_json::{Value, json};

use super::Errand;
use crate::document::Release;
use crate::journal::Phase;

/// How long a call may take, in seconds, and how often it is made again, where nothing else is said.
const TIMEOUT_S: u32 = 10;
const RETRIES: u32 = 3;

/// A webhook that is to be called.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Where. May hold a secret.
    pub url: String,
    /// What it is known by: the same however often it is sent.
    pub id: String,
    /// How long it may take, in seconds.
    pub timeout_s: u32,
    /// How often it is made again.
    pub retries: u32,
    /// What is sent.
    pub body: Value,
}

/// What came of calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The call.
    pub id: String,
    /// Leave, or why not, in words.
    pub answer: Result<(), String>,
}

/// The webhook that a release waits for now, if it does.
#[must_use]
pub fn call(release: &Release) -> Option<Call> {
    let status = release.status.as_ref()?;
    if status.phase != Phase::Stepping || release.spec.paused {
        return None;
    }
    let step = release.step(status.step);
    let Some(errand @ Errand::Webhook(webhook)) = Errand::of(&step) else { return None };
    let told = status.errand.as_ref()?;
    if !errand.is_told_by(told, release, status.step) || told.outcome.is_some() {
        return None;
    }
    let id = id(release, status.step);
    let mut body = describe(release);
    body["id"] = id.as_str().into();
    Some(Call {
        url: webhook.url.clone(),
        id,
        timeout_s: webhook.timeout_seconds.unwrap_or(TIMEOUT_S),
        retries: webhook.retries.unwrap_or(RETRIES),
        body,
    })
}

/// What a step in its present try is known by.
pub(crate) fn id(release: &Release, step: usize) -> String {
    let release_id = release.metadata.uid.as_deref().unwrap_or(release.metadata.name.as_str());
    format!("{release_id}-{}-{}", step.saturating_add(1), release.spec.retries)
}

/// A release as others are told of it.
pub(crate) fn describe(release: &Release) -> Value {
    let status = release.status.clone().unwrap_or_default();
    let workloads = release.spec.workloads.iter().map(|spec| {
        let journal = status.workloads.iter().find(|journal| journal.deployment == spec.deployment);
        json!({
            "deployment": spec.deployment, "images": spec.images,
            "before": journal.map(|journal| &journal.before),
        })
    });
    json!({
        "release": release.metadata.name, "lane": release.lane(), "phase": status.phase,
        "step": status.step.saturating_add(1), "steps": release.steps(), "share": release.share(status.step),
        "by": release.spec.by, "workloads": workloads.collect::<Vec<_>>(),
    })
}

/// Whether a text is an address that can be called.
pub(crate) fn is_address(url: &str) -> bool {
    !origin(url).is_empty() && !url.contains(char::is_whitespace)
}

/// Who is at an address, without what may be a secret in it: scheme, host and port; empty where it is none.
#[must_use]
pub fn origin(url: &str) -> String {
    let found = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme).map(|rest| (scheme, rest)));
    let Some((scheme, rest)) = found else { return String::new() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() { String::new() } else { format!("{scheme}{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_its_secrets() {
        assert_eq!(origin("https://hooks.example.com/services/T0/B0/secret"), "https://hooks.example.com");
        assert_eq!(origin("http://user:secret@ci:8080?token=secret"), "http://ci:8080");
        for none in ["ci:8080", "ftp://ci", "http:///x", "https://?a"] {
            assert_eq!(origin(none), "", "{none}");
        }
        assert!(is_address("http://ci/a") && !is_address("http://ci/a b"));
    }
}
