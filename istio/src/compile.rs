//! Lanes + services → routing plan. Decides membership, order of routes and order of fallback.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use canary_rules::name::{HeaderName, LaneName};

use crate::finding::Finding;
use crate::lane::{EXCHANGE, LANE_LABEL, LaneRouting, Mode, ServiceKey};
use crate::plan::{
    Destination, Exchange, HostPlan, HttpRoute, IdleWorkload, Mirror, RoutingPlan, Subset, SubsetName, Tier,
    TierOf,
};
use crate::service::{Host, Labels, Service, Workload};

#[cfg(test)]
mod tests;

/// Longest chain of parents.
pub const LANE_DEPTH_MAX: usize = 8;

/// Why lanes and services make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Two lanes of one name.
    #[error("lane {lane} is defined twice")]
    DuplicateLane {
        /// The lane.
        lane: LaneName,
    },
    /// Two services of one name.
    #[error("service {host} is defined twice")]
    DuplicateService {
        /// The service.
        host: Host,
    },
    /// A parent that does not exist.
    #[error("lane {lane} has parent {parent}, which does not exist")]
    UnknownParent {
        /// The lane.
        lane: LaneName,
        /// Its parent.
        parent: LaneName,
    },
    /// Parents that lead back, or too many of them.
    #[error("the parents of lane {lane} lead in a circle or are more than {LANE_DEPTH_MAX}")]
    ParentChain {
        /// The lane.
        lane: LaneName,
    },
    /// Two lanes whose subsets would have one name.
    #[error("lanes {first} and {second} would share the subset {}", subset.as_str())]
    SubsetClash {
        /// One lane.
        first: LaneName,
        /// The other.
        second: LaneName,
        /// Their subset's name.
        subset: SubsetName,
    },
    /// A name that several namespaces have.
    #[error("lane {lane} names service {service}, which exists in several namespaces: {first} and {second}")]
    AmbiguousService {
        /// The lane.
        lane: LaneName,
        /// The name.
        service: ServiceKey,
        /// One service of that name.
        first: Host,
        /// Another.
        second: Host,
    },
    /// A workload that a lane names though its own label puts it in another.
    #[error("lane {lane} names workload {workload} of {host}, which its own label puts in lane {label}")]
    LabelledWorkload {
        /// The service.
        host: Host,
        /// The workload.
        workload: String,
        /// The lane of its label, whether that is on or not.
        label: String,
        /// The lane that names it.
        lane: LaneName,
    },
    /// A workload that two lanes claim.
    #[error("workload {workload} of {host} is claimed by lane {first} and by lane {second}")]
    SharedWorkload {
        /// The service.
        host: Host,
        /// The workload.
        workload: String,
        /// One lane.
        first: LaneName,
        /// The other.
        second: LaneName,
    },
}

impl CompileError {
    /// The lane without which there is no such error; of two it is the one that comes later.
    #[must_use]
    pub fn lane(&self) -> Option<&LaneName> {
        match self {
            Self::DuplicateService { .. } => None,
            Self::DuplicateLane { lane }
            | Self::UnknownParent { lane, .. }
            | Self::ParentChain { lane }
            | Self::LabelledWorkload { lane, .. }
            | Self::AmbiguousService { lane, .. } => Some(lane),
            Self::SubsetClash { first, second, .. } | Self::SharedWorkload { first, second, .. } => {
                Some(first.max(second))
            }
        }
    }
}

/// Compiles lanes and services into the plan that every proxy must follow.
///
/// A workload belongs to the lane of its [`LANE_LABEL`], or to the lane that names its labels; all others are
/// the baseline. Members that a lane merely cannot find are findings, not errors.
///
/// # Errors
/// When lanes contradict each other; the error names them.
pub fn compile(
    lanes: &[LaneRouting],
    services: &[Service],
    tag_header: &HeaderName,
) -> Result<RoutingPlan, CompileError> {
    let lanes = LaneSet::new(lanes)?;
    let services = sorted_services(services)?;
    let mut findings = Vec::new();
    let named = named_members(&lanes, &services, &mut findings)?;
    let mut hosts = Vec::with_capacity(services.len());
    for service in services {
        let claims = named.get(&service.host).map_or(&[][..], Vec::as_slice);
        hosts.push(plan_host(&lanes, service, claims, &mut findings)?);
    }
    Ok(RoutingPlan { tag_header: tag_header.clone(), hosts, findings })
}

/// Lanes by name, with the chains of their parents resolved.
struct LaneSet<'a> {
    by_name: BTreeMap<&'a str, (&'a LaneRouting, Vec<&'a LaneName>)>,
}

