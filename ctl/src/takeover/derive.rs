//! Takeovers → the lanes that carry them. Pure; every replica of the controller comes to the same.

use std::collections::BTreeMap;

use canary_istio::Object;
use canary_istio::failover::lane_key;
use canary_istio::lane::{EXCHANGE, LANE_LABEL};
use canary_istio::observed::Speaks;
use canary_istio::service::{Copies, Labels, Workload};
use canary_istio::{Observed, ObservedService};
use canary_rules::lane::{API_VERSION, KIND as LANE};
use canary_rules::wire::LANES_MAX;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{LABEL, Mode, Takeover, is_copied, overlap};

/// What the lane of a Takeover is called: nobody's pods are in a lane of such a name unless they mean it.
const LANE_PREFIX: &str = "dev-";

/// What is known beside the Takeovers.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The Lanes that people wrote.
    pub lanes: &'a [Object],
    /// The services, where they are known.
    pub services: Option<&'a [ObservedService]>,
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

/// Why a Takeover cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

fn refusal(reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into() }
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

fn judge(takeover: &Takeover, before: &[Takeover], known: Known<'_>) -> Option<Refusal> {
    match takeover.spec.mode {
        Mode::Mesh => lane_refusal(takeover)
            .or_else(|| service_refusal(takeover, known.services?))
            .or_else(|| number_refusal(takeover, before, known))
            .or_else(|| before.iter().find_map(|other| clash(takeover, other))),
        Mode::Exchange => exchange_refusal(takeover)
            .or_else(|| service_refusal(takeover, known.services?))
            .or_else(|| before.iter().find_map(|other| exchange_clash(takeover, other))),
        Mode::Mirror => mirror_refusal(takeover)
            .or_else(|| copies_refusal(takeover, known.services?))
            .or_else(|| receiver_refusal(takeover, known.services?)),
    }
}

/// Why a Takeover's lane and rules cannot be.
fn lane_refusal(takeover: &Takeover) -> Option<Refusal> {
    let spec = &takeover.spec;
    if spec.rules.is_empty() || !spec.rules.iter().all(overlap::is_narrow) {
        let message = "each rule must ask for a value of a header named x-dev or x-dev-…, or of a cookie or query \
                       parameter named dev or dev-…, and for no percentage: others would take other people's requests";
        return Some(refusal("Invalid", message));
    }
    match &spec.lane {
        None => Some(refusal("Invalid", "it names no lane")),
        Some(lane) if !lane.as_str().starts_with(LANE_PREFIX) => {
            Some(refusal("Invalid", format!("its lane must be called {LANE_PREFIX}…, and not {lane}")))
        }
        Some(_) => None,
    }
}

/// Why one who takes everything asks for too much.
fn exchange_refusal(takeover: &Takeover) -> Option<Refusal> {
    let spec = &takeover.spec;
    let has_more = spec.lane.is_some() || !spec.rules.is_empty();
    has_more.then(|| refusal("Invalid", "an exchange takes all requests: it has neither a lane nor rules"))
}

/// Why one who wants copies asks for too much, or for nothing.
fn mirror_refusal(takeover: &Takeover) -> Option<Refusal> {
    let spec = &takeover.spec;
    if spec.lane.is_some() || !spec.rules.is_empty() {
        let message = "a mirror has copies of requests that no lane claims: it has neither a lane nor rules";
        return Some(refusal("Invalid", message));
    }
    takeover.copied_share().is_none().then(|| {
        let percent = spec.percent.unwrap_or_default();
        refusal("Invalid", format!("{percent} is no percentage: wanted 0.01 to 100, in steps of 0.01"))
    })
}

/// Why a service cannot be taken.
fn service_refusal(takeover: &Takeover, services: &[ObservedService]) -> Option<Refusal> {
    let service = match taken(takeover, services) {
        Ok(service) => service,
        Err(refused) => return Some(refused),
    };
    let why = meets_strangers(service)?;
    Some(refusal("Invalid", format!("{}: {why}", takeover.service())))
}

/// Why no copies can be made of a service's requests.
fn copies_refusal(takeover: &Takeover, services: &[ObservedService]) -> Option<Refusal> {
    let service = match taken(takeover, services) {
        Ok(service) => service,
        Err(refused) => return Some(refused),
    };
    if service.headless {
        let message = format!("{}: it is headless, so clients pick its pods themselves", takeover.service());
        return Some(refusal("Invalid", message));
    }
    let is_taken = |number: u16| takeover.spec.ports.contains(&number);
    let raw = service.ports.iter().find(|port| is_taken(port.number) && !is_copied(port))?;
    let message =
        format!("{}: its port {raw} is not HTTP: there are no requests to copy", takeover.service());
    Some(refusal("Invalid", message))
}

/// Why there can be no Service that gets the copies.
fn receiver_refusal(takeover: &Takeover, services: &[ObservedService]) -> Option<Refusal> {
    let receiver = takeover.receiver()?;
    let own = Labels::from([(LABEL.to_owned(), takeover.metadata.name.clone())]);
    let other = services.iter().find(|service| service.host == receiver && service.selector != own)?;
    let (namespace, name) = (other.host.namespace(), other.host.name());
    Some(refusal(
        "Invalid",
        format!("there is a Service {namespace}/{name} that somebody made: name it otherwise"),
    ))
}

