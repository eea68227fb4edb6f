//! What of a cluster's objects nobody else needs to know, taken out: values that tell users apart, and keys. Pure.

use std::collections::BTreeSet;

use canary_istio::observed::{MANAGED_BY_LABEL, MANAGER};
use serde_json::Value;

/// What stands for a value that was taken out.
pub(super) const REMOVED: &str = "(removed)";
/// What follows kubectl's own copy of an object.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What a condition of a rule may ask of a request that tells of nobody.
const OPEN_SUBJECTS: [&str; 3] = ["path", "method", "host"];
/// What joins conditions.
const JOINS: [&str; 3] = ["all", "any", "not"];
/// What of a subject's condition is no value.
const OPEN_FIELDS: [&str; 2] = ["name", "from"];
/// Matches of a VirtualService on what callers send.
const SENT: [&str; 3] = ["headers", "withoutHeaders", "queryParams"];
/// Shortest value that is looked for elsewhere, in bytes: shorter ones are in every text.
const LOOKED_FOR_MIN: usize = 4;

/// Takes values out, and remembers which.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    removed: BTreeSet<String>,
    /// What objects are called: that stays everywhere.
    names: BTreeSet<String>,
}

impl Redactor {
    /// An object of the cluster: rules' values, what VirtualServices match and set, what plugins are told.
    pub(super) fn object(&mut self, object: &mut Value) {
        let is_ours = object["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGER;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            self.names.extend(metadata.get("name").and_then(Value::as_str).map(str::to_owned));
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(APPLIED);
            }
        }
        match object["kind"].as_str() {
            Some("VirtualService") => {
                let routes = object.pointer_mut("/spec/http").and_then(Value::as_array_mut);
                routes.into_iter().flatten().for_each(|route| self.route(route, is_ours));
            }
            Some("WasmPlugin") => {
                for place in ["/spec/pluginConfig", "/spec/vmConfig"] {
                    if let Some(told) = object.pointer_mut(place) {
                        *told = REMOVED.into();
                    }
                }
            }
            Some(canary_release::KIND) => {
                self.rules(object);
                self.asked(object);
            }
            _ => self.rules(object),
        }
    }

    /// What a Release asks and tells: behind its host an address may hold a secret, and a Job anywhere.
    fn asked(&mut self, release: &mut Value) {
        let Some(spec) = release.get_mut("spec") else { return };
        for step in list(spec, "steps") {
            if let Some(job) = step.pointer_mut("/job/spec") {
                *job = REMOVED.into();
            }
            step.pointer_mut("/webhook/url").into_iter().for_each(|url| self.address(url));
        }
        list(spec, "notify").filter_map(|told| told.get_mut("url")).for_each(|url| self.address(url));
    }

    fn address(&mut self, url: &mut Value) {
        if let Value::String(text) = url {
            let host = format!("{}/{REMOVED}", canary_release::origin(text));
            self.removed.insert(std::mem::replace(text, host));
        }
    }

    /// Conditions of rules, wherever they stand.
    fn rules(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rules(item)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    if key == "when" { self.condition(value) } else { self.rules(value) }
                }
            }
            _ => {}
        }
    }

    fn condition(&mut self, condition: &mut Value) {
        match condition {
            Value::Array(items) => items.iter_mut().for_each(|item| self.condition(item)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match key.as_str() {
                        key if JOINS.contains(&key) => self.condition(value),
                        key if OPEN_SUBJECTS.contains(&key) => {}
                        _ => self.values(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// Every text and number in it, but for names.
    fn values(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.values(item)),
            Value::Object(fields) => {
                let closed = fields.iter_mut().filter(|(key, _)| !OPEN_FIELDS.contains(&key.as_str()));
                closed.for_each(|(_, value)| self.values(value));
            }
            Value::String(text) => {
                self.removed.insert(std::mem::replace(text, REMOVED.into()));
            }
            Value::Number(_) => *value = REMOVED.into(),
            Value::Bool(_) | Value::Null => {}
        }
    }

    /// What a route matches stays where it is the lane that one of ours is called after.
    fn route(&mut self, route: &mut Value, is_ours: bool) {
        let name = route["name"].as_str().unwrap_or_default().to_owned();
        let is_ours = is_ours || canary_istio::routes::is_ours(&name);
        let is_lane =
            |want: &Value| is_ours && want["exact"].as_str().is_some_and(|lane| name.contains(lane));
        for one in list(route, "match") {
            for key in SENT {
                let sent = one.get_mut(key).and_then(Value::as_object_mut).into_iter().flatten();
                sent.map(|(_, want)| want).filter(|want| !is_lane(want)).for_each(|want| self.values(want));
            }
        }
        self.operations(route);
        list(route, "route").for_each(|to| self.operations(to));
    }

    /// What headers are set to.
    fn operations(&mut self, holder: &mut Value) {
        let Some(headers) = holder.get_mut("headers").and_then(Value::as_object_mut) else { return };
        for operations in headers.values_mut() {
            for key in ["set", "add"] {
                if let Some(values) = operations.get_mut(key) {
                    self.values(values);
                }
            }
        }
    }

    /// A text without the values that were taken out elsewhere.
    pub(super) fn text(&self, text: &str) -> String {
        let is_looked_for = |value: &&String| value.len() >= LOOKED_FOR_MIN && !self.names.contains(*value);
        let removed = self.removed.iter().filter(is_looked_for);
        // A longer one may hold a shorter one.
        let mut removed: Vec<&String> = removed.collect();
        removed.sort_by_key(|value| std::cmp::Reverse(value.len()));
        removed.into_iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), REMOVED))
    }
}

