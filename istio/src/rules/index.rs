//! Which of the user's DestinationRules hold for a service, as Istio looks them up and merges them.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::selects;
use crate::hosts::{Exported, HostName, Named, named};
use crate::observed::{Mesh, Object, ObservedService};
use crate::plan::HostPlan;
use crate::policy;
use crate::restore::undo;

/// A rule of the user's as it is without our edits.
#[derive(Debug)]
pub(crate) struct UserRule<'a> {
    pub(crate) object: &'a Object,
    pub(crate) original: Cow<'a, Value>,
}

impl UserRule<'_> {
    pub(super) fn spec(&self) -> &Value {
        &self.original["spec"]
    }

    pub(super) fn exported(&self) -> Exported {
        Exported::of(&self.spec()["exportTo"], self.object.namespace())
    }

    /// Whether some clients do not have it: by their namespace or by their labels.
    pub(super) fn is_partial(&self) -> bool {
        self.exported() != Exported::Everywhere || self.spec()["workloadSelector"].is_object()
    }
}

/// The user's rules, by whom they are for.
#[derive(Debug)]
pub(crate) struct RuleIndex<'a> {
    pub(crate) rules: Vec<UserRule<'a>>,
    exact: HashMap<HostName<'a>, Vec<usize>>,
    /// Longest suffix first.
    wildcards: Vec<(&'a str, usize)>,
    names: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> RuleIndex<'a> {
    pub(crate) fn new(objects: &'a [Object]) -> Self {
        let users: Vec<&Object> = objects.iter().filter(|object| !object.is_ours()).collect();
        let mut index = Self {
            rules: users
                .iter()
                .map(|object| UserRule { object, original: original(object.value()) })
                .collect(),
            exact: HashMap::new(),
            wildcards: Vec::new(),
            names: HashMap::new(),
        };
        for (at, object) in users.into_iter().enumerate() {
            index.names.insert((object.namespace(), object.name()), at);
            match named(object.spec()["host"].as_str().unwrap_or_default(), object.namespace()) {
                Named::Service(host) => index.exact.entry(host).or_default().push(at),
                Named::Wildcard(suffix) => index.wildcards.push((suffix, at)),
                Named::HalfQualified(_) | Named::Foreign => {}
            }
        }
        let age = |at: &usize| index.rules.get(*at).map(|rule| (rule.object.created(), rule.object.name()));
        // Istio merges the oldest first.
        index.exact.values_mut().for_each(|list| list.sort_by_key(age));
        index.wildcards.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| age(&a.1).cmp(&age(&b.1))));
        index
    }

    fn rule(&self, at: usize) -> Option<&UserRule<'a>> {
        self.rules.get(at)
    }

    /// The rules that hold for a service at clients without rules of their own.
    pub(super) fn holding(&self, host: HostName, mesh: &Mesh) -> Holding<'_, 'a> {
        let exact = self.exact.get(&host).map_or(&[][..], Vec::as_slice);
        let of = |namespace: &str| -> Vec<(usize, &UserRule<'a>)> {
            let rules = exact.iter().filter_map(|at| Some((*at, self.rule(*at)?)));
            rules.filter(|(_, rule)| rule.object.namespace() == namespace).collect()
        };
        let own = of(host.namespace);
        if !own.is_empty() {
            return Holding { rules: own, beside_ours: true };
        }
        let fqdn = fqdn(host);
        let wild = |namespace: &str| -> Vec<(usize, &UserRule<'a>)> {
            let fits = |suffix: &str, rule: &UserRule| {
                fqdn.ends_with(suffix) && rule.object.namespace() == namespace
            };
            let mut rules =
                self.wildcards.iter().filter_map(|(suffix, at)| Some((*suffix, *at, self.rule(*at)?)));
            let Some((longest, at, first)) = rules.find(|(suffix, _, rule)| fits(suffix, rule)) else {
                return Vec::new();
            };
            let rest = rules.filter(|(suffix, _, rule)| *suffix == longest && fits(suffix, rule));
            [(at, first)].into_iter().chain(rest.map(|(_, at, rule)| (at, rule))).collect()
        };
        let root = mesh.root_namespace.as_str();
        let candidates = [wild(host.namespace), exported(of(root)), exported(wild(root))];
        let rules = candidates.into_iter().find(|rules| !rules.is_empty()).unwrap_or_default();
        Holding { rules, beside_ours: false }
    }

    /// Rules by which clients of another namespace ignore those of the service's.
    pub(super) fn foreign(&self, host: HostName, mesh: &Mesh) -> Vec<&UserRule<'a>> {
        let fqdn = fqdn(host);
        let exact = self.exact.get(&host).into_iter().flatten().copied();
        let wild = self.wildcards.iter().filter(|(suffix, _)| fqdn.ends_with(suffix)).map(|(_, at)| *at);
        let mut all: Vec<&UserRule> = exact.chain(wild).filter_map(|at| self.rule(at)).collect();
        all.retain(|rule| {
            let namespace = rule.object.namespace();
            // A rule of the root namespace comes last, but for its own clients if it is for them alone.
            let private = || rule.exported() == Exported::To([namespace.to_owned()].into());
            namespace != host.namespace && (namespace != mesh.root_namespace || private())
        });
        all
    }

    /// The user's rule of this name.
    pub(crate) fn by_name(&self, namespace: &str, name: &str) -> Option<&UserRule<'a>> {
        self.names.get(&(namespace, name)).and_then(|at| self.rule(*at))
    }

    /// Whether a user's subset leaves out some of a service's baseline.
    pub(crate) fn leaves_out(
        &self,
        subset: &str,
        host: &HostPlan,
        service: &ObservedService,
        mesh: &Mesh,
    ) -> bool {
        let holding = self.holding((&host.host).into(), mesh);
        let Some(found) = holding.subsets().find(|(_, one)| one["name"] == subset) else { return false };
        let baseline = |name: &str| host.baseline.workloads.iter().any(|workload| workload == name);
        let mut baseline = service.workloads.iter().filter(|workload| baseline(&workload.name));
        baseline.any(|workload| !selects(found.1, &workload.labels))
    }
}

