//! What the page shows. Keys are part of the interface between the binary and its own page only.

use serde::Serialize;
use serde_json::Value;

use super::release_view::ReleaseView;
use super::service_graph::Graph;
use super::traffic::Traffic;
use crate::takeovers::InWords;

/// All that is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Picture {
    /// What is looked at.
    pub about: About,
    /// The lanes, by name.
    pub lanes: Vec<LaneView>,
    /// The releases: those under way, then the latest.
    pub releases: Vec<ReleaseView>,
    /// What developers have of services, by service.
    pub takeovers: Vec<InWords>,
    /// The services and who calls whom.
    pub graph: Graph,
    /// What goes from one to the other.
    pub traffic: Traffic,
    /// Requests that were sent and where they went, the latest first: what `demo -o json` gives of each, with an `id`
    /// and the second at which it was sent (`at_unix_s`).
    ///
    /// Those of a lane that is watched have `calls` in place of `hops`: what `trace -o json` calls hops, a tree.
    pub flows: Vec<Value>,
    /// The lane whose flows are watched, or were last.
    pub watch: Option<WatchView>,
}

/// A lane whose flows are watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchView {
    /// Its name.
    pub lane: String,
    /// Whether it is watched now.
    pub on: bool,
    /// Whether it ended with a fault.
    pub failed: bool,
    /// How it goes, for people.
    pub words: String,
}

/// What is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// For people: what is looked at.
    pub title: String,
    /// The address of its gateway, where there is one to send requests to.
    pub gateway: Option<String>,
    /// Whether the page may send requests through it.
    pub sends_flows: bool,
    /// Whether the page may have flows of a lane watched.
    pub watches_lanes: bool,
    /// Whether the page may turn lanes on and off.
    pub turns_lanes: bool,
    /// Whether there may be releases.
    pub shows_releases: bool,
    /// What is amiss with what is looked at: it is shown as last heard.
    pub trouble: Option<String>,
}

/// A lane as it is shown; in words where `lanes describe` has words.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LaneView {
    /// Its name.
    pub name: String,
    /// In a word: on, working, stuck, refused, off …
    pub state: String,
    /// Who is in it, a rule each; none where they are refused.
    pub who: Option<Vec<String>>,
    /// Further fields: name and value.
    pub fields: Vec<(&'static str, String)>,
    /// Who serves it.
    pub members: Vec<MemberView>,
    /// What is said of it.
    pub conditions: Vec<ConditionView>,
    /// Proxies that have it, of how many.
    pub proxies: Option<(u64, u64)>,
    /// What a user should know.
    pub findings: Vec<FindingView>,
    /// Its document, YAML, as one would write it.
    pub document: String,
}

/// A workload that serves a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// As `namespace/name`.
    pub service: String,
    /// Its name.
    pub workload: String,
    /// How many pods it has.
    pub pods: u64,
}

/// Something that is said of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionView {
    /// `Accepted`, `Programmed` …
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// Something a lane's user should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// Its code.
    pub code: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// For people.
    pub message: String,
    /// How to mend it.
    pub help: Option<&'static str>,
}
