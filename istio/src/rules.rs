//! DestinationRules: which hold for a service, what is pinned in the user's, what ours says besides.
//!
//! A second rule for a host in one namespace only adds subsets; the user's traffic policy wins the merge. So
//! lanes' subsets stand in a rule of ours, and only what puts the baseline first goes into the user's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::failover;
use crate::finding::Finding;
use crate::hosts::HostName;
use crate::observed::{Mesh, ObservedService};
use crate::own;
use crate::plan::{Exchange, HostPlan};
use crate::policy::{self, Apart, Around, Scope, Unrankable, rank, ranking};
use crate::restore::{Edit, Step};
use crate::service::Labels;

mod index;
pub(crate) mod marker;

use index::Holding;
pub(crate) use index::{RuleIndex, UserRule};

/// What one service needs of DestinationRules.
#[derive(Debug, Default)]
pub(crate) struct HostRules {
    /// The `spec` of ours, if one is needed.
    pub(crate) own: Option<Value>,
    /// Edits of the user's rules, by their index.
    pub(crate) pins: BTreeMap<usize, Vec<Edit>>,
    pub(crate) findings: Vec<Finding>,
}

/// Plans the rules for a service with lane pods. `routed` says whether lanes' subsets are wanted, or only
/// the baseline's preference for its own.
pub(crate) fn plan_rules(
    index: &RuleIndex,
    host: &HostPlan,
    service: &ObservedService,
    mesh: &Mesh,
    routed: bool,
) -> HostRules {
    let mut out = HostRules::default();
    let lane_workloads = failover::lane_workloads(host);
    if lane_workloads.is_empty() {
        return out;
    }
    let name = HostName::from(&host.host);
    let holding = index.holding(name, mesh);
    find_limits(index, &holding, host, mesh, &mut out.findings);
    let around = Around { mesh, distribution: service.distribution };
    let lane_labels: Vec<&Labels> = service
        .workloads
        .iter()
        .filter(|workload| lane_workloads.contains(workload.name.as_str()))
        .map(|workload| &workload.labels)
        .collect();
    note_subsets(&holding, host, service, &lane_labels, &mut out.findings);
    if !holding.beside_ours && holding.rules.iter().any(|(_, rule)| rule.is_partial()) {
        // Clients that do not see it have another rule yet, which one of ours would take from them.
        return out;
    }
    let planned = if holding.beside_ours {
        plan_beside(&holding, host, &lane_labels, around, routed, &mut out)
    } else {
        plan_instead(&holding, host, &lane_labels, around, routed, &mut out)
    };
    if index.by_name(host.host.namespace(), &own::name(&host.host)).is_some() {
        out.own = None;
    }
    if let Err(unrankable) = planned {
        let object = holding.rules.first().map(|(_, rule)| rule.object.reference().clone());
        let host = host.host.clone();
        out = HostRules { findings: out.findings, ..HostRules::default() };
        out.findings.extend(object.map(|object| match unrankable {
            Unrankable::Everywhere(setting) => Finding::Unrankable { object, host, setting },
            Unrankable::Apart(setting) => Finding::PortsAlike { object, host, setting },
        }));
    }
    out
}

