//! Labels that pods of lanes lack, and the lines that put them on where no controller does. Pure.

use std::collections::BTreeMap;
use std::fmt;

use canary_istio::ClusterPlan;
use canary_istio::service::Labels;

use crate::world::Seen;

/// The finding's code.
const CODE: &str = "CC304";

/// A workload whose pods lack labels by which proxies tell lane pods from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlabelled {
    namespace: String,
    workload: String,
    /// What its pods have, so what they are found by.
    selector: Labels,
    lacks: Labels,
}

/// The workloads whose pods lack labels.
#[must_use]
pub fn unlabelled(plan: &ClusterPlan, seen: &Seen) -> Vec<Unlabelled> {
    let mut lacking: BTreeMap<(&str, &str), Labels> = BTreeMap::new();
    for wanted in &plan.pod_labels {
        let lacks = lacking.entry((wanted.host.namespace(), &wanted.workload)).or_default();
        lacks.extend(wanted.labels.clone());
    }
    let named = |((namespace, name), lacks): ((&str, &str), Labels)| {
        let services = seen.observed.services.iter().filter(|service| service.host.namespace() == namespace);
        let workload =
            services.flat_map(|service| &service.workloads).find(|workload| workload.name == name)?;
        Some(Unlabelled {
            namespace: namespace.to_owned(),
            workload: name.to_owned(),
            selector: workload.labels.clone(),
            lacks,
        })
    };
    lacking.into_iter().filter_map(named).collect()
}

impl fmt::Display for Unlabelled {
    /// Writes the finding, and what to type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = |labels: &Labels, separator: &str| {
            let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(separator)
        };
        let Self { namespace, workload, .. } = self;
        writeln!(f, "{CODE} warning: pods of {namespace}/{workload} lack labels by which proxies find them")?;
        write!(
            f,
            "  mend: kubectl -n {namespace} label pods -l {} {}\n  \
             and write them into the workload's template, for pods to come",
            pairs(&self.selector, ","),
            pairs(&self.lacks, " ")
        )
    }
}

#[cfg(test)]
mod tests {
    use canary_rules::settings::MeshSettings;
    use canary_rules::signing::{Key, KeyId, KeyRing};
    use serde_json::{Value, json};

    use super::*;
    use crate::steer;
    use crate::world::{MeshConfigs, World};

    fn deployment(name: &str, labels: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"template": {"metadata": {"labels": labels}}},
        })
    }

    fn said(deployments: Vec<Value>, services: &[&str]) -> Vec<String> {
        let service = |name: &&str| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
                "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 80}]},
            })
        };
        let mut objects: Vec<Value> = services.iter().map(service).collect();
        objects.extend(deployments);
        objects.push(json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": "gray"},
            "spec": {"members": {"stock": {"version": "v2"}, "depot": {"version": "v2"}}},
        }));
        let seen = World { objects }.see(&MeshConfigs::default()).expect("a world");
        let key = Key::new(KeyId::new("k1").expect("id"), vec![7; 32]).expect("key");
        let settings = MeshSettings::new(KeyRing::new([key]).expect("ring"));
        let course = steer::course(&seen, &settings, 0);
        unlabelled(&course.plan, &seen).iter().map(ToString::to_string).collect()
    }

    const LINE: &str = "kubectl -n shop label pods -l app=stock,version=v2 canaryctl.io/lane=gray \
                        lane.canaryctl.io/gray=member";

    #[track_caller]
    fn check(v1: Value, v2: Value, services: &[&str], want: &[&str]) {
        let said = said(vec![deployment("stock-v1", v1), deployment("stock-v2", v2)], services);
        assert_eq!(said.len(), want.len(), "{said:#?}");
        for (said, want) in said.iter().zip(want) {
            assert!(
                said.starts_with("CC304 warning: pods of shop/stock-v2") && said.contains(want),
                "{said}"
            );
        }
    }

    #[test]
    fn a_workload_without_the_labels_is_named_once_with_the_line_that_puts_them_on() {
        let (v1, v2) = (json!({"app": "stock", "version": "v1"}), json!({"app": "stock", "version": "v2"}));
        check(v1.clone(), v2.clone(), &["stock"], &[LINE]);
        check(v1.clone(), v2, &["stock", "depot"], &[LINE]);
        let labelled = json!({
            "app": "stock", "version": "v2", "canaryctl.io/lane": "gray", "lane.canaryctl.io/gray": "member",
        });
        check(v1, labelled, &["stock"], &[]);
    }
}