/// The service that is meant, which has the ports that are.
fn taken<'a>(takeover: &Takeover, services: &'a [ObservedService]) -> Result<&'a ObservedService, Refusal> {
    let spec = &takeover.spec;
    let of = |service: &&ObservedService| {
        service.host.namespace() == takeover.metadata.namespace && service.host.name() == spec.service
    };
    let found = services.iter().find(of);
    let service =
        found.ok_or_else(|| refusal("Invalid", format!("there is no Service {}", takeover.service())))?;
    let has = |number: &u16| service.ports.iter().any(|port| port.number == *number);
    match spec.ports.iter().find(|number| !has(number)) {
        Some(missing) => {
            Err(refusal("Invalid", format!("Service {} has no port {missing}", takeover.service())))
        }
        None => Ok(service),
    }
}

/// Why there can be no lane of this name, or no further one.
fn number_refusal(takeover: &Takeover, before: &[Takeover], known: Known<'_>) -> Option<Refusal> {
    let name = takeover.lane();
    if known.lanes.iter().any(|lane| lane.name() == name) {
        let message = format!("there is a Lane {name} that somebody wrote: name another one");
        return Some(refusal("LaneTaken", message));
    }
    let mut lanes: Vec<&str> = meshes(before).map(Takeover::lane).collect();
    lanes.sort_unstable();
    lanes.dedup();
    (!lanes.contains(&name) && known.lanes.len() + lanes.len() >= LANES_MAX)
        .then(|| refusal("Invalid", format!("there are {LANES_MAX} lanes, and no more fit")))
}

fn meshes(takeovers: &[Takeover]) -> impl Iterator<Item = &Takeover> {
    takeovers.iter().filter(|takeover| takeover.spec.mode == Mode::Mesh)
}

/// Why nobody else can have all requests of a service that somebody has.
fn exchange_clash(takeover: &Takeover, other: &Takeover) -> Option<Refusal> {
    let is_taken = other.spec.mode == Mode::Exchange && other.service() == takeover.service();
    let (user, service, since) = (&other.spec.owner.user, other.service(), other.since());
    is_taken.then(|| refusal("Exchanged", format!("{user} has all requests of {service} since {since}")))
}

/// Why clients would meet an agent of a service past its gate.
fn meets_strangers(service: &ObservedService) -> Option<String> {
    if service.headless {
        return Some("it is headless, so clients pick its pods themselves".into());
    }
    let other = service.ports.iter().find(|port| port.speaks() == Speaks::Other)?;
    Some(format!("its port {other} is not HTTP, and clients without a sidecar would meet the agent there"))
}

/// Why a Takeover cannot be beside an older one.
fn clash(takeover: &Takeover, other: &Takeover) -> Option<Refusal> {
    let (ours, theirs) = (&takeover.spec, &other.spec);
    if theirs.mode != Mode::Mesh {
        // It has what no lane has.
        return None;
    }
    let (user, service, since) = (&theirs.owner.user, other.service(), other.since());
    let rule = other.what();
    if ours.lane == theirs.lane {
        if ours.owner.user != theirs.owner.user {
            let message = format!("lane {} is {user}'s since {since}: name another one", other.lane());
            return Some(refusal("LaneTaken", message));
        }
        if ours.rules != theirs.rules {
            let message = format!(
                "lane {} has another rule for {service} since {since} ({rule}): give the same, or name another lane",
                other.lane()
            );
            return Some(refusal("LaneTaken", message));
        }
        // Requests of one lane would go to either agent, and each knows its own ports only.
        return (takeover.service() == service).then(|| {
            refusal("Taken", format!("{user} has {service} since {since} with the same rule ({rule})"))
        });
    }
    // A request is in one lane: of two that claim it one would never get it, whatever their services are.
    overlap::surely(&ours.rules, &theirs.rules)
        .then(|| refusal("Taken", format!("{user} has {service} since {since} with the same rule ({rule})")))
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
    /// The labels of a Takeover's agent; it has those of its service besides, unless it gets copies.
    #[must_use]
    pub fn labels(takeover: &Takeover) -> Labels {
        let own = Labels::from([(LABEL.to_owned(), takeover.metadata.name.clone())]);
        let lane = match takeover.spec.mode {
            Mode::Mesh => takeover.lane(),
            // Who takes everything is in no lane.
            Mode::Exchange => EXCHANGE,
            Mode::Mirror => return own,
        };
        let of_lane = [(LANE_LABEL.to_owned(), lane.to_owned()), (lane_key(lane), "member".to_owned())];
        own.into_iter().chain(of_lane).collect()
    }

    /// Tells the services of the agents that are to come, and of who has all of their requests or copies of them: every
    /// proxy knows their lane before the first pod is there, and nobody else's request ever meets one.
    pub fn add_workloads(&self, observed: &mut Observed) {
        for ruling in self.rulings.values() {
            let Ruling::On(takeover) = ruling else { continue };
            let of = |service: &&mut ObservedService| {
                service.host.namespace() == takeover.metadata.namespace
                    && service.host.name() == takeover.spec.service
            };
            let Some(service) = observed.services.iter_mut().find(of) else { continue };
            if let (Some(to), Some(share)) = (takeover.receiver(), takeover.copied_share()) {
                service.copies.push(Copies { to, share });
                continue;
            }
            let mut labels = service.selector.clone();
            labels.extend(Self::labels(takeover));
            service.exchanged |= takeover.spec.mode == Mode::Exchange;
            let name = format!("takeover {}", takeover.metadata.name);
            service.workloads.push(Workload { name, labels });
        }
    }
}