impl<'a> LaneSet<'a> {
    fn new(lanes: &'a [LaneRouting]) -> Result<Self, CompileError> {
        let mut index: BTreeMap<&str, &LaneRouting> = BTreeMap::new();
        let mut subsets: HashMap<SubsetName, &LaneName> = HashMap::new();
        for lane in lanes {
            if index.insert(lane.name.as_str(), lane).is_some() {
                return Err(CompileError::DuplicateLane { lane: lane.name.clone() });
            }
            let subset = SubsetName::of(&lane.name);
            if let Some(first) = subsets.insert(subset.clone(), &lane.name) {
                return Err(CompileError::SubsetClash {
                    first: first.clone(),
                    second: lane.name.clone(),
                    subset,
                });
            }
        }
        let mut by_name = BTreeMap::new();
        for (name, lane) in &index {
            by_name.insert(*name, (*lane, chain(lane, &index)?));
        }
        Ok(Self { by_name })
    }

    fn iter(&self) -> impl Iterator<Item = (&'a LaneRouting, &[&'a LaneName])> {
        self.by_name.values().map(|(lane, chain)| (*lane, chain.as_slice()))
    }

    fn get(&self, name: &str) -> Option<&'a LaneName> {
        self.by_name.get(name).map(|(lane, _)| &lane.name)
    }
}

/// The lanes that serve a lane's requests, nearest first: itself, then, if it is permissive, its parents.
fn chain<'a>(
    lane: &'a LaneRouting,
    index: &BTreeMap<&str, &'a LaneRouting>,
) -> Result<Vec<&'a LaneName>, CompileError> {
    let mut chain = vec![&lane.name];
    let mut at = lane;
    while let Some(parent) = &at.parent {
        let Some(next) = index.get(parent.as_str()) else {
            return Err(CompileError::UnknownParent { lane: at.name.clone(), parent: parent.clone() });
        };
        if chain.len() > LANE_DEPTH_MAX {
            return Err(CompileError::ParentChain { lane: lane.name.clone() });
        }
        chain.push(&next.name);
        at = next;
    }
    if matches!(lane.mode, Mode::Strict(_)) {
        chain.truncate(1);
    }
    Ok(chain)
}

fn sorted_services(services: &[Service]) -> Result<Vec<&Service>, CompileError> {
    let mut sorted: Vec<&Service> = services.iter().collect();
    sorted.sort_by(|a, b| a.host.cmp(&b.host));
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a.host == b.host
        {
            return Err(CompileError::DuplicateService { host: a.host.clone() });
        }
    }
    Ok(sorted)
}

/// What lanes claim of one host by labels.
type Claims<'a> = Vec<(&'a LaneName, &'a Labels)>;

fn named_members<'a>(
    lanes: &LaneSet<'a>,
    services: &[&'a Service],
    findings: &mut Vec<Finding>,
) -> Result<HashMap<&'a Host, Claims<'a>>, CompileError> {
    let mut by_name: HashMap<&str, Vec<&Host>> = HashMap::new();
    let mut known: BTreeSet<&Host> = BTreeSet::new();
    for service in services {
        by_name.entry(service.host.name()).or_default().push(&service.host);
        known.insert(&service.host);
    }
    let mut named: HashMap<&Host, Claims> = HashMap::new();
    for (lane, _) in lanes.iter() {
        for (key, labels) in &lane.members {
            let host = match key {
                ServiceKey::Host(host) => known.get(host).copied(),
                ServiceKey::Name(name) => match by_name.get(name.as_ref()).map(Vec::as_slice) {
                    Some([first, second, ..]) => {
                        return Err(CompileError::AmbiguousService {
                            lane: lane.name.clone(),
                            service: key.clone(),
                            first: (*first).clone(),
                            second: (*second).clone(),
                        });
                    }
                    Some([only]) => Some(*only),
                    _ => None,
                },
            };
            match host {
                Some(host) => named.entry(host).or_default().push((&lane.name, labels)),
                None => {
                    findings.push(Finding::UnknownService { lane: lane.name.clone(), service: key.clone() })
                }
            }
        }
    }
    Ok(named)
}

/// Who owns the workloads of one host.
#[derive(Default)]
struct Owners<'a> {
    members: BTreeMap<&'a str, Vec<String>>,
    baseline: Vec<String>,
    idle: Vec<IdleWorkload>,
    exchange: Vec<String>,
}

