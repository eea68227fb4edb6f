//! How Istio merges delegates into their roots.
//!
//! Source: `mergeVirtualServices` and `MergeHTTPRoutes` in pilot/pkg/model.

use serde_json::{Map, Value};

/// The routes of a root with each delegation replaced by the delegate's routes; each route has its origin with it.
/// `find` gives a delegate's routes by namespace and name.
pub(crate) fn expand<'v, O>(
    root: impl IntoIterator<Item = (O, &'v Value)>,
    namespace: &str,
    find: impl Fn(&str, &str) -> Vec<(O, &'v Value)>,
) -> Vec<(O, Value)> {
    let mut merged = Vec::new();
    for (origin, route) in root {
        let delegate = &route["delegate"];
        if delegate.is_null() {
            merged.push((origin, route.clone()));
            continue;
        }
        let namespace = delegate["namespace"].as_str().filter(|text| !text.is_empty()).unwrap_or(namespace);
        let leaves = find(namespace, delegate["name"].as_str().unwrap_or_default());
        merged.extend(leaves.into_iter().filter_map(|(origin, leaf)| Some((origin, merge(route, leaf)?))));
    }
    merged
}

fn merge(root: &Value, leaf: &Value) -> Option<Value> {
    let mut merged = leaf.clone();
    merged["match"] = merge_matches(&root["match"], &leaf["match"])?;
    let inherited = [
        "rewrite",
        "directResponse",
        "timeout",
        "retries",
        "fault",
        "mirror",
        "mirrorPercent",
        "mirrorPercentage",
        "corsPolicy",
        "mirrors",
        "headers",
    ];
    for key in inherited {
        if merged[key].is_null() {
            merged[key] = root[key].clone();
        }
    }
    Some(merged)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn merge_matches(root: &Value, leaf: &Value) -> Option<Value> {
    if list(root).is_empty() {
        return Some(leaf.clone());
    }
    if list(leaf).is_empty() {
        return Some(root.clone());
    }
    let mut merged = Vec::new();
    for one in list(leaf) {
        let agreeing: Vec<&Value> = list(root).iter().filter(|root| !conflicts(root, one)).collect();
        if agreeing.is_empty() {
            return None;
        }
        merged.extend(agreeing.into_iter().map(|root| merge_match(root, one)));
    }
    Some(merged.into())
}

fn merge_match(root: &Value, leaf: &Value) -> Value {
    let mut merged = leaf.clone();
    for key in ["uri", "scheme", "method", "authority", "port", "sourceNamespace", "gateways"] {
        if merged[key].is_null() {
            merged[key] = root[key].clone();
        }
    }
    for key in ["headers", "withoutHeaders", "queryParams", "sourceLabels"] {
        let mut both: Map<String, Value> = root[key].as_object().cloned().unwrap_or_default();
        both.extend(leaf[key].as_object().cloned().unwrap_or_default());
        merged[key] = Value::Object(both);
    }
    merged
}

fn conflicts(root: &Value, leaf: &Value) -> bool {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let strings = ["uri", "scheme", "method", "authority"];
    let maps = ["headers", "withoutHeaders", "queryParams"];
    let port = |value: &Value| value["port"].as_u64().unwrap_or(0);
    let labels = leaf["sourceLabels"].as_object().into_iter().flatten();
    let gateways = (list(&root["gateways"]), list(&leaf["gateways"]));
    strings.iter().any(|key| strings_conflict(&root[*key], &leaf[*key]))
        || maps.iter().any(|map| {
            let fields = leaf[*map].as_object().into_iter().flatten();
            fields.into_iter().any(|(key, value)| strings_conflict(&root[*map][key.as_str()], value))
        })
        || root["ignoreUriCase"].as_bool().unwrap_or(false)
            != leaf["ignoreUriCase"].as_bool().unwrap_or(false)
        || (port(root) > 0 && port(leaf) > 0 && port(root) != port(leaf))
        || (!text(root, "sourceNamespace").is_empty()
            && text(root, "sourceNamespace") != text(leaf, "sourceNamespace"))
        || labels.into_iter().any(|(key, value)| {
            let of_root = &root["sourceLabels"][key.as_str()];
            !of_root.is_null() && of_root != value
        })
        || (!gateways.0.is_empty() && gateways.1.iter().any(|gateway| !gateways.0.contains(gateway)))
}

fn strings_conflict(root: &Value, leaf: &Value) -> bool {
    if root.is_null() || leaf.is_null() {
        return false;
    }
    let get = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let is_set = |value: &Value, keys: &[&str]| keys.iter().any(|key| !get(value, key).is_empty());
    let any = ["regex", "prefix", "exact"];
    if (is_set(root, &["regex"]) && is_set(leaf, &any)) || (is_set(leaf, &["regex"]) && is_set(root, &any)) {
        return true;
    }
    let (exact, prefix) = (get(root, "exact"), get(root, "prefix"));
    if !exact.is_empty() {
        return is_set(leaf, &["prefix"]) || get(leaf, "exact") != exact;
    }
    if !prefix.is_empty() {
        if is_set(leaf, &["prefix"]) {
            return !get(leaf, "prefix").starts_with(&prefix);
        }
        if is_set(leaf, &["exact"]) {
            return !get(leaf, "exact").starts_with(&prefix);
        }
    }
    true
}
