//! What a user's route has to do with the tag header itself.

use serde_json::Value;

use super::matches_of;

/// Whether a condition of the route is about the header.
pub(super) fn is_matched(route: &Value, header: &str) -> bool {
    let names = |fields: &Value| {
        fields.as_object().is_some_and(|fields| fields.keys().any(|key| key.eq_ignore_ascii_case(header)))
    };
    matches_of(route).iter().any(|one| names(&one["headers"]) || names(&one["withoutHeaders"]))
}

/// Whether the route sets, adds or removes the header on the way to a destination.
pub(super) fn is_written(route: &Value, header: &str) -> bool {
    let destinations = route["route"].as_array().into_iter().flatten();
    let mut operations = destinations.map(|weighted| &weighted["headers"]).chain([&route["headers"]]);
    operations.any(|headers| {
        let request = &headers["request"];
        let named = |key: &String| key.eq_ignore_ascii_case(header);
        let sets = ["set", "add"]
            .iter()
            .any(|kind| request[*kind].as_object().is_some_and(|fields| fields.keys().any(named)));
        let removed = request["remove"].as_array().into_iter().flatten().filter_map(Value::as_str);
        sets || removed.into_iter().any(|name| name.eq_ignore_ascii_case(header))
    })
}
