//! Lanes and a mesh as found → the changes that lead there, in the order in which they are safe.

use std::collections::{BTreeMap, HashMap};

use canary_rules::name::HeaderName;
use serde_json::Value;

use crate::change::{Change, Phase};
use crate::compile::{CompileError, compile};
use crate::failover::{self, PodLabels};
use crate::finding::{Finding, Refused};
use crate::hosts::Exported;
use crate::lane::LaneRouting;
use crate::observed::{Object, Observed, ObservedService};
use crate::own::{self, Owners};
use crate::plan::{HostPlan, RoutingPlan};
use crate::routes::{LaneHosts, Note};
use crate::rules::{HostRules, RuleIndex, plan_rules};
use crate::service::{Host, Service};
use crate::virtual_services::ServiceIndex;

mod judge;
mod notes;
mod ours;
#[cfg(test)]
mod tests;

/// What the mesh should be like.
#[derive(Debug, Clone, Copy)]
pub struct Desired<'a> {
    /// The lanes.
    pub lanes: &'a [LaneRouting],
    /// The header that carries the tag.
    pub tag_header: &'a HeaderName,
    /// The Lane objects that ours belong to.
    pub owners: &'a Owners,
    /// The objects that tell the edge who is in a lane.
    pub edge: &'a [EdgeObject],
    /// The objects that tell the proxies which lanes there are.
    pub hops: &'a [HopObject],
}

/// An object that tells the edge who is in a lane. What it says is made elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeObject {
    /// All of it, once the lanes are as desired.
    pub wanted: Value,
    /// All of it for the time between: without the lanes that go and without those that come. Nothing if
    /// none goes.
    pub narrowed: Option<Value>,
}

/// An object that tells proxies which lanes there are, so that they carry tags. It says more before it says
/// less: a lane is known before anyone is put in it, and until its last requests are through.
#[derive(Debug, Clone, PartialEq)]
pub struct HopObject {
    /// All of it, once the lanes are as desired.
    pub wanted: Value,
    /// All of it for the time between: with the lanes that come and those that go.
    pub widened: Value,
}

/// What it takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterPlan {
    /// Labels that pods lack; they come before every change.
    pub pod_labels: Vec<PodLabels>,
    /// The writes, in order. After each of them the mesh serves every request.
    pub changes: Vec<Change>,
    /// What a user should know, the weightiest first.
    pub findings: Vec<Finding>,
}

/// Plans the way from the mesh as found to the mesh as desired. Once all of it is done, the next plan is empty.
///
/// # Errors
/// When lanes contradict each other; the error names them.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<ClusterPlan, CompileError> {
    let services: Vec<Service> = observed.services.iter().map(ObservedService::as_service).collect();
    let mut routing = compile(desired.lanes, &services, desired.tag_header)?;
    let mut planner = Planner::new(observed, std::mem::take(&mut routing.findings));
    let by_host = observed.services.iter().map(|service| (&service.host, service)).collect();
    let rules = planner.plan_hosts(&mut routing, &by_host);
    let lanes = LaneHosts::new(&routing);
    planner.plan_user_services(&lanes, &by_host);
    planner.plan_user_rules(&rules);
    planner.plan_ours(&routing, rules, desired);
    planner.plan_edge(desired.edge);
    planner.plan_hops(desired.hops);
    Ok(planner.finish(&routing, &by_host))
}

type ByHost<'a> = HashMap<&'a Host, &'a ObservedService>;

struct Planner<'a> {
    observed: &'a Observed,
    services: ServiceIndex<'a>,
    rules: RuleIndex<'a>,
    changes: Vec<Change>,
    findings: Vec<Finding>,
}

impl<'a> Planner<'a> {
    fn new(observed: &'a Observed, findings: Vec<Finding>) -> Self {
        Self {
            observed,
            services: ServiceIndex::new(&observed.virtual_services),
            rules: RuleIndex::new(&observed.destination_rules),
            changes: Vec::new(),
            findings,
        }
    }