/// Those of the root namespace's rules that any other namespace sees.
fn exported<'i, 'a>(mut rules: Vec<(usize, &'i UserRule<'a>)>) -> Vec<(usize, &'i UserRule<'a>)> {
    rules.retain(|(_, rule)| match rule.exported() {
        Exported::Everywhere => true,
        Exported::To(namespaces) => namespaces.iter().any(|namespace| namespace != rule.object.namespace()),
    });
    rules
}

/// The rule without our edits, with or without a memory of them.
fn original(value: &Value) -> Cow<'_, Value> {
    let mut original = undo(value);
    let policies = |spec: &Value| {
        let subsets = spec["subsets"].as_array().into_iter().flatten();
        subsets.chain([spec]).any(|holder| policy::has_keys_of_ours(&holder["trafficPolicy"]))
    };
    if policies(&original["spec"]) {
        let spec = &mut original.to_mut()["spec"];
        if let Some(policy) = spec.get_mut("trafficPolicy") {
            policy::sweep(policy);
        }
        let subsets = spec.get_mut("subsets").and_then(Value::as_array_mut).into_iter().flatten();
        subsets.filter_map(|subset| subset.get_mut("trafficPolicy")).for_each(policy::sweep);
    }
    original
}

fn fqdn(host: HostName) -> String {
    format!("{}.{}.svc.{}", host.name, host.namespace, crate::service::CLUSTER_DOMAIN)
}

/// The rules that hold for one service, as Istio merges them: the oldest first.
pub(super) struct Holding<'i, 'a> {
    pub(super) rules: Vec<(usize, &'i UserRule<'a>)>,
    /// Whether a rule of ours is merged with them; it replaces them otherwise, and copies what they say.
    pub(super) beside_ours: bool,
}

impl<'i, 'a> Holding<'i, 'a> {
    /// The rule whose traffic policy holds.
    pub(super) fn ruling(&self) -> Option<(usize, &'i UserRule<'a>)> {
        self.rules.iter().copied().find(|(_, rule)| rule.spec()["trafficPolicy"].is_object())
    }

    pub(super) fn policy(&self) -> &'i Value {
        self.ruling().map_or(&Value::Null, |(_, rule)| &rule.spec()["trafficPolicy"])
    }

    pub(super) fn subsets(&self) -> impl Iterator<Item = ((usize, &'i UserRule<'a>), &'i Value)> {
        let of = |rule: &'i UserRule<'a>| rule.spec()["subsets"].as_array().into_iter().flatten();
        self.rules.iter().flat_map(move |(at, rule)| of(rule).map(move |subset| ((*at, *rule), subset)))
    }
}
