//! From a cluster as seen to what it takes: which Lanes can be, and the changes that make them so. Pure.

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::{ClusterPlan, Desired, Finding, LaneRouting, Object, plan_cluster, plugins};
use canary_rules::lane::{self, Compiled, Lane};
use canary_rules::name::LaneName;
use canary_rules::settings::MeshSettings;
use kube::api::ObjectMeta;
use serde::Deserialize as _;

use crate::world::Seen;

pub mod pods;
#[cfg(test)]
mod tests;

pub use pods::PodChange;

/// What it takes, and what came of each Lane.
#[derive(Debug, Default)]
pub struct Course {
    /// The changes, and what a user should know.
    pub plan: ClusterPlan,
    /// The Lanes by name.
    pub lanes: BTreeMap<String, Verdict>,
    /// Running pods whose labels of ours are not as the plan wants them.
    pub pods: Vec<PodChange>,
}

/// What came of a Lane.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is on, or will be when the plan is through.
    On(Box<OnLane>),
    /// It goes, for this reason.
    Going(Going),
    /// It cannot be, and is as if it were not there.
    Refused(Vec<String>),
}

/// A Lane that is on.
#[derive(Debug, Clone, PartialEq)]
pub struct OnLane {
    /// Cookies given out before this second are worthless.
    pub epoch: u32,
    /// Its share of its layer, encoded.
    pub buckets: String,
    /// Who serves it.
    pub members: Vec<Member>,
}

/// Why a Lane goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// Somebody deleted it.
    Deleted,
    /// Its time is over.
    Expired,
}

/// A workload that serves a lane for a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The service, as `namespace/name`.
    pub service: String,
    /// The workload.
    pub workload: String,
    /// How many pods it has.
    pub pods: usize,
}

/// Plots the course at this time (Unix, in seconds).
#[must_use]
pub fn course(seen: &Seen, settings: &MeshSettings, now_unix_s: i64) -> Course {
    let mut verdicts = BTreeMap::new();
    let mut lanes = wanted(seen.all_lanes(), now_unix_s, &mut verdicts);
    let compiled = compile(&mut lanes, &mut verdicts);
    let plan = route(&mut lanes, compiled, seen, settings, &mut verdicts);
    let (compiled, plan) = plan;
    for lane in &lanes {
        let name = lane.metadata.name.as_str();
        let wire = compiled.lanes.iter().find(|wire| wire.name == lane.metadata.name);
        let on = OnLane {
            epoch: lane.status.as_ref().map_or(0, |status| status.epoch),
            buckets: wire.map_or(String::new(), |wire| wire.buckets.clone()),
            members: members(&lane.metadata.name, lane, seen),
        };
        verdicts.insert(name.into(), Verdict::On(Box::new(on)));
    }
    let pods = pods::changes(&plan.pod_labels, &lanes, seen);
    Course { plan, lanes: verdicts, pods }
}

/// The Lanes that are to be on.
pub(crate) fn wanted<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    now_unix_s: i64,
    verdicts: &mut BTreeMap<String, Verdict>,
) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for object in objects {
        let name = object.name().to_owned();
        let metadata = ObjectMeta::deserialize(&object.value()["metadata"]).unwrap_or_default();
        if metadata.deletion_timestamp.is_some() {
            verdicts.insert(name, Verdict::Going(Going::Deleted));
            continue;
        }
        let mut lane = match Lane::deserialize(object.value()) {
            Ok(lane) => lane,
            Err(error) => {
                verdicts.insert(name, Verdict::Refused(vec![error.to_string()]));
                continue;
            }
        };
        let expires = lane.spec.expires.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        if expires.is_some_and(|expires| expires.as_second() <= now_unix_s) {
            verdicts.insert(name, Verdict::Going(Going::Expired));
            continue;
        }
        // A Lane that ended and came back has a later birth, so that its old cookies stay worthless.
        let born = metadata.creation_timestamp.map_or(0, |time| time.0.as_second());
        let status = lane.status.get_or_insert_default();
        status.epoch = status.epoch.max(u32::try_from(born).unwrap_or(0));
        lanes.push(lane);
    }
    lanes
}

