//! Codes of what `check` looks at itself; what the planner finds has [`canary_istio::Finding`]'s. A code never changes
//! its meaning.

use super::Weight;

/// A code, and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// E.g. `CC201`.
    pub code: &'static str,
    /// How bad it is.
    pub weight: Weight,
    /// What is so.
    pub about: &'static str,
    /// What to do about it.
    pub mend: &'static str,
}

const fn known(code: &'static str, weight: Weight, about: &'static str, mend: &'static str) -> Known {
    Known { code, weight, about, mend }
}

/// All of them, in order.
pub const ALL: &[Known] = &[
    known(
        "CC201",
        Weight::Warning,
        "This version of Kubernetes was not tested.",
        "Try it on a test cluster first.",
    ),
    known("CC202", Weight::Error, "The API server does not say its version.", "`kubectl version` says why."),
    known(
        "CC203",
        Weight::Warning,
        "This version of Istio was not tested.",
        "Try it on a test cluster first.",
    ),
    known("CC204", Weight::Error, "istiod does not say its version.", "Lanes need an istiod that answers."),
    known(
        "CC210",
        Weight::Error,
        "A right that an installation takes is not yours.",
        "Ask for it; `kubectl auth can-i` must say yes.",
    ),
    known(
        "CC220",
        Weight::Error,
        "No ingress gateway was found: nothing would decide who is in a lane.",
        "Name yours: `canaryctl install --gateway NAMESPACE/LABEL=VALUE`.",
    ),
    known("CC221", Weight::Error, "canaryctl is not installed.", "`canaryctl install`"),
    known(
        "CC222",
        Weight::Error,
        "No controller is ready: lanes stay as they are, changes to them do nothing.",
        "`kubectl -n canaryctl-system describe pods` says why.",
    ),
    known(
        "CC223",
        Weight::Warning,
        "Lane's definition is another version's: fields may be dropped.",
        "`canaryctl install`",
    ),
    known("CC224", Weight::Error, "The cluster knows no Lanes.", "`canaryctl install`"),
    known("CC225", Weight::Error, "A WasmPlugin of the installation is missing.", "`canaryctl install`"),
    known(
        "CC226",
        Weight::Info,
        "Proxies run another build of the filter than this canaryctl carries.",
        "`canaryctl install` brings them to this one.",
    ),
    known(
        "CC227",
        Weight::Error,
        "You may not look for gateways.",
        "Name yours: `canaryctl install --gateway NAMESPACE/LABEL=VALUE`.",
    ),
    known(
        "CC228",
        Weight::Warning,
        "The API server does not trust the webhook: what a tool wipes comes back a moment later.",
        "The controller mends it within a minute; if not, `canaryctl install`.",
    ),
    known(
        "CC229",
        Weight::Error,
        "Istio does not look at a namespace that we need: its discoverySelectors leave it out.",
        "Label the namespace as the selectors want it.",
    ),
    known("CC301", Weight::Error, "A Lane cannot be.", "Correct it and apply it again."),
    known(
        "CC302",
        Weight::Info,
        "A lane has no members: its users are served by the baseline.",
        "Label pods `canaryctl.io/lane=LANE`.",
    ),
    known(
        "CC303",
        Weight::Warning,
        "A pod is in a lane but has no sidecar: what it calls leaves the lane.",
        "Turn injection on in its namespace, and restart it.",
    ),
    known(
        "CC304",
        Weight::Warning,
        "Pods lack labels by which proxies find them; `render` alone says so, for the controller sets them.",
        "Set them with the line that it prints, and in the workload's template.",
    ),
    known(
        "CC305",
        Weight::Warning,
        "NetworkPolicies do not let pods fetch the filter: one that starts there loses tags.",
        "Let them reach its source; the finding prints the rule.",
    ),
    known(
        "CC306",
        Weight::Info,
        "NetworkPolicies cannot be read: whether proxies may fetch the filter is not known.",
        "Ask for the right to list them.",
    ),
    known(
        "CC307",
        Weight::Warning,
        "Nobody waits for a pod's proxy: what it calls may be routed by rules of the past.",
        "Restart the pod, or take the annotation `canaryctl.io/awaited` off.",
    ),
    known(
        "CC308",
        Weight::Warning,
        "A policy that holds for a service's own pods does not hold for pods that serve a lane of it.",
        "Give those pods the labels by which the policy selects, or select by labels that all of them have.",
    ),
    known(
        "CC309",
        Weight::Info,
        "Policies cannot be read: whether they hold for lanes' pods is not known.",
        "Ask for the right to list them.",
    ),
    known(
        "CC401",
        Weight::Warning,
        "A pod is not ready: nobody is sent there.",
        "`kubectl describe pod` says why.",
    ),
    known(
        "CC402",
        Weight::Warning,
        "A pod has no sidecar: what it calls is in no lane.",
        "Turn injection on in its namespace, and restart it.",
    ),
    known(
        "CC403",
        Weight::Warning,
        "A pod's proxy does not answer.",
        "`kubectl logs POD -c istio-proxy` says why.",
    ),
    known(
        "CC404",
        Weight::Error,
        "The filter in a proxy does nothing: its module did not come, or its threads are dead.",
        "Restart the pod.",
    ),
    known(
        "CC405",
        Weight::Error,
        "A proxy has no filter: it carries no tags.",
        "`canaryctl check` says whether one is installed for that namespace.",
    ),
    known(
        "CC406",
        Weight::Warning,
        "A workload drops every tag: tagged requests came, and no call of it carries one.",
        "Let it hand on `baggage` or `traceparent` with its calls.",
    ),
    known(
        "CC407",
        Weight::Info,
        "Calls of a workload had ids that nobody knows: their flow began there, or their tag is lost.",
        "Let it hand on `baggage` or `traceparent` with its calls.",
    ),
    known(
        "CC408",
        Weight::Info,
        "Requests went to the baseline because their ids are of two flows at once.",
        "Let each flow have a trace id of its own.",
    ),
    known(
        "CC409",
        Weight::Warning,
        "Tags were removed, or will be: the caller's proxy is not shown to be of the mesh.",
        "Give the caller a sidecar; mutual TLS shows who it is.",
    ),
    known(
        "CC410",
        Weight::Warning,
        "Filters of a workload refused a configuration; the one before stays in force.",
        "`canaryctl version` shows both versions.",
    ),
    known(
        "CC411",
        Weight::Warning,
        "This machine's clock is not the API server's: an expiry given from here is off.",
        "Set the clock.",
    ),
    known(
        "CC412",
        Weight::Warning,
        "A proxy refused requests of HTTP/1.0 with 426: Istio takes none unless it is told to.",
        "Let the caller speak HTTP/1.1, or set `PILOT_HTTP10=true` for istiod.",
    ),
    known(
        "CC413",
        Weight::Warning,
        "A Wasm module in a proxy ended by a fault: requests may pass one of its threads without the filter.",
        "Restart the pod, and report what its log says.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    /// Codes in the sources, each with the weight that is written after it, if one is.
    fn written(folder: &Path, found: &mut BTreeMap<String, Option<String>>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => written(&path, found),
                false if path.ends_with("codes.rs") || path.ends_with("tests.rs") => {}
                false => read(&std::fs::read_to_string(&path).expect("text"), found),
            }
        }
    }

    fn read(source: &str, found: &mut BTreeMap<String, Option<String>>) {
        let (product, _) = source.split_once("#[cfg(test)]\nmod tests {").unwrap_or((source, ""));
        for after in product.split("\"CC").skip(1) {
            let Some((digits, rest)) = after.split_once('"') else { continue };
            let next = rest.trim_start_matches(',').trim_start();
            let weight = next.strip_prefix("Weight::").and_then(|rest| rest.split(',').next());
            found.insert(format!("CC{digits}"), weight.map(str::to_owned));
        }
    }

    #[test]
    fn every_code_is_known_with_the_weight_that_it_is_said_with() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut said = BTreeMap::new();
        for part in ["check", "doctor", "preview"] {
            written(&sources.join(part), &mut said);
        }
        let codes: Vec<&str> = ALL.iter().map(|known| known.code).collect();
        assert_eq!(said.keys().map(String::as_str).collect::<Vec<_>>(), codes);
        for known in ALL {
            if let Some(Some(weight)) = said.get(known.code) {
                assert_eq!(*weight, format!("{:?}", known.weight), "{}", known.code);
            }
        }
    }
}
