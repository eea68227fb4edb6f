//! Edits of a user's object that can be taken back exactly.
//!
//! What an edit replaced is kept in an annotation of the object itself, so that nothing but the object is
//! needed to restore it. Taking back puts a value back only where ours still stands: what a user has changed
//! since is theirs.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

#[cfg(test)]
mod tests;

/// The annotation that keeps what our edits replaced.
pub const ANNOTATION: &str = "canaryctl.io/original";

/// A step into an object or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The field of this name.
    Key(&'static str),
    /// The first element that has these fields with these values.
    Item(Map<String, Value>),
}

/// Sets one value: a field, or an element at the end of a list that lacks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) at: Vec<Step>,
    pub(crate) value: Value,
}

/// The object with the edits, and with what they replaced in its annotation.
///
/// An edit below something that is no object, or in a list without that element, is left out.
pub(crate) fn apply(original: &Value, edits: &[Edit]) -> Value {
    let mut edited = original.clone();
    if edits.is_empty() {
        return edited;
    }
    let mut kept = Vec::new();
    let annotations = [Step::Key("metadata"), Step::Key("annotations")];
    if !edited["metadata"]["annotations"].is_object() {
        set(&mut edited, &annotations, &json!({}), &mut kept);
    }
    for edit in edits {
        if lookup(&edited, &edit.at) != Some(&edit.value) {
            set(&mut edited, &edit.at, &edit.value, &mut kept);
        }
    }
    edited["metadata"]["annotations"][ANNOTATION] = Value::Array(kept).to_string().into();
    edited
}

/// The object as it was before our edits, with what its owner changed since.
pub(crate) fn undo(edited: &Value) -> Cow<'_, Value> {
    let Some(kept) = edited["metadata"]["annotations"].get(ANNOTATION) else {
        return Cow::Borrowed(edited);
    };
    let kept: Value = kept.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut original = edited.clone();
    if let Some(annotations) = original["metadata"]["annotations"].as_object_mut() {
        annotations.shift_remove(ANNOTATION);
    }
    for entry in kept.as_array().into_iter().flatten().rev() {
        put_back(&mut original, entry);
    }
    Cow::Owned(original)
}

/// Sets a value without keeping what it replaces, for objects of ours.
pub(crate) fn write(object: &mut Value, edits: Vec<Edit>) {
    for Edit { at, value } in edits {
        for (way, empty) in parents(&at) {
            if lookup(object, way).is_none_or(Value::is_null) {
                put(object, way, empty);
            }
        }
        put(object, &at, value);
    }
}

/// Sets a value, makes the objects and lists on the way to it, and keeps what each of these steps replaced.
fn set(root: &mut Value, at: &[Step], value: &Value, kept: &mut Vec<Value>) {
    for (way, empty) in parents(at) {
        if lookup(root, way).is_none_or(Value::is_null) {
            replace(root, way, &empty, kept);
        }
    }
    replace(root, at, value, kept);
}

/// The fields on the way to a value, each with what it is before anything is in it.
fn parents(at: &[Step]) -> impl Iterator<Item = (&[Step], Value)> {
    (1..at.len()).filter_map(|length| match at.split_at_checked(length)? {
        (way @ [.., Step::Key(_)], [Step::Key(_), ..]) => Some((way, json!({}))),
        (way @ [.., Step::Key(_)], [Step::Item(_), ..]) => Some((way, json!([]))),
        _ => None,
    })
}

fn replace(root: &mut Value, at: &[Step], value: &Value, kept: &mut Vec<Value>) {
    let Some(before) = put(root, at, value.clone()) else { return };
    let mut entry = json!({"at": at.iter().map(Step::to_json).collect::<Vec<_>>(), "now": value});
    if let Before::Was(was) = before {
        entry["was"] = was;
    }
    kept.push(entry);
}

/// What was where a value is now.
enum Before {
    Nothing,
    Was(Value),
}

/// Puts a value in its place, if there is one.
fn put(root: &mut Value, at: &[Step], value: Value) -> Option<Before> {
    let (last, way) = at.split_last()?;
    match (last, lookup_mut(root, way)?) {
        (Step::Key(key), Value::Object(parent)) => {
            Some(parent.insert((*key).into(), value).map_or(Before::Nothing, Before::Was))
        }
        (Step::Item(fields), Value::Array(items)) if !items.iter().any(|item| has(item, fields)) => {
            items.push(value);
            Some(Before::Nothing)
        }
        _ => None,
    }
}

fn put_back(root: &mut Value, entry: &Value) {
    let steps: Vec<&Value> = entry["at"].as_array().into_iter().flatten().collect();
    let Some((last, way)) = steps.split_last() else { return };
    let mut at = root;
    for step in way {
        let next = match step {
            Value::String(key) => at.get_mut(key),
            Value::Object(fields) => at.as_array_mut().and_then(|items| find(items, fields)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return,
        }
    }
    let now = &entry["now"];
    match (last, at) {
        (Value::String(key), Value::Object(parent)) if parent.get(key) == Some(now) => {
            match entry.get("was") {
                Some(was) => parent.insert(key.clone(), was.clone()),
                None => parent.shift_remove(key),
            };
        }
        (Value::Object(_), Value::Array(items)) => {
            if let Some(ours) = items.iter().position(|item| item == now) {
                items.remove(ours);
            }
        }
        _ => {}
    }
}

impl Step {
    fn to_json(&self) -> Value {
        match self {
            Self::Key(key) => (*key).into(),
            Self::Item(fields) => Value::Object(fields.clone()),
        }
    }
}

fn lookup<'a>(root: &'a Value, at: &[Step]) -> Option<&'a Value> {
    at.iter().try_fold(root, |at, step| match step {
        Step::Key(key) => at.get(key),
        Step::Item(fields) => at.as_array()?.iter().find(|item| has(item, fields)),
    })
}

fn lookup_mut<'a>(root: &'a mut Value, at: &[Step]) -> Option<&'a mut Value> {
    at.iter().try_fold(root, |at, step| match step {
        Step::Key(key) => at.get_mut(key),
        Step::Item(fields) => find(at.as_array_mut()?, fields),
    })
}

fn find<'a>(items: &'a mut [Value], fields: &Map<String, Value>) -> Option<&'a mut Value> {
    items.iter_mut().find(|item| has(item, fields))
}

fn has(item: &Value, fields: &Map<String, Value>) -> bool {
    fields.iter().all(|(key, value)| item.get(key) == Some(value))
}
