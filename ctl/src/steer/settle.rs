//! Which Lanes can be beside each other, and in which form: as they are wanted, or as they stood before.

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::{ClusterPlan, Desired, LaneRouting, Object, plan_cluster, plugins};
use canary_rules::lane::{self, Compiled, Lane, LaneSpec};
use canary_rules::settings::MeshSettings;
use kube::api::ObjectMeta;
use serde::Deserialize as _;

use super::{Going, Verdict};
use crate::world::Seen;

/// What is wrong with Lanes, by name.
pub(super) type Faults = BTreeMap<String, Vec<String>>;

/// A Lane that is to be on.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub(super) object: &'a Object,
    /// As it is written now, or why it cannot be read.
    pub(super) present: Result<Lane, String>,
    /// As it was on last, if it was and that is known.
    pub(super) before: Option<Lane>,
}

impl Wanted<'_> {
    fn name(&self) -> &str {
        self.object.name()
    }

    /// Whether it is not the one that stands.
    fn is_changed(&self) -> bool {
        let stands = |present: &Lane| self.before.as_ref().is_some_and(|before| before.spec == present.spec);
        !self.present.as_ref().is_ok_and(stands)
    }
}

/// The Lanes that are to be on; of the others `verdicts` is told.
pub(super) fn wanted<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    now_unix_s: i64,
    verdicts: &mut BTreeMap<String, Verdict>,
) -> Vec<Wanted<'a>> {
    let mut wanted = Vec::new();
    for object in objects {
        let name = object.name().to_owned();
        let metadata = ObjectMeta::deserialize(&object.value()["metadata"]).unwrap_or_default();
        if metadata.deletion_timestamp.is_some() {
            verdicts.insert(name, Verdict::Going(Going::Deleted));
            continue;
        }
        // A Lane that ended and came back has a later birth, so that its old cookies stay worthless.
        let born = metadata.creation_timestamp.map_or(0, |time| time.0.as_second());
        let born = u32::try_from(born).unwrap_or(0);
        let present = Lane::deserialize(object.value()).map_err(|error| error.to_string());
        let present = present.map(|lane| with_epoch(lane, born));
        let before = before(object).map(|lane| with_epoch(lane, born));
        let before = before.filter(|lane| !is_expired(&lane.spec, now_unix_s));
        if present.as_ref().is_ok_and(|lane| is_expired(&lane.spec, now_unix_s)) {
            verdicts.insert(name, Verdict::Going(Going::Expired));
            continue;
        }
        wanted.push(Wanted { object, present, before });
    }
    wanted
}

/// A Lane as it was on last, whatever it says now.
fn before(object: &Object) -> Option<Lane> {
    let spec = object.value()["status"]["inForce"]["spec"].as_str()?;
    let spec: serde_json::Value = serde_json::from_str(spec).ok()?;
    let mut value = object.value().clone();
    value["spec"] = spec;
    Lane::deserialize(&value).ok()
}

fn with_epoch(mut lane: Lane, born: u32) -> Lane {
    let status = lane.status.get_or_insert_default();
    status.epoch = status.epoch.max(born);
    lane
}

fn is_expired(spec: &LaneSpec, now_unix_s: i64) -> bool {
    let expires = spec.expires.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    expires.is_some_and(|expires| expires.as_second() <= now_unix_s)
}

/// Lanes that can be beside each other, and what they take.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) lanes: Vec<Lane>,
    pub(super) compiled: Compiled,
    pub(super) plan: ClusterPlan,
    /// Of the others, why they cannot; of those that stand as before, why not as they are written.
    pub(super) faults: Faults,
}

/// Settles which can be. A Lane that was changed into what cannot be stays as it was; one that did not change is never
/// put out by one that did.
pub(super) fn settle(wanted: &[Wanted<'_>], seen: &Seen, settings: &MeshSettings) -> Settled {
    let unreadable = wanted.iter().filter_map(|one| {
        let fault = one.present.as_ref().err()?;
        Some((one.name().to_owned(), vec![fault.clone()]))
    });
    let unreadable: Faults = unreadable.collect();
    let mut settled = Choice { wanted, seen, settings }.settle();
    settled.faults.extend(unreadable);
    settled
}

/// What can be chosen from: of each Lane the form that is written and the one that stood before.
struct Choice<'a> {
    wanted: &'a [Wanted<'a>],
    seen: &'a Seen,
    settings: &'a MeshSettings,
}

impl Choice<'_> {
    fn settle(&self) -> Settled {
        let all = self.attempt(|_| false);
        if all.faults.is_empty() {
            return all;
        }
        let is_faulty = |one: &Wanted<'_>| all.faults.contains_key(one.name());
        if self.wanted.iter().filter(|one| is_faulty(one)).all(Wanted::is_changed) {
            let without = self.attempt(is_faulty);
            if without.faults.is_empty() {
                return Settled { faults: all.faults, ..without };
            }
        }
        self.one_by_one()
    }

    /// All of them as they are written, but for those that are kept as they were before.
    fn attempt(&self, is_kept: impl Fn(&Wanted<'_>) -> bool) -> Settled {
        let forms = self.wanted.iter().filter_map(|one| match &one.present {
            Ok(present) if !is_kept(one) => Some(present.clone()),
            _ => one.before.clone(),
        });
        among(forms.collect(), self.seen, self.settings)
    }

    /// Lets changes in one after the other, each only if nobody is put out by it.
    fn one_by_one(&self) -> Settled {
        let mut let_in: BTreeSet<&str> = BTreeSet::new();
        let mut refused = Faults::new();
        let mut settled = self.attempt(|one| one.is_changed());
        // What it leaned on is gone.
        let cannot_stand = settled.faults.clone();
        for one in self.wanted.iter().filter(|one| one.present.is_ok() && one.is_changed()) {
            let is_kept = |other: &Wanted<'_>| {
                other.is_changed() && !let_in.contains(other.name()) && other.name() != one.name()
            };
            let mut with_it = self.attempt(is_kept);
            let is_new = |name: &String| *name == one.name() || !cannot_stand.contains_key(name);
            if !with_it.faults.keys().any(is_new) {
                let_in.insert(one.name());
                settled = with_it;
                continue;
            }
            let own = with_it.faults.remove(one.name());
            let others = with_it.faults.iter().filter(|(name, _)| is_new(name));
            let others = others.map(|(name, why)| format!("lane {name} could not stay: {}", why.join("; ")));
            refused.insert(one.name().to_owned(), own.unwrap_or_else(|| others.collect()));
        }
        settled.faults.extend(refused);
        settled
    }
}

/// Those of these that can be, in these very forms.
fn among(mut lanes: Vec<Lane>, seen: &Seen, settings: &MeshSettings) -> Settled {
    let mut faults = Faults::new();
    let compiled = compile(&mut lanes, &mut faults);
    let (compiled, plan) = route(&mut lanes, compiled, seen, settings, &mut faults);
    Settled { lanes, compiled, plan, faults }
}

/// Compiles the lanes that can be, leaving out those with faults of their own until the rest is sound.
fn compile(lanes: &mut Vec<Lane>, faults: &mut Faults) -> Compiled {
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
            faults.insert(lane.metadata.name.to_string(), said.collect());
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
    faults: &mut Faults,
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
        faults.insert(name.to_string(), vec![message]);
        if lanes.len() == before {
            return (compiled, ClusterPlan::default());
        }
        compiled = compile(lanes, faults);
    }
}
