//! Which namespaces Istio looks at: `discoverySelectors` of its settings. What lies elsewhere does not exist for it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde_json::Value;

/// What a namespace must be like.
#[derive(Debug, Clone, Default)]
pub(super) struct Discovery {
    /// One of them has to hold; none hold for everything.
    selectors: Vec<Selector>,
}

impl Discovery {
    /// What a MeshConfig says.
    pub(super) fn from_config(config: &Value) -> Self {
        let selectors = config["discoverySelectors"].as_array().into_iter().flatten();
        let read = |selector: &Value| {
            let selector: LabelSelector = serde_json::from_value(selector.clone()).ok()?;
            Selector::try_from(selector).ok()
        };
        // Istio leaves all of them out of account when one makes no sense.
        let selectors: Option<Vec<Selector>> = selectors.map(read).collect();
        Self { selectors: selectors.unwrap_or_default() }
    }

    /// Whether Istio looks at a namespace, given as an object.
    #[must_use]
    pub(super) fn holds(&self, namespace: &Value) -> bool {
        let labels: BTreeMap<String, String> =
            serde_json::from_value(namespace["metadata"]["labels"].clone()).unwrap_or_default();
        self.selectors.is_empty() || self.selectors.iter().any(|selector| selector.matches(&labels))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(selectors: Value, labels: Value, want: bool) {
        let config = json!({"discoverySelectors": selectors});
        let namespace = json!({"metadata": {"name": "shop", "labels": labels}});
        assert_eq!(Discovery::from_config(&config).holds(&namespace), want);
    }

    #[test]
    fn a_namespace_is_looked_at_when_one_selector_holds() {
        let enabled = json!({"matchLabels": {"mesh": "on"}});
        let staged = json!({"matchExpressions": [{"key": "stage", "operator": "In", "values": ["a", "b"]}]});
        check(json!([enabled, staged]), json!({"mesh": "on"}), true);
        check(json!([enabled, staged]), json!({"stage": "b"}), true);
        check(json!([enabled, staged]), json!({"stage": "c"}), false);
        check(json!([enabled]), Value::Null, false);
    }

    #[test]
    fn without_selectors_everything_is_looked_at() {
        check(json!([]), Value::Null, true);
        check(Value::Null, Value::Null, true);
        check(json!([{}]), Value::Null, true);
        check(json!([{"matchExpressions": [{"key": "a", "operator": "Near"}]}]), Value::Null, true);
    }
}