    /// Judges every host that a lane touches and plans its rules. A host that is refused loses its lanes'
    /// routes; the baseline's preference for its own stays wherever it can hold. What concerns an exchange alone
    /// takes nothing from lanes.
    fn plan_hosts(&mut self, routing: &mut RoutingPlan, by_host: &ByHost) -> Vec<HostRules> {
        let mesh = &self.observed.mesh;
        let mut rules = Vec::with_capacity(routing.hosts.len());
        for host in &mut routing.hosts {
            let Some(service) = by_host.get(&host.host).filter(|_| !host.is_plain()) else {
                rules.push(HostRules::default());
                continue;
            };
            let has_pods = !failover::lane_workloads(host).is_empty();
            if !has_pods && !judge::speaks_http(service) {
                // Only refusals are due here, and there are no requests to refuse.
                host.unroute();
                rules.push(HostRules::default());
                continue;
            }
            let has_requests = !judge::is_of_connections(host, service);
            if !has_requests {
                host.unroute_requests();
            }
            let mut findings = judge::service_findings(self.observed, host, service, has_pods);
            let steerable = judge::is_steerable(host, &findings);
            let coverage = self.services.coverage(&host.host);
            self.services.findings(host, has_requests, &coverage, &mut findings);
            if coverage.seen_by != Exported::Everywhere
                && let Some(object) = self.services.by_name(host.host.namespace(), &own::name(&host.host))
            {
                let object = object.reference().clone();
                findings.push(Finding::NameTaken { object, host: host.host.clone() });
            }
            let mut planned = plan_rules(&self.rules, host, service, mesh, true);
            findings.append(&mut planned.findings);
            if findings.iter().any(|finding| matches!(finding.refused(), Some(Refused::Exchange(_)))) {
                host.end_exchange();
                planned = plan_rules(&self.rules, host, service, mesh, true);
                findings.append(&mut planned.findings);
            }
            if findings.iter().any(|finding| matches!(finding.refused(), Some(Refused::Everybody(_)))) {
                host.unroute();
                planned = match steerable {
                    true => plan_rules(&self.rules, host, service, mesh, false),
                    false => HostRules::default(),
                };
            }
            rules.push(planned);
            self.findings.append(&mut findings);
        }
        rules
    }

    fn plan_user_services(&mut self, lanes: &LaneHosts, by_host: &ByHost) {
        for object in &self.services.users {
            let Some((http, notes)) = self.services.edited(object, lanes) else { continue };
            let found = notes.iter().filter_map(|note| self.finding(object, note, lanes, by_host));
            let found: Vec<Finding> = found.collect();
            self.findings.extend(found);
            let before = object.spec()["http"].as_array().map_or(&[][..], Vec::as_slice);
            if before != http {
                let notes = notes::route_notes(before, &http);
                let mut wanted = object.value().clone();
                wanted["spec"]["http"] = http.into();
                self.changes.extend(Change::update(Phase::Routes, object, wanted, notes));
            }
        }
    }

    fn finding(&self, object: &Object, note: &Note, lanes: &LaneHosts, by_host: &ByHost) -> Option<Finding> {
        let object = object.reference().clone();
        match note {
            Note::MatchesTag(route) => Some(Finding::RouteMatchesTag { object, route: route.clone() }),
            Note::WritesTag(route) => Some(Finding::RouteWritesTag { object, route: route.clone() }),
            Note::MirrorsApart(route) => Some(Finding::MirrorsApart { object, route: route.clone() }),
            Note::HalfQualified { name, host } => {
                let host = lanes.get(*host)?.host.clone();
                Some(Finding::HalfQualified { object, name: (*name).into(), host })
            }
            Note::Pins { route, host, subset } => {
                let host = lanes.get(*host)?;
                let service = by_host.get(&host.host)?;
                let leaves_out = self.rules.leaves_out(subset, host, service, &self.observed.mesh);
                leaves_out.then(|| Finding::PinnedSubset {
                    object,
                    route: route.clone(),
                    host: host.host.clone(),
                    subset: (*subset).into(),
                })
            }
        }
    }

    fn plan_user_rules(&mut self, planned: &[HostRules]) {
        let mut pins: BTreeMap<usize, Vec<crate::restore::Edit>> = BTreeMap::new();
        for (at, edits) in planned.iter().flat_map(|rules| &rules.pins) {
            pins.entry(*at).or_default().extend(edits.iter().cloned());
        }
        for (at, rule) in self.rules.rules.iter().enumerate() {
            let edits = pins.get(&at).map_or(&[][..], Vec::as_slice);
            if edits.is_empty() && matches!(rule.original, std::borrow::Cow::Borrowed(_)) {
                continue;
            }
            let wanted = crate::restore::apply(&rule.original, edits);
            let (phase, note) = match edits.is_empty() {
                true => (Phase::Collect, "its own preferences are back"),
                false => (Phase::Subsets, "prefers pods without a lane for the baseline"),
            };
            self.changes.extend(Change::update(phase, rule.object, wanted, vec![note.into()]));
        }
    }

