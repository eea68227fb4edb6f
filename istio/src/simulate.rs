//! What a change does to a mesh, without a cluster: for `diff`, and for the proofs that plans are safe.

use serde_json::Value;

use crate::change::{Action, Change, Expects};
use crate::merge;
use crate::observed::{Object, Observed};

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The object is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// The object is not there.
    #[error("{0} does not exist")]
    Missing(String),
    /// The object has another version.
    #[error("{0} was changed since it was read")]
    Version(String),
}

/// Makes a change, as an API server would: the object gets a new version.
///
/// # Errors
/// When what the change expects is not so.
pub fn apply(observed: &mut Observed, change: &Change) -> Result<(), Conflict> {
    let list = match change.object.kind.as_str() {
        "VirtualService" => &mut observed.virtual_services,
        "DestinationRule" => &mut observed.destination_rules,
        _ => &mut observed.edge,
    };
    let name = || change.object.to_string();
    let found = list.iter().position(|object| *object.reference() == change.object);
    if let Action::Create { body } = &change.action {
        if found.is_some() {
            return Err(Conflict::Exists(name()));
        }
        list.extend(versioned(body.clone(), None));
        return Ok(());
    }
    let at = found.ok_or_else(|| Conflict::Missing(name()))?;
    let object = list.get(at).ok_or_else(|| Conflict::Missing(name()))?;
    if let Expects::Version(version) = &change.expects
        && object.resource_version() != Some(version)
    {
        return Err(Conflict::Version(name()));
    }
    let before = object.resource_version().map(str::to_owned);
    let mut value = list.remove(at).into_value();
    match &change.action {
        Action::Create { .. } | Action::Delete => return Ok(()),
        Action::Replace { body } => value = body.clone(),
        Action::Patch { merge } => merge::patch(&mut value, merge),
    }
    if let Some(object) = versioned(value, before.as_deref()) {
        list.insert(at, object);
    }
    Ok(())
}

/// The object with the version after this one. An object without version, as from a file, gets none.
fn versioned(mut value: Value, before: Option<&str>) -> Option<Object> {
    if let Some(number) = before.and_then(|version| version.parse::<u64>().ok()) {
        value["metadata"]["resourceVersion"] = (number + 1).to_string().into();
    }
    Object::new(value).ok()
}