/// Compiles the lanes that can be, leaving out those with faults of their own until the rest is sound.
fn compile(lanes: &mut Vec<Lane>, verdicts: &mut BTreeMap<String, Verdict>) -> Compiled {
    loop {
        let problems = match lane::compile(lanes) {
            Ok(compiled) => return compiled,
            Err(problems) => problems,
        };
        let faulty: BTreeSet<usize> = problems.0.iter().map(|problem| problem.scope.document).collect();
        for index in faulty.iter().rev() {
            // Too many lanes are noted against the first that is too many.
            let Some(index) = Some(*index).filter(|index| *index < lanes.len()) else {
                return Compiled::default();
            };
            let lane = lanes.remove(index);
            let said = problems.0.iter().filter(|problem| problem.scope.document == index);
            let said = said.map(|problem| format!("{}: {}", problem.scope.text(), problem.message));
            verdicts.insert(lane.metadata.name.to_string(), Verdict::Refused(said.collect()));
        }
        if faulty.is_empty() {
            return Compiled::default();
        }
    }
}

/// Plans the lanes that can be routed, leaving out those that contradict others.
fn route(
    lanes: &mut Vec<Lane>,
    mut compiled: Compiled,
    seen: &Seen,
    settings: &MeshSettings,
    verdicts: &mut BTreeMap<String, Verdict>,
) -> (Compiled, ClusterPlan) {
    loop {
        let mut routing = Vec::new();
        let mut unnamed = None;
        for lane in lanes.iter() {
            match LaneRouting::try_from(lane) {
                Ok(lane) => routing.push(lane),
                Err(error) => unnamed = Some((lane.metadata.name.clone(), error.to_string())),
            }
        }
        let goals = plugins::goals(&seen.observed.edge, settings, &compiled);
        let desired = Desired {
            lanes: &routing,
            tag_header: &settings.carriers.header,
            // A lane's objects outlive it until no request is under way: no owner may take them along.
            owners: &BTreeMap::new(),
            edge: &goals.edges,
            hops: &goals.hops,
        };
        let refused = match unnamed {
            Some(refused) => refused,
            None => match plan_cluster(&desired, &seen.observed) {
                Ok(plan) => return (compiled, plan),
                Err(error) => match error.lane() {
                    Some(lane) => (lane.clone(), error.to_string()),
                    None => return (compiled, ClusterPlan::default()),
                },
            },
        };
        let (name, message) = refused;
        let before = lanes.len();
        lanes.retain(|lane| lane.metadata.name != name);
        verdicts.insert(name.to_string(), Verdict::Refused(vec![message]));
        if lanes.len() == before {
            return (compiled, ClusterPlan::default());
        }
        compiled = compile(lanes, verdicts);
    }
}

/// The workloads that serve a lane: those that carry its label, and those that it names.
fn members(name: &LaneName, lane: &Lane, seen: &Seen) -> Vec<Member> {
    let mut members = Vec::new();
    for service in &seen.observed.services {
        let full = format!("{}/{}", service.host.namespace(), service.host.name());
        let named = [service.host.name().to_owned(), full.clone(), service.host.to_string()];
        let named = named.iter().find_map(|key| lane.spec.members.get(key));
        for workload in &service.workloads {
            let labelled = workload.labels.get(canary_istio::lane::LANE_LABEL);
            let is_member = match (labelled, named) {
                (Some(label), _) => label == name.as_str(),
                (None, Some(labels)) => {
                    labels.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
                }
                (None, None) => false,
            };
            if is_member {
                let pods = pods::of(seen, service.host.namespace(), &workload.labels).count();
                members.push(Member { service: full.clone(), workload: workload.name.clone(), pods });
            }
        }
    }
    members.sort();
    members
}

/// The findings that a lane's user should know: all but those that name another lane.
pub fn findings_of<'a>(plan: &'a ClusterPlan, lane: &'a str) -> impl Iterator<Item = &'a Finding> {
    plan.findings.iter().filter(move |finding| finding.lane().is_none_or(|name| name.as_str() == lane))
}
