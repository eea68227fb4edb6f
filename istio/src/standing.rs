//! What stands in the mesh already, and what of it an object gets back when its owner writes it anew.
//!
//! A route is put back only where the object as stored has one of ours: whatever that leads to is there, what a
//! lane is about to get it does not get here, and what was taken away stays away, however old the mesh is that
//! is known here. An object that is just made is led where every proxy is led already. What puts the baseline
//! first needs nothing to be there before it; it is what the planner says. Who has connections comes first at
//! those ports where a rule says so already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use canary_rules::name::{HeaderName, LaneName};
use serde_json::Value;

use crate::change::{Action, Phase};
use crate::compile::{CompileError, compile, refusal_reason};
use crate::failover;
use crate::hosts::{HostName, service_named};
use crate::lane::{LANE_LABEL, LaneRouting, RefusalStatus};
use crate::merge;
use crate::observed::{Mesh, Namespace, Object, Observed, ObservedService};
use crate::own::{self, Owners};
use crate::plan::{
    Destination, Exchange, HostPlan, HttpRoute, Mirror, REFUSAL_HEADER, RoutingPlan, SubsetName, Tier, TierOf,
};
use crate::planner::{Desired, plan};
use crate::policy;
use crate::routes::mirror::Copied;
use crate::routes::{self, LaneHosts, RootTerms};
use crate::service::{Copies, Host, Labels, Service};
use crate::virtual_services;

#[cfg(test)]
mod tests;

/// Later than any object: what is just being made is the youngest.
const NOT_BORN: &str = "9999-12-31T23:59:59Z";

