//! JSON Patch (RFC 6902): the operations that lead from one value to another. Lists are replaced whole.

use serde_json::{Value, json};

/// The operations, in the order in which they work.
pub(super) fn between(from: &Value, to: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    walk("", from, to, &mut operations);
    operations
}

fn walk(path: &str, from: &Value, to: &Value, operations: &mut Vec<Value>) {
    if from == to {
        return;
    }
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else {
        operations.push(json!({"op": "replace", "path": path, "value": to}));
        return;
    };
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        operations.push(json!({"op": "remove", "path": below(path, key)}));
    }
    for (key, value) in new {
        match old.get(key) {
            Some(old) => walk(&below(path, key), old, value, operations),
            None => operations.push(json!({"op": "add", "path": below(path, key), "value": value})),
        }
    }
}

fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: Value, to: Value, want: Value) {
        assert_eq!(Value::from(between(&from, &to)), want);
    }

    #[test]
    fn operations_say_what_differs() {
        check(json!({"a": 1}), json!({"a": 1}), json!([]));
        check(json!({"a": 1}), json!({"a": 2}), json!([{"op": "replace", "path": "/a", "value": 2}]));
        check(
            json!({"spec": {"http": [1], "gone": 1}}),
            json!({"spec": {"http": [1, 2], "new": {"b": 1}}}),
            json!([
                {"op": "remove", "path": "/spec/gone"},
                {"op": "replace", "path": "/spec/http", "value": [1, 2]},
                {"op": "add", "path": "/spec/new", "value": {"b": 1}},
            ]),
        );
        check(json!({"a": null}), json!({"a": {}}), json!([{"op": "replace", "path": "/a", "value": {}}]));
    }

    #[test]
    fn keys_are_escaped() {
        check(
            json!({"m": {}}),
            json!({"m": {"canaryctl.io/original~": "x"}}),
            json!([{"op": "add", "path": "/m/canaryctl.io~1original~0", "value": "x"}]),
        );
    }
}
