//! A lane's copy of one route of the user's.

use serde_json::{Map, Value, json};

use super::RootTerms;
use crate::lane::RefusalStatus;
use crate::plan::{Destination, REFUSAL_HEADER};

/// Whose requests a copy takes.
#[derive(Clone, Copy)]
pub(super) enum Meant<'a> {
    /// Those with this tag.
    Tagged(&'a str),
    /// Those without any.
    Untagged,
    /// All that the original takes.
    All,
}

/// What a copy is made from.
#[derive(Clone, Copy)]
pub(super) struct Copy<'a> {
    pub(super) original: &'a Map<String, Value>,
    pub(super) meant: Meant<'a>,
    pub(super) tag_header: &'a str,
}

impl Copy<'_> {
    /// The copy: the original's conditions with the tag, if there is one, the original's actions with the lane's
    /// destinations.
    /// `to` says where the lane goes instead of a destination, by its position.
    pub(super) fn build<'p>(
        &self,
        name: &str,
        terms: &RootTerms,
        to: &dyn Fn(usize) -> Option<&'p Destination>,
    ) -> Value {
        let mut route = Map::with_capacity(self.original.len() + 2);
        route.insert("name".into(), name.into());
        if let Some(matches) = self.matches(terms) {
            route.insert("match".into(), matches);
        }
        match self.refusal(to) {
            Some((status, reason)) => self.refuse(status, reason, &mut route),
            None => self.forward(to, &mut route),
        }
        Value::Object(route)
    }

    fn matches(&self, terms: &RootTerms) -> Option<Value> {
        if matches!(self.meant, Meant::All) {
            return self.original.get("match").cloned();
        }
        let originals = self.original.get("match").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if originals.is_empty() {
            let mut fresh = Map::new();
            if terms.ignore_uri_case {
                fresh.insert("ignoreUriCase".into(), true.into());
            }
            if !terms.source_namespace.is_empty() {
                fresh.insert("sourceNamespace".into(), terms.source_namespace.as_str().into());
            }
            return Some(json!([self.asking(&Value::Object(fresh))]));
        }
        Some(originals.iter().map(|original| self.asking(original)).collect())
    }

    /// A match with what is asked of the tag besides.
    fn asking(&self, original: &Value) -> Value {
        let (field, condition) = match self.meant {
            Meant::Tagged(tag) => ("headers", json!({"exact": tag})),
            // A condition that says nothing is about the header's presence.
            Meant::Untagged => ("withoutHeaders", json!({})),
            Meant::All => return original.clone(),
        };
        let mut asking = original.as_object().cloned().unwrap_or_default();
        let headers = asking.entry(field).or_insert(Value::Null);
        if !headers.is_object() {
            *headers = Value::Object(Map::new());
        }
        headers[self.tag_header] = condition;
        Value::Object(asking)
    }

    /// A strict lane is served whole or not at all: one destination without a member refuses the route.
    fn refusal<'p>(&self, to: &dyn Fn(usize) -> Option<&'p Destination>) -> Option<(RefusalStatus, &'p str)> {
        let count = self.original.get("route").and_then(Value::as_array).map_or(0, Vec::len);
        (0..count).find_map(|index| match to(index) {
            Some(Destination::Refuse { status, reason }) => Some((*status, reason.as_str())),
            _ => None,
        })
    }

    /// Istio takes no rewrite, fault or destination beside an answer; browsers need the CORS policy to see it.
    fn refuse(&self, status: RefusalStatus, reason: &str, route: &mut Map<String, Value>) {
        if let Some(cors) = self.original.get("corsPolicy") {
            route.insert("corsPolicy".into(), cors.clone());
        }
        route.insert("directResponse".into(), json!({"status": status.get()}));
        route.insert("headers".into(), json!({"response": {"set": {REFUSAL_HEADER: reason}}}));
    }

    fn forward<'p>(&self, to: &dyn Fn(usize) -> Option<&'p Destination>, route: &mut Map<String, Value>) {
        for (key, value) in self.original {
            if !route.contains_key(key) {
                route.insert(key.clone(), value.clone());
            }
        }
        let destinations = route.get_mut("route").and_then(Value::as_array_mut).into_iter().flatten();
        for (index, weighted) in destinations.enumerate() {
            if let Some(Destination::Subset(subset)) = to(index)
                && let Some(destination) = weighted.get_mut("destination").and_then(Value::as_object_mut)
            {
                destination.insert("subset".into(), subset.as_str().into());
            }
        }
    }
}