/// What a VirtualService is written over.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
    /// The object as stored.
    Stored(&'a Object),
    /// Nothing. Every proxy has these lanes, as they are now.
    Nothing(&'a BTreeSet<LaneName>),
}

/// A mesh, indexed for questions about one object at a time.
#[derive(Debug)]
pub struct Standing {
    lanes: Vec<LaneRouting>,
    tag_header: HeaderName,
    /// Where lanes are led, anywhere.
    leads: Leads,
    /// What is demanded of delegates, by namespace and name.
    roots: HashMap<(String, String), Vec<RootTerms>>,
    services: HashMap<Host, ObservedService>,
    copies: Vec<CopiesOf>,
    by_namespace: HashMap<String, Vec<Host>>,
    /// The users' rules for a service in its own namespace: the only ones that are edited.
    rules: HashMap<Host, Vec<Object>>,
    namespaces: BTreeMap<String, Namespace>,
    mesh: Mesh,
}

/// Where routes of ours lead, by service.
type Leads = HashMap<Host, Led>;

/// Where a service's requests are led.
#[derive(Debug, Clone, Default)]
struct Led {
    lanes: BTreeMap<LaneName, Destination>,
    /// Whether those of no lane are somebody's.
    is_exchanged: bool,
    /// The subsets that get copies of those.
    mirrors: BTreeMap<String, Copied>,
    /// Whether it gets copies of another service's.
    is_copied_to: bool,
}

/// Copies that a service is to get of another one's requests.
#[derive(Debug)]
struct CopiesOf {
    service: Host,
    copies: Copies,
}

impl Standing {
    /// Reads a mesh with these valid lanes.
    #[must_use]
    pub fn new(observed: Observed, lanes: Vec<LaneRouting>, tag_header: HeaderName) -> Self {
        let mut leads = Leads::new();
        for object in &observed.virtual_services {
            note_leads(object, &tag_header, &mut leads);
        }
        let users = observed.virtual_services.iter().filter(|object| !object.is_ours());
        let roots = virtual_services::roots(users).into_iter();
        let mut by_namespace: HashMap<String, Vec<Host>> = HashMap::new();
        for service in &observed.services {
            by_namespace.entry(service.host.namespace().into()).or_default().push(service.host.clone());
        }
        let copies = observed.services.iter().flat_map(|service| {
            let of = |copies: &Copies| CopiesOf { service: service.host.clone(), copies: copies.clone() };
            service.copies.iter().map(of)
        });
        let copies = copies.collect();
        let mut services: HashMap<Host, ObservedService> =
            observed.services.into_iter().map(|one| (one.host.clone(), one)).collect();
        keep_ranked(&mut services, &observed.destination_rules);
        let mut rules: HashMap<Host, Vec<Object>> = HashMap::new();
        for object in observed.destination_rules.into_iter().filter(|object| !object.is_ours()) {
            if let Some(host) = ruled(&object) {
                rules.entry(host).or_default().push(object);
            }
        }
        Self {
            leads,
            roots: roots.map(|((space, name), terms)| ((space.into(), name.into()), terms)).collect(),
            services,
            copies,
            by_namespace,
            rules,
            namespaces: observed.namespaces,
            mesh: observed.mesh,
            lanes,
            tag_header,
        }
    }

    /// A user's VirtualService as it is written, with lanes' routes where they are due; none where it is so
    /// already.
    #[must_use]
    pub fn virtual_service(&self, new: &Object, before: Before) -> Option<Value> {
        let leads = match before {
            Before::Stored(old) if old.is_ours() => return None,
            _ if new.is_ours() => return None,
            Before::Stored(old) => {
                let mut leads = Leads::new();
                note_leads(old, &self.tag_header, &mut leads);
                leads
            }
            Before::Nothing(programmed) => self.leads_of_new(new, programmed),
        };
        let plan = self.routing(leads);
        let key = (new.namespace().to_owned(), new.name().to_owned());
        let roots = self.roots.get(&key).map_or(&[][..], Vec::as_slice);
        let (http, _) = virtual_services::with_lanes(new, &LaneHosts::new(&plan), roots)?;
        if new.spec()["http"].as_array().is_some_and(|before| *before == http) {
            return None;
        }
        let mut wanted = new.value().clone();
        wanted["spec"]["http"] = http.into();
        Some(wanted)
    }

    /// A user's DestinationRule as it is written, with what puts the baseline first; none where it is so already.
    ///
    /// # Errors
    /// When lanes contradict each other.
    pub fn destination_rule(&self, new: &Object) -> Result<Option<Value>, CompileError> {
        let Some(host) = ruled(new).filter(|_| !new.is_ours()) else { return Ok(None) };
        let Some(service) = self.services.get(&host) else { return Ok(None) };
        let born = new.value()["metadata"].get("creationTimestamp").cloned();
        let mut value = new.value().clone();
        if born.as_ref().is_none_or(Value::is_null) {
            value["metadata"]["creationTimestamp"] = NOT_BORN.into();
        }
        let others = self.rules.get(&host).into_iter().flatten();
        let mut rules: Vec<Object> = others.filter(|rule| rule.name() != new.name()).cloned().collect();
        rules.extend(Object::new(value.clone()));
        let mesh = Observed {
            services: vec![service.clone()],
            destination_rules: rules,
            namespaces: self
                .namespaces
                .get_key_value(host.namespace())
                .map(|(k, v)| (k.clone(), *v))
                .into_iter()
                .collect(),
            mesh: self.mesh.clone(),
            ..Observed::default()
        };
        let desired = Desired {
            lanes: &self.lanes,
            tag_header: &self.tag_header,
            owners: &Owners::new(),
            edge: &[],
            hops: &[],
        };
        let changes = plan(&desired, &mesh)?.changes;
        let due = changes
            .into_iter()
            .find(|change| change.phase == Phase::Subsets && change.object == *new.reference());
        let mut wanted = match due.map(|change| change.action) {
            Some(Action::Patch { merge }) => {
                merge::patch(&mut value, &merge);
                value
            }
            Some(Action::Replace { body }) => body,
            Some(Action::Create { .. } | Action::Delete) | None => return Ok(None),
        };
        if let Some(metadata) = wanted["metadata"].as_object_mut() {
            match born {
                Some(born) => drop(metadata.insert("creationTimestamp".into(), born)),
                None => drop(metadata.shift_remove("creationTimestamp")),
            }
        }
        Ok(Some(wanted))
    }

    /// The labels of ours that a pod with these labels needs for the rules to find it.
    ///
    /// # Errors
    /// When lanes contradict each other.
    pub fn pod_labels(&self, namespace: &str, labels: &Labels) -> Result<Labels, CompileError> {
        let is_of = |one: &Labels| one.iter().all(|(key, value)| labels.get(key) == Some(value));
        let hosts = self.by_namespace.get(namespace).into_iter().flatten();
        let services: Vec<Service> = hosts
            .filter_map(|host| self.services.get(host))
            .filter(|service| service.workloads.iter().any(|workload| is_of(&workload.labels)))
            .map(ObservedService::as_service)
            .collect();
        let plan = compile(&self.lanes, &services, &self.tag_header)?;
        let wanted = plan.hosts.iter().flat_map(failover::pod_labels).filter(|wanted| {
            let service = self.services.get(&wanted.host);
            let mut workloads = service.into_iter().flat_map(|service| &service.workloads);
            workloads.any(|workload| workload.name == wanted.workload && is_of(&workload.labels))
        });
        Ok(wanted.flat_map(|wanted| wanted.labels).collect())
    }

    /// Whether a pod with these labels is for a lane: it says so, or a lane names such pods of a service there. Its
    /// workload need not be known yet.
    #[must_use]
    pub fn is_for_a_lane(&self, namespace: &str, labels: &Labels) -> bool {
        let carries = |wanted: &Labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
        let is_named = |service: &ObservedService| {
            let mut members = self.lanes.iter().flat_map(|lane| &lane.members);
            members.any(|(key, wanted)| key.may_be(&service.host) && carries(wanted))
        };
        let hosts = self.by_namespace.get(namespace).into_iter().flatten();
        let mut services = hosts.filter_map(|host| self.services.get(host));
        labels.contains_key(LANE_LABEL)
            || services.any(|service| carries(&service.selector) && is_named(service))
    }

    /// Where these lanes are led of the services that a VirtualService's routes lead to.
    fn leads_of_new(&self, new: &Object, programmed: &BTreeSet<LaneName>) -> Leads {
        let mut leads = Leads::new();
        for host in destinations(new) {
            let mut led = self.leads.get(&host).cloned().unwrap_or_default();
            led.lanes.retain(|lane, _| programmed.contains(lane));
            for of in self.copies.iter().filter(|of| of.service == host) {
                let receiver = self.leads.get(&of.copies.to).cloned();
                leads.extend(receiver.map(|led| (of.copies.to.clone(), led)));
            }
            leads.insert(host, led);
        }
        leads
    }

    /// These leads as routing.
    fn routing(&self, mut leads: Leads) -> RoutingPlan {
        let is_led = |of: &&CopiesOf| leads.get(&of.copies.to).is_some_and(|led| led.is_copied_to);
        let copies: Vec<&CopiesOf> = self.copies.iter().filter(is_led).collect();
        for of in &copies {
            leads.entry(of.service.clone()).or_default();
        }
        // A lane may be refused where its members get copies, for what else a route leads to.
        let lanes: BTreeSet<LaneName> = leads.values().flat_map(|led| led.lanes.keys().cloned()).collect();
        let host = |(host, led): (Host, Led)| {
            let mirror = |lane: &LaneName| {
                let subset = SubsetName::of_mirror(lane);
                Mirror::to_lane(lane, led.mirrors.get(subset.as_str())?.share)
            };
            let own = copies.iter().filter(|of| of.service == host);
            let to_services = own.filter_map(|of| Mirror::to_service(&of.copies.to, of.copies.share));
            let mirrors = lanes.iter().filter_map(mirror).chain(to_services).collect();
            let lanes = led.lanes.into_iter().map(|(lane, to)| HttpRoute {
                name: SubsetName::of(&lane).as_str().into(),
                tag: Some(lane),
                to,
            });
            let rest = HttpRoute { name: "default".into(), tag: None, to: Destination::Baseline };
            HostPlan {
                port: 0,
                http: lanes.chain([rest]).collect(),
                subsets: Vec::new(),
                baseline: Tier { of: TierOf::Baseline, workloads: Vec::new() },
                mirrors,
                idle: Vec::new(),
                exchange: led.is_exchanged.then(|| Exchange::new(Vec::new())),
                host,
            }
        };
        RoutingPlan {
            tag_header: self.tag_header.clone(),
            hosts: leads.into_iter().map(host).collect(),
            findings: Vec::new(),
        }
    }
}

/// Lets exchanges have the connections that rules give them already.
fn keep_ranked(services: &mut HashMap<Host, ObservedService>, rules: &[Object]) {
    let mut ranked: HashMap<Host, BTreeSet<u16>> = HashMap::new();
    for rule in rules {
        let mut ports = policy::ports_apart(&rule.spec()["trafficPolicy"]).peekable();
        if let Some(host) = ruled(rule).filter(|_| ports.peek().is_some()) {
            ranked.entry(host).or_default().extend(ports);
        }
    }
    for service in services.values_mut() {
        if let Some(exchanged) = &mut service.exchanged {
            let ranked = ranked.get(&service.host);
            exchanged.ports.retain(|port| ranked.is_some_and(|ranked| ranked.contains(port)));
        }
    }
}

/// The service whose rule this is, if it stands in the service's namespace.
fn ruled(rule: &Object) -> Option<Host> {
    let name = service_named(rule.spec()["host"].as_str()?, rule.namespace())?;
    (name.namespace == rule.namespace()).then(|| owned(name)).flatten()
}

fn owned(name: HostName) -> Option<Host> {
    Host::new(name.name, name.namespace).ok()
}

/// The services that a VirtualService's routes lead to.
fn destinations(object: &Object) -> BTreeSet<Host> {
    let routes = object.spec()["http"].as_array().into_iter().flatten();
    let weighted = routes.flat_map(|route| route["route"].as_array().into_iter().flatten());
    weighted.filter_map(|one| led_to(one, object.namespace())).collect()
}

fn led_to(weighted: &Value, namespace: &str) -> Option<Host> {
    owned(service_named(weighted["destination"]["host"].as_str()?, namespace)?)
}

/// Notes where a VirtualService's routes of ours lead.
fn note_leads(object: &Object, tag_header: &HeaderName, leads: &mut Leads) {
    let http = object.spec()["http"].as_array().map_or(&[][..], Vec::as_slice);
    let mut original = &Value::Null;
    // Each stands right before the one that it copies.
    for route in http.iter().rev() {
        if is_of_mirrors(object, route) || is_of_exchange(object, route) {
            note_mirrors(object, route, leads);
        }
        match lane_of(object, route, tag_header) {
            None if is_of_exchange(object, route) => note_exchange(object, route, leads),
            None if is_of_mirrors(object, route) => {}
            None => original = route,
            Some(lane) => match refusal(route) {
                Some((status, reason)) => note_refusal(object, original, &lane, status, reason, leads),
                None => note_subsets(object, route, &lane, leads),
            },
        }
    }
}

/// The lane that a route of ours is for.
fn lane_of(object: &Object, route: &Value, tag_header: &HeaderName) -> Option<LaneName> {
    let name = match object.is_ours() {
        true => route["match"][0]["headers"][tag_header.as_str()]["exact"].as_str()?,
        false => routes::lane_of(route["name"].as_str()?)?,
    };
    LaneName::new(name).ok()
}

fn note_subsets(object: &Object, route: &Value, lane: &LaneName, leads: &mut Leads) {
    let subset = SubsetName::of(lane);
    for weighted in route["route"].as_array().into_iter().flatten() {
        if weighted["destination"]["subset"] == subset.as_str()
            && let Some(host) = led_to(weighted, object.namespace())
        {
            leads.entry(host).or_default().lanes.insert(lane.clone(), Destination::Subset(subset.clone()));
        }
    }
}

/// Whether a route of ours is there for an exchange.
fn is_of_exchange(object: &Object, route: &Value) -> bool {
    let name = route["name"].as_str().unwrap_or_default();
    if object.is_ours() { name == own::EXCHANGE_ROUTE } else { routes::is_ours(name) }
}

fn is_of_mirrors(object: &Object, route: &Value) -> bool {
    let name = route["name"].as_str().unwrap_or_default();
    if object.is_ours() { name == own::MIRROR_ROUTE } else { routes::is_mirror(name) }
}

/// Notes which lanes and services a route of ours copies requests to.
fn note_mirrors(object: &Object, route: &Value, leads: &mut Leads) {
    for mirror in route["mirrors"].as_array().into_iter().flatten() {
        let Some(host) = led_to(mirror, object.namespace()) else { continue };
        let led = leads.entry(host).or_default();
        let Some(subset) = mirror["destination"]["subset"].as_str() else {
            led.is_copied_to = true;
            continue;
        };
        if SubsetName::is_ours(subset)
            && let Some(copied) = routes::mirror::copied(route, mirror, object.namespace())
        {
            let known = led.mirrors.entry(subset.to_owned()).or_insert(copied);
            if known.part < copied.part {
                *known = copied;
            }
        }
    }
}

fn note_exchange(object: &Object, route: &Value, leads: &mut Leads) {
    for weighted in route["route"].as_array().into_iter().flatten() {
        if weighted["destination"]["subset"] == Exchange::SUBSET
            && let Some(host) = led_to(weighted, object.namespace())
        {
            leads.entry(host).or_default().is_exchanged = true;
        }
    }
}

/// A refusal says for which service it stands.
fn note_refusal(
    object: &Object,
    original: &Value,
    lane: &LaneName,
    status: RefusalStatus,
    reason: &str,
    leads: &mut Leads,
) {
    let weighted = original["route"].as_array().into_iter().flatten();
    let mut hosts = weighted.filter_map(|one| led_to(one, object.namespace()));
    if let Some(host) = hosts.find(|host| refusal_reason(lane, host) == reason) {
        let to = Destination::Refuse { status, reason: reason.into() };
        leads.entry(host).or_default().lanes.insert(lane.clone(), to);
    }
}

fn refusal(route: &Value) -> Option<(RefusalStatus, &str)> {
    let status = u16::try_from(route["directResponse"]["status"].as_u64()?).ok()?;
    let reason = route["headers"]["response"]["set"][REFUSAL_HEADER].as_str()?;
    Some((RefusalStatus::new(status).ok()?, reason))
}