/// What stands in the way of lanes here.
fn find_limits(
    index: &RuleIndex,
    holding: &Holding,
    host: &HostPlan,
    mesh: &Mesh,
    findings: &mut Vec<Finding>,
) {
    let service = || host.host.clone();
    for rule in index.foreign((&host.host).into(), mesh) {
        findings.push(Finding::ForeignRule { object: rule.object.reference().clone(), host: service() });
    }
    for (_, rule) in &holding.rules {
        let object = || rule.object.reference().clone();
        if rule.is_partial() {
            findings.push(Finding::PartialRule { object: object(), host: service() });
        }
        if !holding.beside_ours && !holding.rules.iter().any(|(_, rule)| rule.is_partial()) {
            findings.push(Finding::CopiedRule { object: object(), host: service() });
        }
    }
    let exports = |rule: &UserRule| {
        let list = rule.spec()["exportTo"].as_array().into_iter().flatten();
        list.filter_map(|name| name.as_str().map(str::to_owned)).collect::<BTreeSet<String>>()
    };
    if let [(_, first), rest @ ..] = holding.rules.as_slice()
        && let Some((_, second)) = rest.iter().find(|(_, rule)| exports(rule) != exports(first))
    {
        let (first, second) = (first.object.reference().clone(), second.object.reference().clone());
        findings.push(Finding::RulesApart { first, second, host: service() });
    }
    if let Some((_, rule)) = holding.ruling()
        && ejects(&rule.spec()["trafficPolicy"])
    {
        findings.push(Finding::Ejects { object: rule.object.reference().clone(), host: service() });
    }
    if let Some(rule) = index.by_name(host.host.namespace(), &own::name(&host.host)) {
        findings.push(Finding::NameTaken { object: rule.object.reference().clone(), host: service() });
    }
    for ((_, rule), subset) in holding.subsets() {
        let names = host.subsets.iter().map(|own| &own.name);
        let mut names = names.chain(host.mirror_subsets().map(|(_, subset)| subset));
        let taken = |name: &&str| names.any(|own| own.as_str() == *name);
        if let Some(subset) = subset["name"].as_str().filter(taken) {
            let object = rule.object.reference().clone();
            findings.push(Finding::SubsetTaken { object, host: service(), subset: subset.into() });
        }
    }
}

fn ejects(policy: &Value) -> bool {
    let own = &policy["outlierDetection"];
    own.is_object()
        && (own["consecutive5xxErrors"] != 0 || own["consecutiveGatewayErrors"].as_u64().unwrap_or(0) > 0)
}

fn note_subsets(
    holding: &Holding,
    host: &HostPlan,
    service: &ObservedService,
    lane_labels: &[&Labels],
    findings: &mut Vec<Finding>,
) {
    for ((_, rule), subset) in holding.subsets() {
        let baseline = |name: &str| host.baseline.workloads.iter().any(|workload| workload == name);
        let mut baseline = service.workloads.iter().filter(|workload| baseline(&workload.name));
        let holds_lanes = lane_labels.iter().any(|labels| selects(subset, labels));
        if holds_lanes && !baseline.any(|workload| selects(subset, &workload.labels)) {
            let subset = subset["name"].as_str().unwrap_or_default().to_owned();
            findings.push(Finding::SubsetOfLanePods { object: rule.object.reference().clone(), subset });
        }
    }
}

fn selects(subset: &Value, labels: &Labels) -> bool {
    let wanted = subset["labels"].as_object().into_iter().flatten();
    wanted.into_iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
}

/// Edits the user's rules where they say something, and adds ours with the rest.
fn plan_beside(
    holding: &Holding,
    host: &HostPlan,
    lane_labels: &[&Labels],
    around: Around,
    routed: bool,
    out: &mut HostRules,
) -> Result<(), Unrankable> {
    let keys = failover::baseline_keys();
    let policy = holding.policy();
    let mut spec = rule_for(host);
    if let Some(exported) = holding.rules.first().and_then(|(_, rule)| rule.spec().get("exportTo")) {
        // Istio merges rules that are exported alike.
        spec.insert("exportTo".into(), exported.clone());
    }
    let apart = apart(host);
    let scope = Scope::Rule(&apart);
    match holding.ruling() {
        Some((at, _)) => {
            let edits = out.pins.entry(at).or_default();
            rank(policy, &[Step::Key("spec"), Step::Key("trafficPolicy")], &keys, scope, around, edits)?;
        }
        None => {
            let mut edits = Vec::new();
            rank(&Value::Null, &[], &keys, scope, around, &mut edits)?;
            let mut policy = json!({});
            crate::restore::write(&mut policy, edits);
            spec.insert("trafficPolicy".into(), policy);
        }
    }
    let scope = Scope::Subset { detects_outliers: policy::detects_outliers(policy, around) };
    for ((at, _), subset) in holding.subsets() {
        if !subset["name"].is_string() || !lane_labels.iter().any(|labels| selects(subset, labels)) {
            continue;
        }
        let item = Map::from_iter([("name".to_owned(), subset["name"].clone())]);
        let at_policy =
            [Step::Key("spec"), Step::Key("subsets"), Step::Item(item), Step::Key("trafficPolicy")];
        rank(&subset["trafficPolicy"], &at_policy, &keys, scope, around, out.pins.entry(at).or_default())?;
    }
    out.pins.retain(|_, edits| !edits.is_empty());
    let subsets = if routed { lane_subsets(host, policy, around)? } else { Vec::new() };
    if !subsets.is_empty() || spec.contains_key("trafficPolicy") {
        if !subsets.is_empty() {
            spec.insert("subsets".into(), subsets.into());
        }
        out.own = Some(Value::Object(spec));
    }
    Ok(())
}

