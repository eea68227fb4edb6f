//! What an edit of routes means to people.

use serde_json::Value;

use crate::routes;

/// Each route of ours that comes or goes.
pub(super) fn route_notes(before: &[Value], after: &[Value]) -> Vec<String> {
    let ours = |routes: &[Value]| -> Vec<String> {
        let names = routes.iter().filter_map(|route| route["name"].as_str());
        names.filter(|name| routes::is_ours(name)).map(Into::into).collect()
    };
    let (old, new) = (ours(before), ours(after));
    let mut notes = Vec::new();
    notes.extend(old.iter().filter(|name| !new.contains(name)).map(|name| format!("- {name}")));
    let mut position = 0;
    for (at, route) in after.iter().enumerate() {
        match route["name"].as_str().filter(|name| routes::is_ours(name)) {
            None => position += 1,
            Some(name) if old.iter().any(|old| old == name) => {}
            Some(name) => {
                let next = after
                    .get(at..)
                    .into_iter()
                    .flatten()
                    .find(|route| !route["name"].as_str().is_some_and(routes::is_ours));
                let next = next.map_or_else(String::new, |next| routes::route_label(next, position));
                notes.push(format!("+ {name} before {next}"));
            }
        }
    }
    if notes.is_empty() {
        notes.push("routes of lanes follow their originals".into());
    }
    notes
}
