//! The user's VirtualServices: which hold for a service inside the mesh, and what lanes make of each.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::connections::Connections;
use crate::finding::Finding;
use crate::hosts::{Exported, HostName, MESH_GATEWAY, Named, named};
use crate::observed::Object;
use crate::plan::HostPlan;
use crate::routes::{self, LaneHosts, Note, Place, RootTerms};
use crate::service::Host;

/// The user's VirtualServices, by whom they are for.
#[derive(Debug)]
pub(crate) struct ServiceIndex<'a> {
    pub(crate) users: Vec<&'a Object>,
    exact: HashMap<HostName<'a>, Vec<usize>>,
    wildcards: Vec<(&'a str, usize)>,
    half: HashMap<HostName<'a>, Vec<(&'a str, usize)>>,
    /// What the roots of a delegate demand, by the delegate's namespace and name.
    roots: HashMap<(&'a str, &'a str), Vec<RootTerms>>,
    names: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> ServiceIndex<'a> {
    pub(crate) fn new(objects: &'a [Object]) -> Self {
        let mut index = Self {
            users: objects.iter().filter(|object| !object.is_ours()).collect(),
            exact: HashMap::new(),
            wildcards: Vec::new(),
            half: HashMap::new(),
            roots: HashMap::new(),
            names: HashMap::new(),
        };
        for (at, object) in index.users.iter().enumerate() {
            index.names.insert((object.namespace(), object.name()), at);
            if is_in_mesh(object) {
                for host in list(&object.spec()["hosts"]).filter_map(Value::as_str) {
                    match named(host, object.namespace()) {
                        Named::Service(name) => index.exact.entry(name).or_default().push(at),
                        Named::Wildcard(suffix) => index.wildcards.push((suffix, at)),
                        Named::HalfQualified(name) => index.half.entry(name).or_default().push((host, at)),
                        Named::Foreign => {}
                    }
                }
            }
        }
        index.roots = roots(index.users.iter().copied());
        // Istio uses the oldest.
        let age = |at: &usize| index.users.get(*at).map(|object| (object.created(), object.name()));
        index.exact.values_mut().for_each(|list| list.sort_by_key(age));
        index
    }

    /// What routes a service inside the mesh, and who sees that.
    pub(crate) fn coverage(&self, host: &Host) -> Coverage<'a> {
        let exact = self.exact.get(&HostName::from(host)).map_or(&[][..], Vec::as_slice);
        let fqdn = if self.wildcards.is_empty() { String::new() } else { host.fqdn() };
        let wild = self.wildcards.iter().filter(|(suffix, _)| fqdn.ends_with(suffix)).map(|(_, at)| at);
        let by: Vec<&'a Object> =
            exact.iter().chain(wild).filter_map(|at| self.users.get(*at).copied()).collect();
        let mut seen_by = Exported::To(BTreeSet::new());
        by.iter().for_each(|object| seen_by.join(&exported(object)));
        Coverage { exact: exact.len(), by, seen_by }
    }

    /// What a user should know of the VirtualServices of a host with lanes, or with an exchange. `has_requests` says
    /// whether it needs any HTTP route.
    pub(crate) fn findings(
        &self,
        plan: &HostPlan,
        has_requests: bool,
        coverage: &Coverage<'a>,
        findings: &mut Vec<Finding>,
    ) {
        let host = &plan.host;
        let exact = coverage.by.get(..coverage.exact).unwrap_or_default();
        let reference = |object: &Object| object.reference().clone();
        if let Some(pair) = exact.windows(2).find(|pair| match pair {
            [first, second] => exported(first).meets(&exported(second)),
            _ => false,
        }) && let [first, second] = pair
        {
            let (first, second) = (reference(first), reference(second));
            findings.push(Finding::TwoVirtualServices { host: host.clone(), first, second });
        }
        let leads_none = |object: &&&Object| list(&object.spec()["http"]).next().is_none();
        for object in exact.iter().filter(leads_none).filter(|_| has_requests) {
            findings.push(Finding::NoHttpRoutes { object: reference(object), host: host.clone() });
        }
        for (name, at) in self.half.get(&HostName::from(host)).into_iter().flatten() {
            if let Some(object) = self.users.get(*at) {
                let (object, name) = (reference(object), (*name).to_owned());
                findings.push(Finding::HalfQualified { object, name, host: host.clone() });
            }
        }
        self.find_led(plan, coverage, findings);
    }

    /// Finds what leads connections past the exchange that is to have them.
    fn find_led(&self, plan: &HostPlan, coverage: &Coverage<'a>, findings: &mut Vec<Finding>) {
        let Some(exchange) = plan.exchange.as_ref().filter(|one| !one.ports.is_empty()) else { return };
        let connections = Connections { host: (&plan.host).into(), ports: &exchange.ports };
        for object in &self.users {
            let covers = coverage.by.iter().any(|by| by.reference() == object.reference());
            if let Some(to) = connections.led_past(object, covers) {
                let (object, host) = (object.reference().clone(), plan.host.clone());
                findings.push(Finding::ConnectionsLed { object, host, to });
            }
        }
    }

    /// The user's VirtualService of this name.
    pub(crate) fn by_name(&self, namespace: &str, name: &str) -> Option<&'a Object> {
        self.names.get(&(namespace, name)).and_then(|at| self.users.get(*at).copied())
    }

    /// The `http` of a VirtualService with lanes' routes in it, if it has any.
    pub(crate) fn edited(
        &self,
        object: &'a Object,
        lanes: &LaneHosts,
    ) -> Option<(Vec<Value>, Vec<Note<'a>>)> {
        let roots = self.roots.get(&(object.namespace(), object.name())).map_or(&[][..], Vec::as_slice);
        with_lanes(object, lanes, roots)
    }
}

