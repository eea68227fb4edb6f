//! Meshes, requests and decisions, written briefly.

use canary_rules::document::{self, Documents, Source};
use canary_rules::edge::{Edge, EdgeDecision, Reason};
use canary_rules::edits::Edit;
use canary_rules::hop::Hop;
use canary_rules::lane::Compiled;
use canary_rules::name::LaneName;
use canary_rules::request::Headers;
use canary_rules::settings::MeshSettings;
use canary_rules::signing::{self, Assigned, Key, KeyId, KeyRing, Purpose, Ticket};
use canary_rules::wire::{Filter, FilterConfig, Role};

/// The second at which every request comes, unless a case says otherwise.
pub(crate) const NOW_S: u64 = 1_800_000_000;
/// The only random number there is.
pub(crate) const ENTROPY: [u8; 16] = *b"0123456789abcdef";
/// The uid that it makes.
pub(crate) const UID: &str = "30313233343536373839616263646566";

/// A lane's name.
pub(crate) fn lane(name: &str) -> LaneName {
    LaneName::new(name).expect("a lane name")
}

/// A key whose secret is made of its id.
pub(crate) fn key(id: &str) -> Key {
    let secret = id.bytes().cycle().take(32).collect();
    Key::new(KeyId::new(id).expect("a key id"), secret).expect("a key")
}

/// A ring of keys; the first one signs.
pub(crate) fn ring(ids: &[&str]) -> KeyRing {
    KeyRing::new(ids.iter().map(|id| key(id))).expect("a ring")
}

/// A mesh's settings with one key.
pub(crate) fn settings() -> MeshSettings {
    MeshSettings::new(ring(&["k1"]))
}

/// Lanes from specs in YAML: `("gray", "{rules: [{percent: 5}]}")`.
#[track_caller]
pub(crate) fn documents(lanes: &[(&str, &str)]) -> Documents {
    if lanes.is_empty() {
        return Documents { lanes: Vec::new(), compiled: Compiled::default() };
    }
    let document = |(name, spec): &(&str, &str)| {
        format!(
            "---\napiVersion: canaryctl.io/v1alpha1\nkind: Lane\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let text = lanes.iter().map(document).collect();
    document::read(&[Source { name: "lanes.yaml".into(), text }]).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())
    })
}

/// An edge with these lanes.
#[track_caller]
pub(crate) fn edge(lanes: &[(&str, &str)]) -> Edge {
    edge_with(&settings(), lanes)
}

/// An edge with these lanes in a mesh with these settings.
#[track_caller]
pub(crate) fn edge_with(settings: &MeshSettings, lanes: &[(&str, &str)]) -> Edge {
    edge_of(settings.config(Role::Edge, &documents(lanes).compiled))
}

/// An edge by its configuration, by way of the wire.
#[track_caller]
pub(crate) fn edge_of(config: FilterConfig) -> Edge {
    let config = FilterConfig::parse(config.to_json().as_bytes()).expect("what was written is read");
    match Filter::try_from(config).expect("a valid configuration") {
        Filter::Edge(edge) | Filter::EdgeGuard(edge) => *edge,
        other => panic!("no edge: {other:?}"),
    }
}

/// A sidecar in a mesh with these settings and lanes.
#[track_caller]
pub(crate) fn hop_with(settings: &MeshSettings, lanes: &[(&str, &str)]) -> Hop {
    let config = settings.config(Role::Inbound, &documents(lanes).compiled);
    let config = FilterConfig::parse(config.to_json().as_bytes()).expect("what was written is read");
    match Filter::try_from(config).expect("a valid configuration") {
        Filter::Inbound(hop) => *hop,
        other => panic!("no sidecar: {other:?}"),
    }
}

/// A request, or a response: lines in wire order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    lines: Vec<(Vec<u8>, Vec<u8>)>,
    peer: Option<Vec<u8>>,
    now_s: Option<u64>,
}

/// `GET <path>` of `shop.test`.
pub(crate) fn get(path: &str) -> Message {
    Message::default().with(":method", "GET").with(":authority", "shop.test").with(":path", path)
}

impl Message {
    /// With one line more.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.lines.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// With another value in every line of this name.
    pub(crate) fn but(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.lines.retain(|(key, _)| key != name.as_bytes());
        self.with(name, value)
    }

    /// From this address.
    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.peer = Some(peer.as_bytes().to_vec());
        self
    }

    /// At this second.
    pub(crate) fn at(mut self, now_s: u64) -> Self {
        self.now_s = Some(now_s);
        self
    }

    /// The values of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let lines = self.lines.iter().filter(|(key, _)| key == name.as_bytes());
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Hands its lines on.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&Headers<'_>) -> T) -> T {
        let lines: Vec<(&[u8], &[u8])> =
            self.lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        ask(&Headers::new(&lines))
    }

    /// With changes made, as a proxy makes them.
    pub(crate) fn edited(&self, edits: &[Edit<'_>]) -> Self {
        let mut edited = self.clone();
        for edit in edits {
            match edit {
                Edit::Set(name, value) => edited = edited.but(name, value),
                Edit::Add(name, value) => edited = edited.with(name, value),
                Edit::Remove(name) => edited.lines.retain(|(key, _)| key != name.as_bytes()),
            }
        }
        edited
    }

    /// An edge's decision on it.
    pub(crate) fn decide<'e>(&self, edge: &'e Edge) -> EdgeDecision<'e> {
        let now_s = self.now_s.unwrap_or(NOW_S);
        // The random number may be asked for twice: for a user and for a request id.
        self.ask(|headers| edge.decide(headers, self.peer.as_deref(), now_s, || ENTROPY))
    }
}

/// A decision's lane.
pub(crate) fn lane_of<'e>(decision: &EdgeDecision<'e>) -> Option<&'e str> {
    decision.lane.map(LaneName::as_str)
}

/// Which lane a request gets and why.
#[track_caller]
pub(crate) fn check(edge: &Edge, request: &Message, lane: Option<&str>, reason: Reason) {
    let decision = request.decide(edge);
    assert_eq!((lane_of(&decision), decision.reason), (lane, reason), "{request:?}");
}

/// Whether a condition, in YAML, holds for a request.
#[track_caller]
pub(crate) fn holds(when: &str, request: &Message, expected: bool) {
    let edge = edge(&[("gray", &format!("{{rules: [{{when: {when}}}]}}"))]);
    assert_eq!(request.decide(&edge).lane.is_some(), expected, "{when}\n{request:?}");
}

/// A token of the mesh's key.
pub(crate) fn token(purpose: Purpose, lane_name: &str, assigned: Assigned, expires_unix_s: u64) -> String {
    let ticket = Ticket { lane: lane(lane_name), epoch: 0, assigned, expires_unix_s };
    signing::sign(&ring(&["k1"]), purpose, &ticket)
}

/// The lane cookie of the mesh's key, as a `cookie` line.
pub(crate) fn lane_cookie(lane_name: &str, assigned: Assigned, expires_unix_s: u64) -> String {
    format!("canary-lane={}", token(Purpose::Cookie, lane_name, assigned, expires_unix_s))
}

/// What a response to a request sets.
pub(crate) fn set_cookies(decision: &EdgeDecision<'_>) -> Vec<String> {
    decision.response.cookies.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}