    fn plan_ours(&mut self, routing: &RoutingPlan, planned: Vec<HostRules>, desired: &Desired) {
        let mut services = Vec::new();
        let mut rules = Vec::new();
        for (host, planned) in routing.hosts.iter().zip(planned) {
            if let Some(spec) = planned.own {
                rules.push(own::object("DestinationRule", host, desired.owners, spec));
            }
            if host.is_routed()
                && let Some(export_to) = self.unseen_by(host)
            {
                let names: Vec<&str> = export_to.iter().map(String::as_str).collect();
                let spec = own::virtual_service(host, desired.tag_header, &names);
                services.push(own::object("VirtualService", host, desired.owners, spec));
            }
        }
        ours::plan_rules(&self.observed.destination_rules, rules, &mut self.changes);
        ours::plan_services(&self.observed.virtual_services, services, &mut self.changes);
    }

    /// The namespaces that need a VirtualService of ours for a host: none, these, or all (an empty list).
    fn unseen_by(&mut self, host: &HostPlan) -> Option<Vec<String>> {
        let coverage = self.services.coverage(&host.host);
        let seen_by = match (coverage.by.is_empty(), &coverage.seen_by) {
            (true, _) => return Some(Vec::new()),
            (false, Exported::Everywhere) => return None,
            (false, Exported::To(namespaces)) => namespaces,
        };
        let all = self.observed.namespaces.keys();
        let rest: Vec<String> = all.filter(|namespace| !seen_by.contains(*namespace)).cloned().collect();
        if rest.is_empty() {
            return None;
        }
        let objects = coverage.by.iter().map(|object| object.reference().clone());
        self.findings.extend(objects.map(|object| Finding::ExportedPartly { object }));
        Some(rest)
    }

    fn plan_edge(&mut self, wanted: &[EdgeObject]) {
        for edge in wanted {
            let Ok(goal) = Object::new(edge.wanted.clone()) else { continue };
            let found = self.observed.edge.iter().find(|object| object.reference() == goal.reference());
            let Some(found) = found else {
                self.changes.extend(Change::create(Phase::EdgeOn, edge.wanted.clone(), Vec::new()));
                continue;
            };
            let narrowed = edge.narrowed.as_ref().map(|body| ours::keeping_metadata(found, body));
            let goal = ours::keeping_metadata(found, &edge.wanted);
            let off = narrowed.and_then(|to| {
                let change = Change::update(Phase::EdgeOff, found, to.clone(), Vec::new())?;
                Some((change, Object::new(to).ok()?))
            });
            match off {
                Some((off, between)) => {
                    self.changes.push(off);
                    let on = Change::update(Phase::EdgeOn, &between, goal, Vec::new());
                    self.changes.extend(on.map(Change::planned));
                }
                None => self.changes.extend(Change::update(Phase::EdgeOn, found, goal, Vec::new())),
            }
        }
    }

    fn plan_hops(&mut self, wanted: &[HopObject]) {
        for hop in wanted {
            let Ok(goal) = Object::new(hop.wanted.clone()) else { continue };
            let found = self.observed.edge.iter().find(|object| object.reference() == goal.reference());
            let Some(found) = found else {
                self.changes.extend(Change::create(Phase::Subsets, hop.wanted.clone(), Vec::new()));
                continue;
            };
            let widened = ours::keeping_metadata(found, &hop.widened);
            let up = Change::update(Phase::Subsets, found, widened.clone(), Vec::new());
            let is_touched = up.is_some();
            self.changes.extend(up);
            let Ok(between) = Object::new(widened) else { continue };
            let goal = ours::keeping_metadata(found, &hop.wanted);
            let down = Change::update(Phase::Collect, &between, goal, Vec::new());
            self.changes.extend(down.map(|down| if is_touched { down.planned() } else { down }));
        }
    }

    fn finish(mut self, routing: &RoutingPlan, by_host: &ByHost) -> ClusterPlan {
        let removes = |change: &Change| change.verb() == "delete";
        self.changes.sort_by(|a, b| (a.phase, removes(a), &a.object).cmp(&(b.phase, removes(b), &b.object)));
        let mut keyed: Vec<_> = self
            .findings
            .into_iter()
            .map(|finding| {
                (std::cmp::Reverse(finding.severity()), finding.code(), finding.to_string(), finding)
            })
            .collect();
        keyed.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        keyed.dedup_by(|a, b| a.1 == b.1 && a.2 == b.2);
        let missing = routing.hosts.iter().flat_map(failover::pod_labels).filter_map(|mut pod| {
            let service = by_host.get(&pod.host)?;
            let workload = service.workloads.iter().find(|workload| workload.name == pod.workload)?;
            pod.labels.retain(|key, value| workload.labels.get(key) != Some(value));
            (!pod.labels.is_empty()).then_some(pod)
        });
        ClusterPlan {
            pod_labels: missing.collect(),
            changes: self.changes,
            findings: keyed.into_iter().map(|(.., finding)| finding).collect(),
        }
    }
}
