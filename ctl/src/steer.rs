//! From a cluster as seen to what it takes: which Lanes can be, and the changes that make them so. Pure.

use std::collections::BTreeMap;

use canary_istio::{ClusterPlan, Finding, Object};
use canary_rules::lane::Lane;
use canary_rules::name::LaneName;
use canary_rules::settings::MeshSettings;

use self::settle::Settled;
use crate::world::Seen;

pub mod pods;
mod settle;
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

impl Verdict {
    /// What is wrong with how the Lane is written, whether it is on as before or not at all.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        match self {
            Self::On(on) => &on.faults,
            Self::Refused(faults) => faults,
            Self::Going(_) => &[],
        }
    }
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
    /// What is wrong with how it is written now: then it is on as it was before. Empty where it is on as written.
    pub faults: Vec<String>,
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
    let wanted = settle::wanted(seen.all_lanes(), now_unix_s, &mut verdicts);
    let Settled { lanes, compiled, plan, mut faults } = settle::settle(&wanted, seen, settings);
    for lane in &lanes {
        let name = lane.metadata.name.as_str();
        let wire = compiled.lanes.iter().find(|wire| wire.name == lane.metadata.name);
        let on = OnLane {
            epoch: lane.status.as_ref().map_or(0, |status| status.epoch),
            buckets: wire.map_or(String::new(), |wire| wire.buckets.clone()),
            members: members(&lane.metadata.name, lane, seen),
            faults: faults.remove(name).unwrap_or_default(),
        };
        verdicts.insert(name.into(), Verdict::On(Box::new(on)));
    }
    verdicts.extend(faults.into_iter().map(|(name, faults)| (name, Verdict::Refused(faults))));
    let pods = pods::changes(&plan.pod_labels, &lanes, seen);
    Course { plan, lanes: verdicts, pods }
}

/// The Lanes that are on, or to be on: as they are now where `is_accepted`, else as they were on last.
pub(crate) fn standing<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    now_unix_s: i64,
    is_accepted: impl Fn(&Object) -> bool,
) -> Vec<Lane> {
    let wanted = settle::wanted(objects, now_unix_s, &mut BTreeMap::new());
    let standing = wanted.into_iter().filter_map(|one| match one.present {
        Ok(present) if is_accepted(one.object) => Some(present),
        _ => one.before,
    });
    standing.collect()
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