fn list<'v>(holder: &'v mut Value, key: &str) -> impl Iterator<Item = &'v mut Value> + use<'v> {
    holder.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(mut object: Value, want: &Value) {
        Redactor::default().object(&mut object);
        assert_eq!(object, *want);
    }

    #[test]
    fn a_release_keeps_the_hosts_that_it_asks_and_loses_what_is_behind_them() {
        let release = |webhook: &str, chat: &str, job: Value| {
            json!({"kind": "Release", "spec": {
                "steps": [{"share": 1}, {"webhook": {"url": webhook}}, {"job": {"spec": job}}], "notify": [{"url": chat}],
            }})
        };
        check(
            release("http://ci:8080/leave?token=secret", "https://chat/secret", json!({"env": "secret"})),
            &release("http://ci:8080/(removed)", "https://chat/(removed)", json!(REMOVED)),
        );
    }

    #[test]
    fn a_lane_keeps_its_shape_and_loses_whom_it_names() {
        let lane = json!({
            "kind": "Lane",
            "metadata": {"name": "gray", "managedFields": [1], "annotations": {APPLIED: "{...}", "a": "b"}},
            "spec": {"priority": 10, "rules": [
                {"name": "testers", "percent": 5, "when": {
                    "cookie": {"name": "user", "in": ["alice", "bob"]},
                    "any": [{"header": {"name": "x-id", "min": 7}}, {"not": {"client": {"cidr": ["10.1.2.3/32"]}}}],
                    "path": {"prefix": "/cart"}, "claim": {"name": "sub", "exists": true},
                }},
            ]},
        });
        let want = json!({
            "kind": "Lane",
            "metadata": {"name": "gray", "annotations": {"a": "b"}},
            "spec": {"priority": 10, "rules": [
                {"name": "testers", "percent": 5, "when": {
                    "cookie": {"name": "user", "in": [REMOVED, REMOVED]},
                    "any": [{"header": {"name": "x-id", "min": REMOVED}}, {"not": {"client": {"cidr": [REMOVED]}}}],
                    "path": {"prefix": "/cart"}, "claim": {"name": "sub", "exists": true},
                }},
            ]},
        });
        check(lane, &want);
    }

    #[test]
    fn a_users_route_loses_what_it_matches_and_sets_and_ours_keep_it() {
        let routes = |ours: &str, users: &str, set: &str| {
            let cookie = json!({"regex": users});
            let gray = json!([{"headers": {"x-canary-lane": {"exact": ours}, "cookie": cookie}}]);
            json!({"kind": "VirtualService", "spec": {"http": [
                {"name": "canaryctl-gray-0123abcd", "match": gray},
                {"match": [{"headers": {"cookie": {"regex": users}}, "uri": {"prefix": "/a"}}],
                    "headers": {"request": {"set": {"authorization": set}, "remove": ["x"]}}},
            ]}})
        };
        check(routes("gray", "user=alice", "Basic YWJj"), &routes("gray", REMOVED, REMOVED));
    }

    #[test]
    fn a_plugin_loses_what_it_is_told() {
        let plugin =
            |config: Value| json!({"kind": "WasmPlugin", "spec": {"url": "u", "pluginConfig": config}});
        check(plugin(json!({"keys": [{"secret": "s"}]})), &plugin(REMOVED.into()));
    }

    #[test]
    fn what_was_taken_out_is_taken_out_of_texts_too() {
        let mut redactor = Redactor::default();
        let mut lane = json!({"kind": "Lane", "metadata": {"name": "gray"},
            "spec": {"rules": [{"when": {"cookie": {"name": "user", "in": ["alice", "alice-2", "bob", "gray"]}}}]}});
        redactor.object(&mut lane);
        assert_eq!(redactor.text("gray: alice-2, alice, bob"), format!("gray: {REMOVED}, {REMOVED}, bob"));
    }
}
