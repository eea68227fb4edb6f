//! One write to the cluster: what, to which object, under which condition, in which phase.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::merge;
use crate::observed::{API_VERSION, Object, ObjectRef};

/// When a change is due. A change may go out once every proxy has all changes of the phases before it.
///
/// On the way up that is subsets, routes, edge; on the way down edge, routes, subsets. One plan can hold both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// The edge puts nobody in the lanes that go.
    EdgeOff,
    /// Subsets that routes will lead to, and the baseline's preference for its own.
    Subsets,
    /// Routes, both those that come and those that go.
    Routes,
    /// The edge puts requests in lanes.
    EdgeOn,
    /// What no route leads to any more; due minutes later, for requests under way.
    Collect,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::EdgeOff => "edge off",
            Self::Subsets => "subsets",
            Self::Routes => "routes",
            Self::EdgeOn => "edge on",
            Self::Collect => "collect",
        })
    }
}

/// What is done to the object.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It is made.
    Create {
        /// All of it.
        body: Value,
    },
    /// It is written anew.
    Replace {
        /// All of it.
        body: Value,
    },
    /// Some of it is changed.
    Patch {
        /// A JSON merge patch (RFC 7386).
        merge: Value,
    },
    /// It goes.
    Delete,
}

/// What must be so when the change is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expects {
    /// There is no such object.
    Absent,
    /// The object still has this `resourceVersion`.
    Version(String),
    /// The object has the version that the change before it in this plan gave it.
    Planned,
    /// Nothing: the object was read without a version, as from a file.
    Unversioned,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When it is due.
    pub phase: Phase,
    /// The object's `apiVersion`.
    pub api_version: String,
    /// The object.
    pub object: ObjectRef,
    /// What is done to it.
    pub action: Action,
    /// Under which condition.
    pub expects: Expects,
    /// What that means, a line each, for people.
    pub notes: Vec<String>,
}

impl Change {
    /// The change that makes an object.
    pub(crate) fn create(phase: Phase, body: Value, notes: Vec<String>) -> Option<Self> {
        let object = Object::new(body).ok()?;
        Some(Self {
            phase,
            api_version: api_version(object.value()),
            object: object.reference().clone(),
            expects: Expects::Absent,
            action: Action::Create { body: object.into_value() },
            notes,
        })
    }

    /// The change that leads from an object to the wanted JSON, if it takes one: a patch where one can do it.
    pub(crate) fn update(phase: Phase, from: &Object, to: Value, notes: Vec<String>) -> Option<Self> {
        let merge = merge::diff(from.value(), &to)?;
        let action = match merge::is_reachable(&to, &merge) {
            true => Action::Patch { merge },
            false => Action::Replace { body: to },
        };
        Some(Self { action, ..Self::to(phase, from, notes) })
    }

    /// The change that removes an object.
    pub(crate) fn delete(phase: Phase, object: &Object, notes: Vec<String>) -> Self {
        Self::to(phase, object, notes)
    }

    fn to(phase: Phase, object: &Object, notes: Vec<String>) -> Self {
        let version = object.resource_version().map(|version| Expects::Version(version.into()));
        Self {
            phase,
            api_version: api_version(object.value()),
            object: object.reference().clone(),
            action: Action::Delete,
            expects: version.unwrap_or(Expects::Unversioned),
            notes,
        }
    }

    /// The same change, of an object that an earlier change of the plan has written.
    pub(crate) fn planned(mut self) -> Self {
        self.expects = Expects::Planned;
        self
    }

    /// What is done, as one word: `create`, `replace`, `patch` or `delete`.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self.action {
            Action::Create { .. } => "create",
            Action::Replace { .. } => "replace",
            Action::Patch { .. } => "patch",
            Action::Delete => "delete",
        }
    }

    /// What goes to the API server, with the version that it must check. `version` is that of the object after
    /// an earlier change of this plan, for a change that expects [`Expects::Planned`].
    #[must_use]
    pub fn body(&self, version: Option<&str>) -> Option<Value> {
        let mut body = match &self.action {
            Action::Create { body } | Action::Replace { body } => body.clone(),
            Action::Patch { merge } => merge.clone(),
            Action::Delete => return self.version(version).map(|version| {
                json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": version}})
            }),
        };
        if let Some(version) = self.version(version) {
            body["metadata"]["resourceVersion"] = version.into();
        }
        Some(body)
    }

    fn version<'a>(&'a self, planned: Option<&'a str>) -> Option<&'a str> {
        match &self.expects {
            Expects::Version(version) => Some(version),
            Expects::Planned => planned,
            Expects::Absent | Expects::Unversioned => None,
        }
    }
}

fn api_version(object: &Value) -> String {
    object["apiVersion"].as_str().unwrap_or(API_VERSION).into()
}

impl fmt::Display for Change {
    /// Writes a line for the change and one for each note, e.g.
    /// `routes    patch   VirtualService shop/web` and `            + canaryctl-gray-1a2b3c4d before `api``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8}  {:7}  {}", self.phase, self.verb(), self.object)?;
        self.notes.iter().try_for_each(|note| write!(f, "\n{:19}{note}", ""))
    }
}

impl Serialize for Change {
    /// Writes phase, verb, object, the version that is expected, and the body.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Change", 8)?;
        out.serialize_field("phase", &self.phase)?;
        out.serialize_field("verb", self.verb())?;
        out.serialize_field("apiVersion", &self.api_version)?;
        out.serialize_field("kind", &self.object.kind)?;
        out.serialize_field("namespace", &self.object.namespace)?;
        out.serialize_field("name", &self.object.name)?;
        let expects = match &self.expects {
            Expects::Absent => json!({"absent": true}),
            Expects::Version(version) => json!({"resourceVersion": version}),
            Expects::Planned => json!({"asPlanned": true}),
            Expects::Unversioned => json!({}),
        };
        out.serialize_field("expects", &expects)?;
        match &self.action {
            Action::Create { body } | Action::Replace { body } => out.serialize_field("body", body)?,
            Action::Patch { merge } => out.serialize_field("merge", merge)?,
            Action::Delete => out.skip_field("body")?,
        }
        out.end()
    }
}