/// The `http` of a VirtualService with lanes' routes in it, if it has any. `roots` is what those demand that
/// delegate to this name.
pub(crate) fn with_lanes<'a>(
    object: &'a Object,
    lanes: &LaneHosts,
    roots: &[RootTerms],
) -> Option<(Vec<Value>, Vec<Note<'a>>)> {
    let http = object.spec()["http"].as_array()?;
    let is_delegate = list(&object.spec()["hosts"]).next().is_none();
    let roots = if is_delegate { roots } else { &[] };
    Some(routes::insert(http, lanes, &Place { namespace: object.namespace(), roots }))
}

/// What the roots of delegates demand, by the delegate's namespace and name.
pub(crate) fn roots<'a>(
    objects: impl Iterator<Item = &'a Object>,
) -> HashMap<(&'a str, &'a str), Vec<RootTerms>> {
    let mut roots: HashMap<(&str, &str), Vec<RootTerms>> = HashMap::new();
    for object in objects {
        for route in list(&object.spec()["http"]).filter(|route| route["delegate"].is_object()) {
            let delegate = &route["delegate"];
            let namespace = delegate["namespace"].as_str().filter(|namespace| !namespace.is_empty());
            let key =
                (namespace.unwrap_or(object.namespace()), delegate["name"].as_str().unwrap_or_default());
            roots.entry(key).or_default().extend(root_terms(route));
        }
    }
    for terms in roots.values_mut() {
        terms.sort();
        terms.dedup();
    }
    roots
}

/// What routes a service inside the mesh.
#[derive(Debug)]
pub(crate) struct Coverage<'a> {
    /// Those that name the service come first, the oldest of them first.
    pub(crate) by: Vec<&'a Object>,
    exact: usize,
    /// Who sees at least one of them.
    pub(crate) seen_by: Exported,
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn exported(object: &Object) -> Exported {
    Exported::of(&object.spec()["exportTo"], object.namespace())
}

fn is_in_mesh(object: &Object) -> bool {
    let mut gateways = list(&object.spec()["gateways"]).peekable();
    gateways.peek().is_none() || gateways.any(|gateway| gateway == MESH_GATEWAY)
}

fn root_terms(route: &Value) -> Vec<RootTerms> {
    let every = RootTerms {
        mirrors_once: route["mirror"].is_object(),
        mirrors: list(&route["mirrors"]).next().map(|_| route["mirrors"].to_string()).unwrap_or_default(),
        ..RootTerms::default()
    };
    let terms = |one: &Value| RootTerms {
        ignore_uri_case: one["ignoreUriCase"].as_bool().unwrap_or_default(),
        source_namespace: one["sourceNamespace"].as_str().unwrap_or_default().into(),
        ..every.clone()
    };
    let matches = routes::matches_of(route);
    if matches.is_empty() { vec![every] } else { matches.iter().map(terms).collect() }
}
