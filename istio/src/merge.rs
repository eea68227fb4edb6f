//! JSON merge patches (RFC 7386): what leads from one value to another, and what a patch does.

use serde_json::{Map, Value};

/// The patch that leads from one value to another, or nothing if they are equal.
///
/// A value that holds nulls inside objects cannot always be reached by a patch: see [`is_reachable`].
pub(crate) fn diff(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else {
        return Some(to.clone());
    };
    let mut changes = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = match old.get(key) {
            Some(old) => diff(old, value),
            None => Some(value.clone()),
        };
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    Some(Value::Object(changes))
}

/// Whether a patch from [`diff`] leads to exactly this value. A null in an object means removal there, so a null
/// that is to be set cannot be said; lists are replaced whole, nulls and all.
pub(crate) fn is_reachable(to: &Value, change: &Value) -> bool {
    let (Some(new), Some(changes)) = (to.as_object(), change.as_object()) else { return true };
    changes.iter().all(|(key, change)| match new.get(key) {
        Some(new) => !change.is_null() && is_reachable(new, change),
        None => true,
    })
}

/// Applies a patch as an API server does; keys that stay keep their place.
pub(crate) fn patch(target: &mut Value, change: &Value) {
    let Some(changes) = change.as_object() else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.shift_remove(key);
        } else {
            patch(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(from: Value, to: Value, want: Value) {
        let change = diff(&from, &to).expect("a difference");
        assert_eq!(change, want);
        check_reached(from, to, true);
    }

    #[track_caller]
    fn check_reached(from: Value, to: Value, want: bool) {
        let change = diff(&from, &to).expect("a difference");
        let mut patched = from;
        patch(&mut patched, &change);
        assert_eq!(patched == to, want);
        assert_eq!(is_reachable(&to, &change), want);
    }

    #[test]
    fn a_null_cannot_be_set() {
        check_reached(json!({}), json!({"a": null}), false);
        check_reached(json!({"a": 1}), json!({"a": {"b": null}}), false);
        check_reached(json!({"a": {}}), json!({"a": {"b": {"c": null}}}), false);
        check_reached(json!({"a": null}), json!({"a": null, "b": 1}), true);
        check_reached(json!({}), json!({"a": [null, {"b": null}]}), true);
        check_reached(json!({"a": null}), json!({}), true);
    }

    #[test]
    fn a_patch_says_what_differs() {
        check(
            json!({"a": 1, "b": {"c": 2, "d": 3}}),
            json!({"b": {"c": 4, "d": 3}, "e": 5}),
            json!({"a": null, "b": {"c": 4}, "e": 5}),
        );
        check(json!({"a": [1, 2]}), json!({"a": [1]}), json!({"a": [1]}));
        check(json!({"a": 1}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}}));
        assert_eq!(diff(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1})), None);
    }
}
