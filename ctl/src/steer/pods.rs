//! Labels of ours on running pods: which they lack, and which nobody needs any more.
//!
//! A workload's template is never touched, for that would replace its pods. What is put on a pod is listed in an
//! annotation of it, so that just that goes again.

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::failover::{self, LABELLED_ANNOTATION, LANE_KEY_PREFIX, PodLabels};
use canary_istio::lane::LANE_LABEL;
use canary_istio::{Object, ObjectRef};
use canary_rules::lane::Lane;
use serde_json::{Value, json};

use crate::world::Seen;

/// A change of a running pod's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodChange {
    /// The pod.
    pub pod: ObjectRef,
    /// Labels that it lacks; they come before any rule that reads them.
    pub set: BTreeMap<String, String>,
    /// Labels that serve no lane any more; they go after the last rule that reads them.
    pub unset: BTreeSet<String>,
    /// Whether a lane that is off still needs the latter for the requests that are under way.
    pub lingers: bool,
    /// What had been put on it before.
    listed: BTreeSet<String>,
}

impl PodChange {
    /// The merge patch that sets what is missing.
    #[must_use]
    pub fn to_set(&self) -> Option<Value> {
        let listed = self.listed.iter().chain(self.set.keys()).collect();
        (!self.set.is_empty()).then(|| patch(json!(self.set), &listed))
    }

    /// The merge patch that takes away what nobody needs, once what is missing is set.
    #[must_use]
    pub fn to_unset(&self) -> Option<Value> {
        let listed = self.listed.iter().chain(self.set.keys()).filter(|key| !self.unset.contains(*key));
        let gone: BTreeMap<&String, Value> = self.unset.iter().map(|key| (key, Value::Null)).collect();
        (!self.unset.is_empty()).then(|| patch(json!(gone), &listed.collect()))
    }
}

fn patch(labels: Value, listed: &BTreeSet<&String>) -> Value {
    let list = listed.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(",");
    let list = if list.is_empty() { Value::Null } else { list.into() };
    json!({"metadata": {"labels": labels, "annotations": {LABELLED_ANNOTATION: list}}})
}

/// What it takes for pods to carry these labels and no others of ours, with the lanes that are on.
pub(super) fn changes(wanted: &[PodLabels], lanes: &[Lane], seen: &Seen) -> Vec<PodChange> {
    let mut all: BTreeMap<ObjectRef, BTreeMap<&str, &str>> = BTreeMap::new();
    for wanted in wanted {
        let service = seen.observed.services.iter().find(|service| service.host == wanted.host);
        let workloads = service.map_or(&[][..], |service| &service.workloads);
        let Some(workload) = workloads.iter().find(|workload| workload.name == wanted.workload) else {
            continue;
        };
        for pod in of(seen, wanted.host.namespace(), &workload.labels) {
            let labels = wanted.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            all.entry(pod.reference().clone()).or_default().extend(labels);
        }
    }
    let none = BTreeMap::new();
    let change = |pod: &Object| change(pod, all.get(pod.reference()).unwrap_or(&none), lanes);
    seen.pods.iter().filter(|pod| lives(pod)).filter_map(change).collect()
}

fn change(pod: &Object, wanted: &BTreeMap<&str, &str>, lanes: &[Lane]) -> Option<PodChange> {
    let own = &pod.value()["metadata"]["labels"];
    let listed: BTreeSet<String> = failover::labelled(pod.value()).map(str::to_owned).collect();
    // What a pod has from its owner stays, whoever would have it otherwise.
    let may_set = |key: &str| own[key].is_null() || listed.contains(key);
    let set = wanted.iter().filter(|(key, value)| own[**key] != **value && may_set(key));
    let set: BTreeMap<String, String> = set.map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let unset: BTreeSet<String> =
        listed.iter().filter(|key| !wanted.contains_key(key.as_str())).cloned().collect();
    let is_on = |name: &str| lanes.iter().any(|lane| lane.metadata.name.as_str() == name);
    let lingers = unset.iter().any(|key| lane_of(key, own).is_some_and(|lane| !is_on(lane)));
    let change = PodChange { pod: pod.reference().clone(), set, unset, lingers, listed };
    (!change.set.is_empty() || !change.unset.is_empty()).then_some(change)
}

/// The lane that a label is for.
fn lane_of<'a>(key: &'a str, labels: &'a Value) -> Option<&'a str> {
    key.strip_prefix(LANE_KEY_PREFIX).or_else(|| labels[key].as_str().filter(|_| key == LANE_LABEL))
}

/// The pods of a workload that are not about to end.
pub(super) fn of<'a>(
    seen: &'a Seen,
    namespace: &'a str,
    labels: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a Object> {
    let carries = move |pod: &&Object| {
        let own = &pod.value()["metadata"]["labels"];
        pod.namespace() == namespace && labels.iter().all(|(key, value)| own[key] == *value)
    };
    seen.pods.iter().filter(carries).filter(|pod| lives(pod))
}

fn lives(pod: &Object) -> bool {
    pod.value()["metadata"]["deletionTimestamp"].is_null()
}