/// Our rule replaces wider ones for this service, so it says what they say.
fn plan_instead(
    holding: &Holding,
    host: &HostPlan,
    lane_labels: &[&Labels],
    around: Around,
    routed: bool,
    out: &mut HostRules,
) -> Result<(), Unrankable> {
    let keys = failover::baseline_keys();
    let policy = holding.policy();
    let mut spec = rule_for(host);
    for (key, value) in
        holding.rules.iter().flat_map(|(_, rule)| rule.spec().as_object().into_iter().flatten())
    {
        if !["exportTo", "subsets"].contains(&key.as_str()) && !spec.contains_key(key) {
            spec.insert(key.clone(), value.clone());
        }
    }
    let mut subsets: Vec<Value> = Vec::new();
    for (_, subset) in holding.subsets() {
        if !subsets.iter().any(|one| one["name"] == subset["name"]) {
            subsets.push(subset.clone());
        }
    }
    let scope = Scope::Subset { detects_outliers: policy::detects_outliers(policy, around) };
    for subset in subsets.iter_mut().filter(|subset| lane_labels.iter().any(|labels| selects(subset, labels)))
    {
        let mut edits = Vec::new();
        rank(&subset["trafficPolicy"], &[Step::Key("trafficPolicy")], &keys, scope, around, &mut edits)?;
        crate::restore::write(subset, edits);
    }
    let mut edits = Vec::new();
    rank(policy, &[Step::Key("trafficPolicy")], &keys, Scope::Rule(&apart(host)), around, &mut edits)?;
    if routed {
        subsets.extend(lane_subsets(host, policy, around)?);
    }
    let mut spec = Value::Object(spec);
    crate::restore::write(&mut spec, edits);
    if !subsets.is_empty() {
        spec["subsets"] = subsets.into();
    }
    out.own = Some(spec);
    Ok(())
}

/// The ports whose connections are an exchange's. No route leads them, so that the rule itself puts it first.
fn apart(host: &HostPlan) -> Apart {
    let Some(exchange) = &host.exchange else { return Apart::default() };
    let keys = failover::exchange_keys(&failover::lanes_here(host));
    Apart { ports: exchange.ports.clone(), keys }
}

fn rule_for(host: &HostPlan) -> Map<String, Value> {
    Map::from_iter([("host".to_owned(), host.host.fqdn().into())])
}

/// The lanes' subsets, and the exchange's, over a rule with this traffic policy.
fn lane_subsets(host: &HostPlan, policy: &Value, around: Around) -> Result<Vec<Value>, Unrankable> {
    let lanes_here = failover::lanes_here(host);
    let subset = |subset: &crate::plan::Subset| {
        Ok(match failover::lane_keys(subset, &lanes_here) {
            None => json!({"name": subset.name.as_str(), "labels": failover::own_labels(&subset.lane)}),
            Some(keys) => {
                json!({"name": subset.name.as_str(), "trafficPolicy": ranking(policy, &keys, around)?})
            }
        })
    };
    let mut subsets = host.subsets.iter().map(subset).collect::<Result<Vec<_>, Unrankable>>()?;
    subsets.extend(
        host.mirror_subsets()
            .map(|(lane, subset)| json!({"name": subset.as_str(), "labels": failover::own_labels(lane)})),
    );
    if host.exchanged_to().is_some() {
        let policy = ranking(policy, &failover::exchange_keys(&lanes_here), around)?;
        subsets.push(json!({"name": Exchange::SUBSET, "trafficPolicy": policy}));
    }
    Ok(subsets)
}
