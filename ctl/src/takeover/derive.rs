//! Takeovers → the lanes that carry them. Pure; every replica of the controller comes to the same.

use std::collections::BTreeMap;

use canary_istio::Object;
use canary_istio::failover::lane_key;
use canary_istio::lane::{EXCHANGE, LANE_LABEL};
use canary_istio::observed::Port;
use canary_istio::service::{Copies, Labels, Workload};
use canary_istio::{Observed, ObservedService};
use canary_rules::lane::{API_VERSION, KIND as LANE};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::judge::{Refusal, judge, refusal};
use super::{By, LABEL, Mode, Takeover, passed};

/// What is known beside the Takeovers.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The Lanes that people wrote.
    pub lanes: &'a [Object],
    /// The services, where they are known.
    pub services: Option<&'a [ObservedService]>,
    /// The Services that Takeovers are about, as they are written, where they are known.
    pub written: Option<&'a [Object]>,
}

/// What Takeovers come to.
#[derive(Debug, Clone, Default)]
pub struct Derived {
    /// Lanes, as if people had written them.
    pub lanes: Vec<Object>,
    /// What becomes of each Takeover, by namespace and name.
    pub rulings: BTreeMap<(String, String), Ruling>,
}

/// What becomes of a Takeover.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// It has what it asks for, by the lane that it names.
    On(Box<Takeover>),
    /// It ends.
    Going,
    /// It cannot be, for this reason.
    Refused(Refusal),
}

/// Judges Takeovers, the older ones first, and makes the lanes of those that can be.
#[must_use]
pub fn derive(takeovers: &[Object], known: Known<'_>) -> Derived {
    let mut rulings = BTreeMap::new();
    let mut asked = Vec::new();
    for object in takeovers {
        let key = (object.namespace().to_owned(), object.name().to_owned());
        if !object.value()["metadata"]["deletionTimestamp"].is_null() {
            rulings.insert(key, Ruling::Going);
            continue;
        }
        match Takeover::deserialize(object.value()) {
            Ok(takeover) => asked.push(takeover),
            Err(error) => {
                rulings.insert(key, Ruling::Refused(refusal("Invalid", error.to_string())));
            }
        }
    }
    let age = |takeover: &Takeover| {
        let metadata = &takeover.metadata;
        (metadata.creation_timestamp.clone(), metadata.namespace.clone(), metadata.name.clone())
    };
    asked.sort_by_key(age);
    let mut accepted: Vec<Takeover> = Vec::new();
    for takeover in asked {
        let key = (takeover.metadata.namespace.clone(), takeover.metadata.name.clone());
        let ruling = match judge(&takeover, &accepted, known) {
            Some(refused) => Ruling::Refused(refused),
            None => {
                accepted.push(takeover.clone());
                Ruling::On(Box::new(takeover))
            }
        };
        rulings.insert(key, ruling);
    }
    Derived { lanes: lanes(&accepted), rulings }
}

pub(super) fn meshes(takeovers: &[Takeover]) -> impl Iterator<Item = &Takeover> {
    takeovers.iter().filter(|takeover| takeover.spec.mode == Mode::Mesh)
}

/// One lane for all Takeovers that name it; the oldest gives it its age. They are below all lanes that people wrote; of
/// two that claim a request the older one has it.
fn lanes(accepted: &[Takeover]) -> Vec<Object> {
    let mut by_name: BTreeMap<&str, Vec<&Takeover>> = BTreeMap::new();
    let mut oldest_first: Vec<&str> = Vec::new();
    for takeover in meshes(accepted) {
        let name = takeover.lane();
        let of_lane = by_name.entry(name).or_default();
        if of_lane.is_empty() {
            oldest_first.push(name);
        }
        of_lane.push(takeover);
    }
    let priority = |name: &str| {
        let younger = oldest_first.iter().rev().position(|other| *other == name).unwrap_or(0);
        i32::MIN.saturating_add(i32::try_from(younger).unwrap_or(i32::MAX))
    };
    let lane = |(name, takeovers): (&str, Vec<&Takeover>)| {
        let first = takeovers.first()?;
        let links = takeovers.iter().filter_map(|takeover| takeover.link_rule());
        let rules: Vec<Value> = first.rules().into_iter().chain(links).collect();
        let programmed = takeovers.iter().any(|takeover| is_programmed(takeover));
        let status = |is_so: bool| if is_so { "True" } else { "Unknown" };
        Object::new(json!({
            "apiVersion": API_VERSION, "kind": LANE,
            "metadata": {"name": name, "creationTimestamp": first.metadata.creation_timestamp},
            "spec": {"rules": rules, "priority": priority(name)},
            "status": {"conditions": [
                {"type": "Accepted", "status": status(true)},
                {"type": "Programmed", "status": status(programmed)},
            ]},
        }))
        .ok()
    };
    by_name.into_iter().filter_map(lane).collect()
}

fn is_programmed(takeover: &Takeover) -> bool {
    let conditions = takeover.status.get("conditions").and_then(Value::as_array);
    let of = |condition: &&Value| condition["type"] == "Programmed";
    conditions.into_iter().flatten().find(of).is_some_and(|condition| condition["status"] == "True")
}

impl Derived {
    /// The labels of a Takeover's agent; it has those of its service besides where routes bring it that one's requests.
    #[must_use]
    pub fn labels(takeover: &Takeover) -> Labels {
        let own = Labels::from([(LABEL.to_owned(), takeover.metadata.name.clone())]);
        let lane = match (takeover.spec.mode, takeover.spec.by) {
            (Mode::Mirror, _) | (_, By::Selector) => return own,
            (Mode::Mesh, By::Routes) => takeover.lane(),
            // Who takes everything is in no lane.
            (Mode::Exchange, By::Routes) => EXCHANGE,
        };
        let of_lane = [(LANE_LABEL.to_owned(), lane.to_owned()), (lane_key(lane), "member".to_owned())];
        own.into_iter().chain(of_lane).collect()
    }

    /// Tells the services of the agents that are to come, and of who has all of their requests or copies of them: every
    /// proxy knows their lane before the first pod is there, and nobody else's request ever meets one.
    pub fn add_workloads(&self, observed: &mut Observed) {
        for ruling in self.rulings.values() {
            let Ruling::On(takeover) = ruling else { continue };
            if takeover.spec.by == By::Selector {
                continue;
            }
            let of = |service: &&mut ObservedService| {
                service.host.namespace() == takeover.metadata.namespace
                    && service.host.name() == takeover.spec.service
            };
            let Some(service) = observed.services.iter_mut().find(of) else { continue };
            if let (Some(to), Some(share)) = (takeover.own_service(), takeover.copied_share()) {
                service.copies.push(Copies { to, share });
                continue;
            }
            let mut labels = service.selector.clone();
            labels.extend(Self::labels(takeover));
            if takeover.spec.mode == Mode::Exchange {
                let is_taken = |port: &&Port| takeover.spec.ports.contains(&port.number);
                let passed = service.ports.iter().filter(|port| passed::is_passed(port)).filter(is_taken);
                let ports = passed.map(|port| port.number);
                service.exchanged.get_or_insert_default().ports.extend(ports);
            }
            let name = format!("takeover {}", takeover.metadata.name);
            service.workloads.push(Workload { name, labels });
        }
    }
}
