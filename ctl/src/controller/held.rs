//! Which of the pods that are held back may be ready: those whose workload every proxy knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use canary_istio::{Object, ObjectRef};
use tokio::time::Instant;

use crate::readiness;
use crate::world::Seen;

/// How long a pod of no known workload is held after it was first seen: the workload may be told of later than its
/// pod.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);

/// Pods that wait, and workloads whose pods need not.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// What a run that came to its end has brought to every proxy, of those that had pods waiting.
    arrived: BTreeSet<Workload>,
    /// When pods that wait were first seen.
    since: HashMap<ObjectRef, Instant>,
}

/// A workload as a service selects it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Workload {
    namespace: String,
    service: String,
    name: String,
    labels: BTreeMap<String, String>,
}

impl Held {
    /// The pods whose workloads have arrived by earlier runs: what another run waits for, they need not.
    pub(super) fn known(&self, seen: &Seen) -> Vec<ObjectRef> {
        let knows = |pod: &&Object| {
            let mut workloads = workloads(seen, pod).peekable();
            workloads.peek().is_some() && workloads.all(|workload| self.arrived.contains(&workload))
        };
        held(seen).filter(knows).map(|pod| pod.reference().clone()).collect()
    }

    /// The pods that may be ready now that a run came to its end, which saw this; and when to look again at others.
    pub(super) fn arrived(&mut self, seen: &Seen, now: Instant) -> (Vec<ObjectRef>, Option<Duration>) {
        self.arrived.retain(|workload| workload.is_in(seen));
        self.arrived.extend(held(seen).flat_map(|pod| workloads(seen, pod)));
        let since = held(seen).map(|pod| {
            let since = self.since.get(pod.reference()).copied().unwrap_or(now);
            (pod.reference().clone(), since)
        });
        self.since = since.collect();
        let may = |pod: &&Object| {
            workloads(seen, pod).next().is_some() || now - self.since[pod.reference()] >= UNKNOWN_FOR
        };
        let (may, others): (Vec<&Object>, Vec<&Object>) = held(seen).partition(may);
        let again = (!others.is_empty()).then_some(UNKNOWN_FOR);
        (may.into_iter().map(|pod| pod.reference().clone()).collect(), again)
    }
}

impl Workload {
    fn is_in(&self, seen: &Seen) -> bool {
        let mut services = seen.observed.services.iter();
        services.any(|service| {
            service.host.namespace() == self.namespace
                && service.host.name() == self.service
                && service.workloads.iter().any(|one| one.name == self.name && one.labels == self.labels)
        })
    }
}

fn held(seen: &Seen) -> impl Iterator<Item = &Object> {
    seen.pods.iter().filter(|pod| readiness::is_held(pod))
}

/// What a pod is of, by each service that selects it.
fn workloads<'a>(seen: &'a Seen, pod: &'a Object) -> impl Iterator<Item = Workload> + 'a {
    let own = &pod.value()["metadata"]["labels"];
    let of_namespace =
        seen.observed.services.iter().filter(|service| service.host.namespace() == pod.namespace());
    of_namespace.flat_map(move |service| {
        let is_of = |one: &&canary_istio::Workload| one.labels.iter().all(|(key, value)| own[key] == *value);
        service.workloads.iter().filter(is_of).map(|workload| Workload {
            namespace: pod.namespace().to_owned(),
            service: service.host.name().to_owned(),
            name: workload.name.clone(),
            labels: workload.labels.clone(),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::world::{MeshConfigs, World};

    fn deployment(labels: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "stock-gray", "namespace": "shop"},
            "spec": {"template": {"metadata": {"labels": labels}}},
        })
    }

    fn pod(name: &str, labels: Value) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "shop", "labels": labels,
                "ownerReferences": [{"kind": "ReplicaSet", "name": "stock-gray-1", "controller": true}],
            },
            "spec": {},
        });
        readiness::hold(&mut pod);
        pod
    }

    /// Labels of the lane's pods.
    fn gray() -> Value {
        json!({"app": "stock", "canaryctl.io/lane": "gray"})
    }

    fn seen(objects: &[Value]) -> Seen {
        let mut objects = objects.to_vec();
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "stock", "namespace": "shop"},
            "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 80}]},
        }));
        World { objects }.see(&MeshConfigs::default()).expect("a world")
    }

    fn names(pods: &[ObjectRef]) -> Vec<&str> {
        pods.iter().map(|pod| pod.name.as_str()).collect()
    }

    #[test]
    fn a_pod_waits_until_a_run_has_come_to_its_end() {
        let mut held = Held::default();
        let before = seen(&[deployment(gray()), pod("one", gray())]);
        assert_eq!(held.known(&before), []);
        let (released, again) = held.arrived(&before, Instant::now());
        assert_eq!((names(&released), again), (vec!["one"], None));
    }

    #[test]
    fn a_pod_of_what_has_arrived_waits_for_nothing_else() {
        let mut held = Held::default();
        held.arrived(&seen(&[deployment(gray()), pod("one", gray())]), Instant::now());
        let after = seen(&[deployment(gray()), pod("two", gray())]);
        assert_eq!(names(&held.known(&after)), ["two"]);
        let relabelled = json!({"app": "stock", "canaryctl.io/lane": "gray", "version": "v3"});
        let changed = seen(&[deployment(relabelled.clone()), pod("three", relabelled)]);
        assert_eq!(held.known(&changed), [], "its template has other labels");
        // Once it was not there, what was made for it may be gone.
        held.arrived(&seen(&[]), Instant::now());
        assert_eq!(held.known(&after), []);
    }

    #[test]
    fn a_pod_of_no_workload_waits_a_moment_for_it() {
        let mut held = Held::default();
        let alone = seen(&[pod("one", gray())]);
        assert_eq!(held.known(&alone), []);
        let first = Instant::now();
        let (released, again) = held.arrived(&alone, first);
        assert_eq!((names(&released), again), (vec![], Some(UNKNOWN_FOR)));
        let (released, again) = held.arrived(&alone, first + UNKNOWN_FOR);
        assert_eq!((names(&released), again), (vec!["one"], None));
    }

    #[test]
    fn nobody_looks_at_pods_that_are_not_held() {
        let mut held = Held::default();
        let mut free = pod("one", gray());
        free["metadata"]["annotations"] = Value::Null;
        let mut going = pod("two", gray());
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let (released, again) = held.arrived(&seen(&[deployment(gray()), free, going]), Instant::now());
        assert_eq!((names(&released), again), (vec![], None));
    }
}