fn plan_host(
    lanes: &LaneSet,
    service: &Service,
    claims: &[(&LaneName, &Labels)],
    findings: &mut Vec<Finding>,
) -> Result<HostPlan, CompileError> {
    let owners = owners(lanes, service, claims, findings)?;
    let baseline = Tier { of: TierOf::Baseline, workloads: owners.baseline };
    let mut http = Vec::new();
    let mut subsets = Vec::new();
    let mut mirrors = Vec::new();
    for (lane, chain) in lanes.iter() {
        let mut failover: Vec<Tier> = chain
            .iter()
            .filter_map(|name| {
                let workloads = owners.members.get(name.as_str())?.clone();
                Some(Tier { of: TierOf::Lane((*name).clone()), workloads })
            })
            .collect();
        if owners.members.contains_key(lane.name.as_str()) {
            mirrors.extend(Mirror::to_lane(&lane.name, lane.mirror));
        }
        let name = SubsetName::of(&lane.name);
        let to = match lane.mode {
            Mode::Strict(status) if failover.is_empty() => {
                Destination::Refuse { status, reason: refusal_reason(&lane.name, &service.host) }
            }
            // The default route serves it, and the tag travels on.
            Mode::Permissive if failover.is_empty() => continue,
            Mode::Permissive if !baseline.workloads.is_empty() => {
                failover.push(baseline.clone());
                Destination::Subset(name.clone())
            }
            Mode::Strict(_) | Mode::Permissive => Destination::Subset(name.clone()),
        };
        http.push(HttpRoute { name: name.as_str().into(), tag: Some(lane.name.clone()), to });
        if !failover.is_empty() {
            subsets.push(Subset { name, lane: lane.name.clone(), failover });
        }
    }
    mirrors.extend(service.copies.iter().filter_map(|copies| Mirror::to_service(&copies.to, copies.share)));
    http.push(HttpRoute { name: "default".into(), tag: None, to: Destination::Baseline });
    Ok(HostPlan {
        host: service.host.clone(),
        port: service.port,
        http,
        subsets,
        baseline,
        mirrors,
        idle: owners.idle,
        exchange: exchange(service, owners.exchange),
    })
}

/// Who serves before the baseline, if there is anybody.
fn exchange(service: &Service, workloads: Vec<String>) -> Option<Exchange> {
    let ports = service.exchanged.as_ref()?.ports.clone();
    (!workloads.is_empty()).then(|| Exchange { ports, ..Exchange::new(workloads) })
}

/// What a strict lane says where it has nobody.
pub(crate) fn refusal_reason(lane: &LaneName, host: &Host) -> String {
    format!("strict lane {lane} has no member of {host}")
}

fn owners<'a>(
    lanes: &LaneSet<'a>,
    service: &Service,
    claims: &[(&'a LaneName, &'a Labels)],
    findings: &mut Vec<Finding>,
) -> Result<Owners<'a>, CompileError> {
    let mut owners = Owners::default();
    for workload in &service.workloads {
        let label = workload.labels.get(LANE_LABEL).filter(|label| !label.is_empty());
        let mut owner = label.and_then(|label| lanes.get(label));
        for (lane, _) in claims.iter().filter(|(_, labels)| carries(workload, labels)) {
            // Its pods carry the label whatever is put on them.
            if let Some(label) = label.filter(|label| *label != lane.as_str()) {
                return Err(CompileError::LabelledWorkload {
                    host: service.host.clone(),
                    workload: workload.name.clone(),
                    label: label.clone(),
                    lane: (*lane).clone(),
                });
            }
            match owner {
                Some(first) if first != *lane => {
                    return Err(CompileError::SharedWorkload {
                        host: service.host.clone(),
                        workload: workload.name.clone(),
                        first: first.clone(),
                        second: (*lane).clone(),
                    });
                }
                _ => owner = Some(lane),
            }
        }
        match (owner, label) {
            (Some(lane), _) => {
                owners.members.entry(lane.as_str()).or_default().push(workload.name.clone());
            }
            (None, Some(label)) if label == EXCHANGE => match service.exchanged.is_some() {
                true => owners.exchange.push(workload.name.clone()),
                // It is about to come, or to end.
                false => {
                    owners.idle.push(IdleWorkload { workload: workload.name.clone(), lane: label.clone() })
                }
            },
            (None, Some(lane)) => {
                findings.push(Finding::IdleWorkload {
                    host: service.host.clone(),
                    workload: workload.name.clone(),
                    lane: lane.clone(),
                });
                owners.idle.push(IdleWorkload { workload: workload.name.clone(), lane: lane.clone() });
            }
            (None, None) => owners.baseline.push(workload.name.clone()),
        }
    }
    for (lane, labels) in claims {
        if !service.workloads.iter().any(|workload| carries(workload, labels)) {
            findings.push(Finding::NoSuchMember {
                lane: (*lane).clone(),
                host: service.host.clone(),
                labels: (*labels).clone(),
            });
        }
    }
    Ok(owners)
}

fn carries(workload: &Workload, wanted: &Labels) -> bool {
    !wanted.is_empty() && wanted.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
}
